"""The application a WSGI server runs."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from leapvpp import environment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leapvpp.settings")
environment.read_dotenv(Path(__file__).resolve().parent.parent / environment.text("ENV_FILE", ".env"))
# To Leap an answer after 8 seconds is none: no statement of the web server waits that long, nor do the two
# for which a delivery may have to wait.
os.environ.setdefault("DATABASE_PATIENCE_MS", "3000")

application = get_wsgi_application()
# Loaded before the server forks, so that its processes share the pages, and a mistake shows at start.
import_module(settings.ROOT_URLCONF)
