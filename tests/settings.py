"""The project's settings with what a test needs filled in; the database comes from DATABASE_URL."""

from __future__ import annotations

import os

os.environ.setdefault("SECRET_KEY", "only-for-tests-0123456789-0123456789-0123456789")
os.environ.setdefault("LEAP_WEBHOOK_KEYS", "key-one,key-two")
os.environ.setdefault("LEAP_API_KEY", "")

from leapvpp.settings import *  # noqa: F403 - the defaults above must stand first

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
