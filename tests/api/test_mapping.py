"""Pairs of meters and devices as a file: shown before they change, all or none, and back as they were."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.models import Device, MeterDevice
from meters.mapping_models import MappingBatch
from meters.models import Meter
from tests.builders import device, meter

PATH = "/api/v1/meters/mapping/"
ODD = ["=1+1", "'=2", "-3", "@x", "Zürich 北", 'a "b", c', "line\nbreak", "tab\t", " blank "]


def pairs() -> set[tuple[str, str]]:
    return set(MeterDevice.objects.values_list("meter__meter_id", "device__external_id"))


def sent(client, text: str, query: str = ""):
    return client.generic("POST", f"{PATH}import/{query}", text, content_type="text/csv")


def test_what_was_exported_changes_nothing_whatever_its_cells_hold(admin):
    for number, odd in enumerate(ODD):
        one = meter(meter_id=f"m{number}", name=odd, partner_reference=odd)
        device(one, external_id=odd, name=odd)
    before = pairs()
    text = admin.get(f"{PATH}?format=csv").content.decode()
    again = sent(admin, text, "?whole=true").json()
    assert (again["added"], again["removed"], again["unchanged"]) == (0, 0, len(ODD))
    MeterDevice.objects.all().delete()
    assert sent(admin, text, "?commit=true").json()["added"] == len(ODD)
    assert pairs() == before
    assert admin.get(f"{PATH}?format=csv").content.decode() == text


def test_a_file_adds_and_takes_away_only_at_the_meters_it_names_and_only_when_told_to(admin):
    one, other = meter(meter_id="m1"), meter(meter_id="m2")
    device(one, external_id="a")
    device(one, external_id="b")
    device(other, external_id="c")
    text = "meter_id,external_id\nM1,a\nm1, c \n"
    dry = sent(admin, text).json()
    assert (dry["applied"], dry["added"], dry["removed"], dry["unchanged"]) == (False, 1, 0, 1)
    assert pairs() == {("m1", "a"), ("m1", "b"), ("m2", "c")}
    whole = sent(admin, text, "?whole=true&commit=true").json()
    assert whole["changes"] == [
        {"change": "removed", "meter_id": "m1", "external_id": "b"},
        {"change": "added", "meter_id": "m1", "external_id": "c"},
    ]
    assert pairs() == {("m1", "a"), ("m1", "c"), ("m2", "c")}
    assert MappingBatch.objects.get().applied_by == "key admin"


WRONG = {
    "an unknown meter": ("m9,a", {"meter_id": "No meter has the id “m9”."}),
    "an unknown device": ("m1,z", {"external_id": "No device has the external id “z”."}),
    "the same twice": ("m1,a\nM1,a", {"external_id": "Row 2 says the same."}),
    "no device": ("m1,", {"external_id": "Write the device's external id."}),
    "no meter": (",a", {"meter_id": "Write Leap's id of the meter."}),
    "a null character": ("m1,a\0", {"external_id": "Null characters are not allowed."}),
    "an id without end": (f"m1,{'a' * 1000}", {"external_id": "Ensure this field has no more than 160"}),
}


@pytest.mark.parametrize(("lines", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_row_says_what_to_do_and_nothing_is_applied(admin, lines, said):
    meter(meter_id="m1")
    device(external_id="a")
    device(external_id="b")
    text = f"meter_id,external_id\n{lines}\nm1,b\n"
    (errors,) = sent(admin, text).json()["errors"].values()
    for column, sentence in said.items():
        assert errors[column][0].startswith(sentence)
    assert sent(admin, text, "?commit=true").status_code == 400
    assert not pairs()


@pytest.mark.parametrize(
    ("text", "said"),
    [("meter_id,colour\nm,red", "Unknown columns: colour."), ("meter_id,external_id\n", "between 1 and")],
)
def test_a_file_that_is_none_is_refused_whole(admin, text, said):
    answer = sent(admin, text)
    assert answer.status_code == 400
    assert said in answer.content.decode()


def test_many_rows_take_no_more_statements_than_one(admin):
    many = 3000
    Meter.objects.bulk_create(Meter(meter_id=f"m{n}") for n in range(many))
    Device.objects.bulk_create(Device(external_id=f"d{n}", rated_power_kw=1) for n in range(many))
    counts = []
    for size in (1, 1, many):  # the first request of a key notes that it is used
        MeterDevice.objects.all().delete()
        text = "meter_id,external_id\n" + "\n".join(f"m{n},d{n}" for n in range(size))
        with CaptureQueriesContext(connection) as asked:
            assert sent(admin, text, "?commit=true").json()["added"] == size
        counts.append(sum("INSERT" not in query["sql"][:6] for query in asked))
    assert counts[1] == counts[2]
