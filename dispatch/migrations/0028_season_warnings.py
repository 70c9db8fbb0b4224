"""Delivery periods that begin soon and are not ready."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('dispatch', '0027_out_of_step'),
    ]

    operations = [
        migrations.CreateModel(
            name='SeasonWarning',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('program', models.CharField(blank=True, max_length=64)),
                ('delivery_period', models.CharField(blank=True, max_length=128)),
                ('starts_at', models.DateTimeField()),
                ('verdict', models.CharField(max_length=200)),
                ('lacks', models.TextField(blank=True)),
                ('checked_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('program', 'delivery_period', 'starts_at'), name='season_warned_once')],
            },
        ),
    ]
