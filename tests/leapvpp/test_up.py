"""`manage.py up` says what to do about a port it cannot have, before it touches anything."""

from __future__ import annotations

import socket

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from leapvpp.management.commands.up import programs


@pytest.mark.parametrize("port", ["eighty", "-1", "65536", "80.5"])
def test_a_port_that_is_none_is_refused_with_a_sentence(port, monkeypatch):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(CommandError, match="Set it to a number up to 65535, for example PORT=8001"):
        call_command("up")


def test_a_taken_port_is_refused_with_a_sentence(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(CommandError, match=f"Port {port} .* Set another, for example PORT={port + 1}"):
            call_command("up")


WHAT_RUNS = {
    "portal": (False, "", "", 4),
    "demo": (True, "", "", 5),
    "with a broker": (False, "mqtt://127.0.0.1", "", 5),
    "with chargers": (False, "", "127.0.0.1:9000", 5),
}


@pytest.mark.parametrize(("demo", "mqtt_url", "ocpp_listen", "names"), WHAT_RUNS.values(), ids=WHAT_RUNS)
def test_what_runs(demo, mqtt_url, ocpp_listen, names, settings):
    settings.MQTT_URL, settings.OCPP_LISTEN = mqtt_url, ocpp_listen
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = {program.name: program for program in programs(listener, demo=demo)}
        assert len(found) == names
        assert found["web"].pass_fds == (listener.fileno(),)
        for name, cluster, workers in (("worker", "portal", 3), ("command worker", "commands", 2)):
            assert found[name].environment == {"Q_CLUSTER_NAME": cluster}
            assert found[name].family_size == workers + 3  # a sentinel, a monitor, a pusher
