"""The table of programs."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from meters.programs import describe


def describe_programs(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Fill in what the table says of programs; rows that somebody described stay as they are."""
    describe(apps.get_model("meters", "Program"))


class Migration(migrations.Migration):
    dependencies = [("meters", "0005_enrollments")]
    operations = [
        migrations.AddIndex(
            model_name="enrollment",
            index=models.Index(fields=["starts_at"], name="enrollment_start"),
        ),
        migrations.RunPython(describe_programs, migrations.RunPython.noop),
    ]
