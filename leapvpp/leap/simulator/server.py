"""The simulator as one object: ledger, pusher, API server, and plays of scenarios."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Self
from uuid import uuid4
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from leapvpp.leap.simulator.acts import perform
from leapvpp.leap.simulator.api import PAGE_SIZE, LeapApi
from leapvpp.leap.simulator.connect import ConnectDesk
from leapvpp.leap.simulator.control import Control
from leapvpp.leap.simulator.jobs import TAKES, MeterJobs
from leapvpp.leap.simulator.ledger import Ledger, LedgerEvent
from leapvpp.leap.simulator.listing import Listing
from leapvpp.leap.simulator.meters import MeterBook
from leapvpp.leap.simulator.participation import Participation
from leapvpp.leap.simulator.platform import EVENT_TYPES, Platform
from leapvpp.leap.simulator.pusher import Faults, Pusher
from leapvpp.leap.simulator.scenario import Play, Scenario, Step
from leapvpp.leap.simulator.subscriptions import Subscriptions
from leapvpp.leap.simulator.words import parse_offset
from leapvpp.leap.values import DispatchWebhook, Header, Level, Subscription


class LeapSimulator:
    """Leap in miniature on a port of loopback; use it as a context manager.

    Everything it holds is in ``ledger`` and ``meters``; what it posted, with every attempt, in
    ``pusher.deliveries`` and ``pusher.platform_deliveries``. ``platform.emit`` says what no meter tells.
    """

    def __init__(
        self,
        *,
        api_key: str,
        port: int = 0,
        speed: float = 1.0,
        seed: int = 0,
        faults: Faults | None = None,
        ledger_path: Path | None = None,
        page_size: int = PAGE_SIZE,
    ) -> None:
        """Take the port (0: any free one). ``speed`` divides every duration but time-outs."""
        self.ledger = Ledger(path=ledger_path)
        self.pusher = Pusher(faults=faults or Faults(), seed=seed, speed=speed)
        self.platform = Platform(self.pusher)
        self.meters = MeterBook(tell=self.platform.follow)
        self.jobs = MeterJobs(meters=self.meters, takes=TAKES / speed)
        self.connect = ConnectDesk(platform=self.platform, meters=self.meters)
        self.speed = speed
        self._is_stopping = threading.Event()
        self._server = _Server(("127.0.0.1", port), _QuietHandler)
        self._server.set_app(
            LeapApi(
                ledger=self.ledger,
                pusher=self.pusher,
                api_key=api_key,
                page_size=page_size,
                services=(
                    Listing(self.meters, page_size=page_size),
                    Participation(self.meters),
                    Subscriptions(self.pusher),
                    self.jobs,
                    self.connect,
                    Control(self.meters),
                ),
            )
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    def __enter__(self) -> Self:
        self.pusher.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self.pusher.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def push_to(self, *, url: str, header: str, key: str, levels: Sequence[Level] = tuple(Level)) -> None:
        """Register the portal's webhook as if the portal had done it."""
        for level in levels:
            self.pusher.webhooks[level] = DispatchWebhook(url=url, headers=(Header(name=header, value=key),))

    def tell(self, *, url: str, header: str, key: str) -> None:
        """Subscribe the portal to every event of the platform as if the portal had done it."""
        webhook_id = str(uuid4())
        self.pusher.subscriptions[webhook_id] = Subscription(
            webhook_id=webhook_id,
            receiver_url=url,
            event_types=EVENT_TYPES,
            headers=(Header(name=header, value=key),),
        )

    def publish(self, events: Sequence[LedgerEvent], *, step: Step | None = None) -> None:
        """Store the events as Leap's truth and post them, lost, twice or late as the step says."""
        stored = [self.ledger.put(event) for event in events]
        self.pusher.publish(
            stored,
            is_communication_test=any(event.timeslot.is_test for event in stored),
            is_lost=step is not None and step.lost,
            is_sent_twice=step is not None and step.twice,
            late=parse_offset(step.late if step else "0s"),
        )

    def play(
        self,
        scenario: Scenario,
        *,
        start: datetime,
        at_once: bool = False,
        recipients: Mapping[str, str] | None = None,
        after_step: Callable[[], object] | None = None,
    ) -> Play:
        """Take every step of a scenario, waiting for each one's time unless ``at_once``.

        ``at_once`` keeps the events' times: with a ``start`` in the past, a step that belongs in
        the middle of an event finds it running. A scenario's own faults hold while it plays.
        ``after_step`` is called after each step, so that a receiver can be waited for. Raises ``ActError``
        for a step about meters that cannot be done.
        """
        play = Play(scenario, start=start, speed=1.0 if at_once else self.speed, recipients=recipients)
        usual_faults = self.pusher.faults
        if scenario.faults != Faults():
            self.pusher.faults = scenario.faults
        for step in scenario.steps:
            if not at_once and self._is_stopped_before(play.timeline.step_time(step.at)):
                break
            self._take(step, play=play)
            if after_step is not None:
                after_step()
        self.pusher.faults = usual_faults
        return play

    def _take(self, step: Step, *, play: Play) -> None:
        if step.is_about_meters:
            perform(self.meters, step.do, play.on_meters(step), now=datetime.now(UTC))
            return
        events = play.apply(step)
        if step.do == "away":
            self.pusher.go_away(lasts=parse_offset(step.lasts))
        elif step.do == "integration_test":
            self.pusher.publish(events, is_integration_test=True)
        else:
            self.publish(events, step=step)

    def _is_stopped_before(self, moment: datetime) -> bool:
        return self._is_stopping.wait(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Bind without the look-up of the host's full name, which may wait for a DNS server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", int(self.server_address[1])
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep requests off the terminal; the deliveries are what is worth reading."""
