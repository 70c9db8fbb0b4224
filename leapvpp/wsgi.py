"""The application a WSGI server runs."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leapvpp.settings")
# An answer after 8 s is none to Leap: no statement of the web server waits longer than this (PostgreSQL).
os.environ.setdefault("DATABASE_PATIENCE_MS", "5000")

application = get_wsgi_application()
