"""Onboarding."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("meters", "0007_participation")]
    operations: list[migrations.operations.base.Operation] = []
