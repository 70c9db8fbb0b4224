import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('dispatch', '0011_name_rejected_deliveries'),
    ]

    operations = [
        migrations.AddField(
            model_name='unserved',
            name='is_shaded',
            field=models.BooleanField(default=False, help_text='A twin at the other level is acted upon.'),
        ),
        migrations.CreateModel(
            name='ProgramLevel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('program', models.CharField(help_text="Leap's code, as it writes it.", max_length=100, unique=True)),
                ('level', models.CharField(choices=[('METER', 'Meter'), ('GROUP', 'Market group')], max_length=16)),
                ('decided_at', models.DateTimeField()),
                ('source', models.CharField(choices=[('WEBHOOK', 'Webhook'), ('POLL', 'Search'), ('OPERATOR', 'Operator')], max_length=16)),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='dispatch.dispatchevent')),
            ],
        ),
    ]
