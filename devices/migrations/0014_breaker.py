from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0013_proof"),
    ]

    operations = [
        migrations.AddField(
            model_name="device",
            name="rests_until",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="device",
            name="silent_tries",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="deviceschedule",
            name="driver",
            field=models.CharField(blank=True, default="", editable=False, max_length=64),
            preserve_default=False,
        ),
    ]
