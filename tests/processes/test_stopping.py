"""However the portal is stopped, nothing of it is left running."""

from __future__ import annotations

import signal

import pytest

from tests.processes.running import living, running_portal, wait_until


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_stopped_portal_leaves_no_orphan(how, tmp_path):
    with running_portal(tmp_path) as portal:
        assert "createsuperuser" in portal.log.read_text()  # it is empty, and says so
        wait_until(lambda: portal.client.get("/readyz").status_code == 200, what="readiness")
        everything = portal.everything()
        for _ in range(50):  # a shell, a terminal and make may each pass the same signal on
            portal.process.send_signal(how)
        wait_until(lambda: not living(everything), what=f"the end of {len(everything)} processes")
    assert portal.process.returncode == (0 if how == signal.SIGTERM else -signal.SIGKILL)
