import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0025_fill_unserved_sets")]

    operations = [
        migrations.RemoveConstraint(model_name="unserved", name="unserved_one_per_start"),
        migrations.RemoveField(model_name="unserved", name="device"),
        migrations.AlterField(
            model_name="unserved",
            name="unserved_set",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="slices", to="dispatch.unservedset"
            ),
        ),
        migrations.AlterField(
            model_name="deviceunserved",
            name="device",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="unserved", to="devices.device"
            ),
        ),
        migrations.AddConstraint(
            model_name="unserved",
            constraint=models.UniqueConstraint(
                fields=("unserved_set", "event", "starts_at"), name="unserved_one_per_start"
            ),
        ),
        migrations.AddConstraint(
            model_name="deviceunserved",
            constraint=models.UniqueConstraint(
                condition=models.Q(("until__isnull", True)), fields=("device",), name="device_unserved_one_now"
            ),
        ),
    ]
