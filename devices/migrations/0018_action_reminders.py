"""Reminders of required actions."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("devices", "0017_found_devices")]
    operations: list[migrations.operations.base.Operation] = []
