"""The project's settings as the tests need them, whatever the environment says; only DATABASE_URL is kept."""

from __future__ import annotations

import os

for name in ["DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "BEHIND_TLS_PROXY", "LEAP_WEBHOOK_HEADER"]:
    os.environ.pop(name, None)
for name in ["LEAP_API_BASE_URL", "LEAP_DISPATCH_LEVEL", "REDIS_URL", "EMAIL_URL", "LOG_LEVEL"]:
    os.environ.pop(name, None)
for name in ["DEVICE_NETWORKS", "DEVICE_PORTS", "DEVICE_MODBUS_PORTS", "DEVICE_HTTP_SECRETS"]:
    os.environ.pop(name, None)
for name in ["DEMO", "SIMULATE", "MQTT_URL", "MQTT_CA_FILE", "MQTT_VERIFY", "MQTT_DISCOVERY"]:
    os.environ.pop(name, None)
for name in ["OCPP_LISTEN", "OCPP_CONTROL", "OCPP_CERT_FILE", "OCPP_KEY_FILE", "OCPP_ALLOW_NO_PASSWORD"]:
    os.environ.pop(name, None)
for name in ["ALERT_EMAILS", "ALERT_EMAIL_FROM", "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_SECRET"]:
    os.environ.pop(name, None)
os.environ["ENV_FILE"] = "none"
os.environ["SECRET_KEY"] = "only-for-tests-0123456789-0123456789-0123456789"
os.environ["LEAP_WEBHOOK_KEYS"] = "key-one,key-two"
os.environ["LEAP_API_KEY"] = ""

from leapvpp.settings import *  # noqa: E402, F403 - the values above must stand first
from leapvpp.settings import DATABASES  # noqa: E402 - as above

if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # A thread of the live server would keep its connection open, and the test database could not be dropped.
    DATABASES["default"]["CONN_MAX_AGE"] = 0

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True  # else every test client would list all static files first
