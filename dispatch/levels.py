"""Which level each program is acted upon: read for planning, decided by recording or a person.

Whoever writes here holds the turn of recording, so no decision overwrites another unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction

from dispatch import queue
from dispatch.domain.belief import Source
from dispatch.domain.levels import Arrival, Decision, Policy, decide
from dispatch.locking import Stage, take_turn
from dispatch.lookups import batches
from dispatch.models import DispatchEvent, ProgramLevel
from meters.enrolling import note_programs

FIRST: Final = "first"
"""The setting under which each program is acted upon at the level that arrived first."""
_LONGEST_PROGRAM: Final = 100


def load_policy() -> Policy:
    """Return what planning goes by. At most one statement."""
    if settings.LEAP_DISPATCH_LEVEL != FIRST:
        return Policy(forced=settings.LEAP_DISPATCH_LEVEL.upper())
    return Policy(decided=dict(ProgramLevel.objects.values_list("program", "level")))


def note_arrivals(arrivals: Sequence[Arrival], *, now: datetime) -> None:
    """Decide the level of programs that arrive for the first time. Call in recording's transaction.

    It is kept under every setting, so that `first` may be chosen at any time.
    """
    programs = {program for arrival in arrivals for program in arrival.side.programs}
    held = {
        row.program: Decision(row.level, Source(row.source), row.decided_by_id)
        for row in ProgramLevel.objects.filter(program__in=programs)
    }
    new = {
        program: decision
        for program, decision in decide(arrivals, held=held).items()
        if len(program) <= _LONGEST_PROGRAM  # longer ones are no codes; undecided, both levels act
    }
    _write(new, now=now)
    if appeared := new.keys() - held.keys():  # asked only for the first dispatch of a program
        note_programs(appeared, now=now)
    _plan_again([name for name in new if name in held and held[name].level != new[name].level], now=now)


def choose_level(*, program: str, level: str, now: datetime) -> None:
    """Set a program's level by hand, and plan its open events again."""
    with transaction.atomic():
        take_turn(Stage.RECORDING)
        _write({program: Decision(level, Source.OPERATOR, None)}, now=now)
        _plan_again([program], now=now)
        queue.wake_planning()


def _write(decisions: dict[str, Decision], *, now: datetime) -> None:
    ProgramLevel.objects.bulk_create(
        [
            ProgramLevel(
                program=program,
                level=decision.level,
                source=decision.source,
                decided_by_id=decision.event_id,
                decided_at=now,
            )
            for program, decision in sorted(decisions.items())
        ],
        update_conflicts=True,
        unique_fields=["program"],
        update_fields=["level", "source", "decided_by", "decided_at"],
    )


def _plan_again(programs: Collection[str], *, now: datetime) -> None:
    """Ask for a plan of the programs' open events, taken in order of id as everybody takes them."""
    if not programs:
        return
    wanted = set(programs)
    live = DispatchEvent.objects.filter(is_cancelled=False, ends_at__gt=now).order_by("pk")
    found = [pk for pk, named in live.values_list("pk", "programs") if wanted.intersection(named)]
    for batch in batches(found):
        held = DispatchEvent.objects.filter(pk__in=batch).order_by("pk").select_for_update(no_key=True)
        DispatchEvent.objects.filter(pk__in=list(held.values_list("pk", flat=True))).update(
            plan_requested_at=now
        )
