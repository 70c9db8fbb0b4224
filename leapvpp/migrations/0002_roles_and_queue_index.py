"""The three roles as groups, and an index for the worker's only query."""

from django.db import migrations

ROLES = ["viewer", "operator", "admin"]


def create_groups(apps, schema_editor):
    group = apps.get_model("auth", "Group")
    for name in ROLES:
        group.objects.using(schema_editor.connection.alias).get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("leapvpp", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("django_q", "__latest__"),
    ]

    operations = [
        migrations.RunPython(create_groups, migrations.RunPython.noop),
        # The queue is read five times a second by (key, lock), and comes without an index.
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS leapvpp_queue_due ON django_q_ormq (key, lock)",
            "DROP INDEX IF EXISTS leapvpp_queue_due",
        ),
    ]
