"""The reference of B1: the same project and server, without anything between a request and one insert."""

from __future__ import annotations

from tests.settings import *  # noqa: F403 - the reference is the project's own settings, stripped

MIDDLEWARE = []
ROOT_URLCONF = "benchmarks.reference_urls"
