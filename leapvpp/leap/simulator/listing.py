"""What the simulator says of meters when it is asked: the two searches, and one meter by its id.

Source: Leap's OpenAPI documents "Get meter detail" 2 and "Meter Information API" 2.0.0.
"""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from leapvpp.leap.simulator.calls import Answer, Call, Refusal, Route, decode
from leapvpp.leap.simulator.meters import MeterBook, MeterQuery


class Listing:
    """The service that answers what is in a book of meters."""

    def __init__(self, meters: MeterBook, *, page_size: int) -> None:
        self._meters = meters
        self._page_size = page_size

    def routes(self) -> Sequence[Route]:
        """Return what it answers."""
        return (
            ("POST", "/v2/meters/search", partial(self._search, is_enrollment=False)),
            ("POST", "/v2/meters/enrollments/search", partial(self._search, is_enrollment=True)),
            ("GET", "/v2/meters/([^/]+)", partial(self._get, is_enrollment=False)),
            ("GET", "/v2/meters/([^/]+)/enrollments", partial(self._get, is_enrollment=True)),
        )

    def _search(self, call: Call, *, is_enrollment: bool) -> Answer:
        """Answer a page. Its token is the id after which the next page begins."""
        query = decode(call.body, MeterQuery)
        found = self._meters.search(query, is_enrollment=is_enrollment)
        if query.page_token is not None:
            found = [meter for meter in found if meter["meter_id"] > query.page_token]
        size = min(query.page_size, self._page_size)
        answer: dict[str, object] = {"meters": found[:size]}
        if len(found) > size:
            answer["next_page_token"] = found[size - 1]["meter_id"]
        return 200, answer

    def _get(self, call: Call, *, is_enrollment: bool) -> Answer:
        details = {"meter_id": call.argument}
        try:
            meter_id = UUID(call.argument)
        except ValueError:
            raise Refusal(400, "Meter id is not a UUID", details) from None
        found = self._meters.search(MeterQuery(meter_ids=(meter_id,)), is_enrollment=is_enrollment)
        if not found:
            raise Refusal(404, "Meter not found", details)
        return 200, found[0]
