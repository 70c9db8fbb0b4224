import hashlib
from collections import defaultdict

from django.db import migrations
from django.utils import timezone

BATCH = 1000


def share_slices(apps, schema_editor):
    """Make a set of each device's slices, or give it the set of another with the same."""
    Unserved = apps.get_model("dispatch", "Unserved")
    UnservedSet = apps.get_model("dispatch", "UnservedSet")
    DeviceUnserved = apps.get_model("dispatch", "DeviceUnserved")
    slices = defaultdict(list)
    columns = ("device_id", "pk", "event_id", "starts_at", "ends_at", "reason", "is_shaded")
    for device_id, pk, *content in Unserved.objects.order_by("event_id", "starts_at").values_list(*columns):
        slices[device_id].append((pk, content))
    sets, shared = {}, []
    for device_id, rows in slices.items():
        digest = hashlib.sha256(repr([content for _, content in rows]).encode()).hexdigest()
        pks = [pk for pk, _ in rows]
        if digest in sets:
            shared += pks
        else:
            sets[digest] = UnservedSet.objects.create(digest=digest)
            for first in range(0, len(pks), BATCH):
                Unserved.objects.filter(pk__in=pks[first : first + BATCH]).update(unserved_set=sets[digest])
        DeviceUnserved.objects.create(
            device_id=device_id, unserved_set=sets[digest], since=timezone.now(), until=None
        )
    for first in range(0, len(shared), BATCH):
        Unserved.objects.filter(pk__in=shared[first : first + BATCH]).delete()


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0024_unserved_sets")]

    operations = [migrations.RunPython(share_slices, elidable=True)]
