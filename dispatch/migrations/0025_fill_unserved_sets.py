import hashlib
from collections import defaultdict

from django.db import migrations
from django.utils import timezone

BATCH = 1000
DEVICES = 500


def share_slices(apps, schema_editor):
    """Make a set of each device's slices, or give it the set of another with the same. Some devices at a time."""
    Unserved = apps.get_model("dispatch", "Unserved")
    device_ids = list(Unserved.objects.order_by("device_id").values_list("device_id", flat=True).distinct())
    sets = {}
    for first in range(0, len(device_ids), DEVICES):
        _share(apps, device_ids[first : first + DEVICES], sets)


def _share(apps, device_ids, sets):
    Unserved, DeviceUnserved = apps.get_model("dispatch", "Unserved"), apps.get_model("dispatch", "DeviceUnserved")
    UnservedSet = apps.get_model("dispatch", "UnservedSet")
    slices, owned, shared = defaultdict(list), defaultdict(list), []
    columns = ("device_id", "pk", "event_id", "starts_at", "ends_at", "reason", "is_shaded")
    rows = Unserved.objects.filter(device_id__in=device_ids).order_by("event_id", "starts_at")
    for device_id, pk, *content in rows.values_list(*columns):
        slices[device_id].append((pk, content))
    having = []
    for device_id, found in slices.items():
        digest = hashlib.sha256(repr([content for _, content in found]).encode()).hexdigest()
        pks = [pk for pk, _ in found]
        if digest in sets:
            shared += pks
        else:
            sets[digest] = UnservedSet.objects.create(digest=digest).pk
            owned[sets[digest]] = pks
        having.append(DeviceUnserved(device_id=device_id, unserved_set_id=sets[digest], since=timezone.now()))
    DeviceUnserved.objects.bulk_create(having)
    for set_id, pks in owned.items():
        for first in range(0, len(pks), BATCH):
            Unserved.objects.filter(pk__in=pks[first : first + BATCH]).update(unserved_set_id=set_id)
    for first in range(0, len(shared), BATCH):
        Unserved.objects.filter(pk__in=shared[first : first + BATCH]).delete()


class Migration(migrations.Migration):
    dependencies = [("dispatch", "0024_unserved_sets")]

    operations = [migrations.RunPython(share_slices, migrations.RunPython.noop, elidable=True)]
