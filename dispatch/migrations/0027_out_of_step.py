"""Groups out of step."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0026_unserved_of_sets")]
    operations: list[migrations.operations.base.Operation] = []
