"""Reminders of required actions."""

from django.db import migrations, models

KINDS = [
    ("FAILED", "Takes no command"),
    ("UNVERIFIED", "Not verified"),
    ("OFFLINE_BEFORE_EVENT", "Offline before an event"),
    ("NOT_RESTORED", "Not back to normal"),
    ("CHANGED_BY_OTHERS", "Changed by someone else"),
    ("REQUIRED_ACTIONS", "Required actions due"),
]


class Migration(migrations.Migration):
    dependencies = [("devices", "0017_found_devices")]
    operations = [
        migrations.AlterField(
            model_name="alertmessage", name="kind", field=models.CharField(choices=KINDS, max_length=24)
        ),
        migrations.CreateModel(
            name="ReminderSent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64)),
                ("days", models.PositiveSmallIntegerField()),
                ("deadline_at", models.DateTimeField()),
                ("written_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "reminders sent",
                "constraints": [models.UniqueConstraint(fields=["digest", "days"], name="reminder_once")],
            },
        ),
    ]
