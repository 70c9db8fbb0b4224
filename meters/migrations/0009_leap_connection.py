"""Connection to Leap."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("meters", "0008_onboarding")]
    operations: list[migrations.operations.base.Operation] = []
