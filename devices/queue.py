"""Wake-ups for the workers. The only module of this app that calls django-q2."""

from __future__ import annotations

from django_q.tasks import async_task


def wake_commands() -> None:
    """Have a worker run what is due. Inside a transaction it is woken only if that commits."""
    async_task("devices.tasks.run_due_commands", task_name="run due commands")
