"""The table of programs."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("meters", "0005_enrollments")]
    operations: list[migrations.operations.base.Operation] = []
