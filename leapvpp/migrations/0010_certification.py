
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('leapvpp', '0002_roles_and_queue_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='CertificationRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('RUNNING', 'Running'), ('PASSED', 'Passed'), ('FAILED', 'Failed'), ('ABORTED', 'Aborted')], default='RUNNING', max_length=16)),
                ('started_at', models.DateTimeField()),
                ('touched_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('started_by', models.CharField(blank=True, max_length=150)),
                ('url', models.CharField(help_text='Where the bodies were posted.', max_length=300)),
                ('version', models.CharField(blank=True, max_length=64)),
                ('database', models.CharField(blank=True, max_length=32)),
                ('is_in_worker', models.BooleanField(default=False, help_text='Played by workers, not by a command.')),
                ('is_kept', models.BooleanField(default=False, help_text='Its meters, devices and events stay to be looked at.')),
                ('reason', models.TextField(blank=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'RUNNING')), fields=('state',), name='certification_one_running')],
            },
        ),
        migrations.CreateModel(
            name='CertificationResult',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('scenario', models.CharField(max_length=100)),
                ('title', models.CharField(max_length=200)),
                ('state', models.CharField(choices=[('WAITING', 'Waiting'), ('PLAYING', 'Playing'), ('PASSED', 'Passed'), ('FAILED', 'Failed'), ('SKIPPED', 'Skipped')], default='WAITING', max_length=16)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('checks', models.JSONField(default=list)),
                ('notifications', models.PositiveIntegerField(default=0)),
                ('events', models.PositiveIntegerField(default=0)),
                ('is_searched', models.BooleanField(default=False)),
                ('recorded_seconds', models.FloatField(blank=True, null=True)),
                ('planned_seconds', models.FloatField(blank=True, null=True)),
                ('acknowledged_seconds', models.FloatField(blank=True, null=True)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='results', to='leapvpp.certificationrun')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'position'), name='certification_position_once'), models.UniqueConstraint(condition=models.Q(('state', 'PLAYING')), fields=('state',), name='certification_one_playing')],
            },
        ),
    ]
