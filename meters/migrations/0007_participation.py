"""Participation."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("meters", "0006_programs")]
    operations: list[migrations.operations.base.Operation] = []
