"""The application a WSGI server runs."""

from __future__ import annotations

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leapvpp.settings")
# To Leap an answer after 8 seconds is none: no statement of the web server waits that long.
os.environ.setdefault("DATABASE_PATIENCE_MS", "5000")

application = get_wsgi_application()
# Loaded before the server forks, so that its processes share the pages, and a mistake shows at start.
import_module(settings.ROOT_URLCONF)
