"""Wake-ups for the workers. The only module of this app that calls django-q2."""

from __future__ import annotations

from typing import Final

from django_q.tasks import async_task

COMMANDS: Final = "commands"
"""The worker cluster that does nothing but speak to devices."""
RUN_DUE_COMMANDS: Final = "devices.tasks.run_due_commands"


def wake_commands() -> None:
    """Have a worker run what is due. Inside a transaction it is woken only if that commits."""
    async_task(RUN_DUE_COMMANDS, task_name="run due commands", cluster=COMMANDS)
