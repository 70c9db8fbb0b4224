"""Groups out of step; those that are called already are compared once."""

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone


def compare_all(apps, schema_editor):
    apps.get_model("meters", "MarketGroup").objects.update(compare_requested_at=timezone.now())


class Migration(migrations.Migration):

    dependencies = [
        ('dispatch', '0026_unserved_of_sets'),
        ('meters', '0005_enrollments'),
    ]

    operations = [
        migrations.CreateModel(
            name='GroupDifference',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('called', models.PositiveIntegerField(help_text='How many meters Leap calls.')),
                ('held', models.PositiveIntegerField(help_text='How many members the portal holds for that time.')),
                ('called_not_ours', models.JSONField(default=list, help_text='Leap calls them; they are no members here then.')),
                ('called_not_ours_count', models.PositiveIntegerField(default=0)),
                ('ours_not_called', models.JSONField(default=list, help_text='Members here then; Leap does not call them.')),
                ('ours_not_called_count', models.PositiveIntegerField(default=0)),
                ('is_group_unknown', models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name='OutOfStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('found_at', models.DateTimeField()),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('difference', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='dispatch.groupdifference')),
                ('event', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='out_of_step', to='dispatch.dispatchevent')),
            ],
            options={
                'verbose_name': 'group out of step',
                'verbose_name_plural': 'groups out of step',
                'indexes': [models.Index(condition=models.Q(('settled_at__isnull', True)), fields=['event'], name='out_of_step_standing')],
            },
        ),
        migrations.RunPython(compare_all, migrations.RunPython.noop),
    ]
