"""Connection to Leap, and how devices came behind meters."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('meters', '0008_onboarding'),
    ]

    operations = [
        migrations.CreateModel(
            name='MappingBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(choices=[('RULE', 'Rule'), ('FILE', 'File'), ('NEW_METERS', 'Rule, for new meters')], max_length=16)),
                ('rule', models.JSONField(blank=True, default=dict, help_text="The rule's form, case and separator.")),
                ('added', models.JSONField(default=list, help_text='[[meter, device], …], primary keys.')),
                ('removed', models.JSONField(default=list, help_text='As `added`.')),
                ('up_to', models.BigIntegerField(help_text='The newest pair then: later ones are not undone.')),
                ('applied_by', models.CharField(blank=True, help_text='Empty: the portal itself.', max_length=150)),
                ('applied_at', models.DateTimeField()),
                ('undone_by', models.CharField(blank=True, max_length=150)),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'mapping batches',
            },
        ),
        migrations.CreateModel(
            name='LeapAct',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('SET_WEBHOOK', 'Set the dispatch webhook'), ('DELETE_WEBHOOK', 'Delete the dispatch webhook'), ('SUBSCRIBE', 'Subscribe to platform events'), ('UPDATE_SUBSCRIPTION', 'Repair the subscription'), ('DELETE_SUBSCRIPTION', 'Delete the subscription'), ('TEST_SUBSCRIPTION', 'Test the subscription')], max_length=24)),
                ('target', models.CharField(blank=True, max_length=256)),
                ('url', models.CharField(blank=True, max_length=500)),
                ('key', models.CharField(blank=True, help_text='Fingerprint of the key Leap is to send.', max_length=16)),
                ('before', models.JSONField(blank=True, default=dict)),
                ('after', models.JSONField(blank=True, default=dict)),
                ('state', models.CharField(choices=[('WAITING', 'Waiting'), ('SENDING', 'Asking Leap'), ('DONE', 'Done'), ('FAILED', 'Failed'), ('UNKNOWN', 'Not known')], default='WAITING', max_length=16)),
                ('asked_by', models.CharField(max_length=150)),
                ('asked_at', models.DateTimeField()),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('answered_at', models.DateTimeField(blank=True, null=True)),
                ('detail', models.TextField(blank=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('state__in', ['WAITING', 'SENDING'])), fields=['state'], name='leap_act_open')],
            },
        ),
        migrations.CreateModel(
            name='LeapCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('only', models.PositiveSmallIntegerField(default=1, editable=False, unique=True)),
                ('requested_at', models.DateTimeField(blank=True, help_text='Somebody waits for an answer.', null=True)),
                ('claimed_until', models.DateTimeField(blank=True, null=True)),
                ('tried_at', models.DateTimeField(blank=True, null=True)),
                ('answered_at', models.DateTimeField(blank=True, null=True)),
                ('status', models.PositiveSmallIntegerField(blank=True, help_text="Of a refusal, Leap's status.", null=True)),
                ('error', models.TextField(blank=True)),
                ('base_url', models.CharField(blank=True, help_text='Whom `answer` is from.', max_length=200)),
                ('api_key', models.CharField(blank=True, help_text='Fingerprint of LEAP_API_KEY.', max_length=16)),
                ('api_key_since', models.DateTimeField(blank=True, null=True)),
                ('answer', models.JSONField(blank=True, default=dict, help_text='`dispatch.domain.leap_connection.Held`.')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('only', 1)), name='leap_check_only_one')],
            },
        ),
        migrations.CreateModel(
            name='MappingRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('only', models.PositiveSmallIntegerField(default=1, editable=False, unique=True)),
                ('form', models.CharField(max_length=16)),
                ('ignores_case', models.BooleanField(default=False)),
                ('separator', models.CharField(blank=True, max_length=8)),
                ('changed_by', models.CharField(max_length=150)),
                ('changed_at', models.DateTimeField()),
                ('looked_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('only', 1)), name='mapping_rule_only_one')],
            },
        ),
        migrations.CreateModel(
            name='WebhookKeyUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fingerprint', models.CharField(max_length=16)),
                ('door', models.CharField(choices=[('DISPATCH', 'Dispatches'), ('EVENTS', 'Platform events')], max_length=16)),
                ('first_at', models.DateTimeField()),
                ('latest_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('fingerprint', 'door'), name='key_use_once_a_door')],
            },
        ),
    ]
