"""Onboarding: jobs that create meters, connections through Leap Connect, and refIds of meters."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


def keep_references(apps, schema_editor) -> None:
    """Keep the refIds of meters that were read before; the next syncs bring only what changes."""
    reference = apps.get_model("meters", "MeterReference")
    bodies = apps.get_model("meters", "MeterAtLeap").objects.values_list("meter_id", "enrollment")
    reference.objects.bulk_create(
        (
            reference(meter_id=meter, reference=one)
            for meter, body in bodies.iterator(chunk_size=1000)
            for one in _references(body)
        ),
        ignore_conflicts=True,
        batch_size=1000,
    )


def _references(body: object) -> list[str]:
    said = body.get("connection_references") if isinstance(body, dict) else None
    listed = said if isinstance(said, list) else []
    return [one for one in dict.fromkeys(map(str, listed)) if 0 < len(one) <= 256]


class Migration(migrations.Migration):
    dependencies = [
        ("meters", "0007_participation"),
    ]

    operations = [
        migrations.CreateModel(
            name="Connection",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "partner_reference",
                    models.CharField(help_text="The refId of the link.", max_length=256, unique=True),
                ),
                ("customer_name", models.CharField(blank=True, max_length=200)),
                ("transmission_region", models.CharField(blank=True, max_length=32)),
                (
                    "utilities",
                    models.CharField(blank=True, help_text="Utilities to offer; empty: all.", max_length=200),
                ),
                ("note", models.CharField(blank=True, max_length=500)),
                ("made_by", models.CharField(blank=True, max_length=150)),
                ("made_at", models.DateTimeField(blank=True, null=True)),
                ("first_at", models.DateTimeField(help_text="When the portal first knew of it.")),
                (
                    "standing",
                    models.CharField(
                        choices=[
                            ("SENT", "Link made"),
                            ("OPENED", "Opened"),
                            ("AUTHORIZING", "Authorizing"),
                            ("FAILED", "Failed"),
                            ("LEFT", "Left early"),
                            ("COMPLETED", "Completed"),
                            ("AUTHORIZED", "Authorized"),
                        ],
                        default="SENT",
                        max_length=16,
                    ),
                ),
                (
                    "utility_name",
                    models.CharField(blank=True, help_text="Of the standing, Leap's word.", max_length=100),
                ),
                ("standing_since", models.DateTimeField(blank=True, null=True)),
                (
                    "heard_at",
                    models.DateTimeField(blank=True, help_text="When Leap last said something.", null=True),
                ),
                ("sessions", models.PositiveIntegerField(default=0)),
                ("authorized_utilities", models.JSONField(blank=True, default=list)),
            ],
            options={
                "indexes": [models.Index(fields=["standing", "standing_since"], name="connection_standing")],
            },
        ),
        migrations.CreateModel(
            name="MeterJob",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("file_name", models.CharField(max_length=200)),
                ("update_existing", models.BooleanField(default=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DRAFT", "Draft"),
                            ("WAITING", "Waiting"),
                            ("SENDING", "Sending"),
                            ("PROCESSING", "At Leap"),
                            ("COMPLETED", "Completed"),
                            ("COMPLETED_WITH_ERRORS", "Completed with errors"),
                            ("FAILED", "Failed"),
                        ],
                        default="DRAFT",
                        max_length=32,
                    ),
                ),
                ("made_by", models.CharField(max_length=150)),
                ("made_at", models.DateTimeField()),
                ("requested_by", models.CharField(blank=True, help_text="Who had it sent.", max_length=150)),
                ("requested_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("rows_count", models.PositiveIntegerField(default=0)),
                (
                    "problems_count",
                    models.PositiveIntegerField(default=0, help_text="Rows with which it cannot be sent."),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["-made_at"], name="meter_job_newest")],
            },
        ),
        migrations.CreateModel(
            name="MeterJobBatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("file_name", models.CharField(max_length=255, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DRAFT", "Draft"),
                            ("WAITING", "Waiting"),
                            ("SENDING", "Sending"),
                            ("PROCESSING", "At Leap"),
                            ("COMPLETED", "Completed"),
                            ("COMPLETED_WITH_ERRORS", "Completed with errors"),
                            ("FAILED", "Failed"),
                        ],
                        default="WAITING",
                        max_length=32,
                    ),
                ),
                ("leap_job_id", models.CharField(blank=True, max_length=64)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                (
                    "look_at",
                    models.DateTimeField(blank=True, help_text="Not to be touched before.", null=True),
                ),
                ("tries", models.PositiveIntegerField(default=0, help_text="Looks since it last moved on.")),
                (
                    "detail",
                    models.TextField(blank=True, help_text="Why it failed, or why it does not move on."),
                ),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="batches",
                        to="meters.meterjob",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "meter job batches",
            },
        ),
        migrations.CreateModel(
            name="MeterJobRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField(help_text="Row of the file, the header being row 1.")),
                ("partner_reference", models.CharField(blank=True, max_length=256)),
                ("cells", models.JSONField(default=dict, help_text="As they stood in the file, by column.")),
                ("asset", models.JSONField(default=dict, help_text="As it is sent to Leap.")),
                ("problems", models.JSONField(default=list, help_text="[[column, what to do], …]")),
                ("status", models.CharField(blank=True, max_length=32)),
                ("status_detail", models.CharField(blank=True, max_length=64)),
                ("description", models.TextField(blank=True)),
                (
                    "meter_id",
                    models.CharField(
                        blank=True, help_text="Leap's id of the meter it became.", max_length=64
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="rows",
                        to="meters.meterjobbatch",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="meters.meterjob"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="MeterReference",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reference", models.CharField(db_index=True, max_length=256)),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="connection_references",
                        to="meters.meter",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ConnectionStep",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(help_text="SESSION or AUTHORIZATION.", max_length=16)),
                ("status", models.CharField(help_text="Leap's word, known to us or not.", max_length=32)),
                ("utility_name", models.CharField(blank=True, max_length=100)),
                ("webhook_event_id", models.CharField(blank=True, max_length=64)),
                ("received_at", models.DateTimeField()),
                (
                    "connection",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="meters.connection",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("webhook_event_id", ""), _negated=True),
                        fields=("webhook_event_id",),
                        name="connection_step_once",
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="meterjobbatch",
            index=models.Index(
                condition=models.Q(
                    ("state__in", ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED")), _negated=True
                ),
                fields=["look_at"],
                name="meter_job_batch_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="meterjobbatch",
            constraint=models.UniqueConstraint(fields=("job", "number"), name="meter_job_batch_once"),
        ),
        migrations.AddConstraint(
            model_name="meterjobrow",
            constraint=models.UniqueConstraint(fields=("job", "number"), name="meter_job_row_once"),
        ),
        migrations.AddConstraint(
            model_name="meterreference",
            constraint=models.UniqueConstraint(fields=("meter", "reference"), name="meter_reference_once"),
        ),
        migrations.RunPython(keep_references, migrations.RunPython.noop),
    ]
