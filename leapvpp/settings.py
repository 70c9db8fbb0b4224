"""The project's settings, from the environment only (a `.env` file is honoured).

`docs/configuration.md` lists what may be set. Nonsense is refused here, at start, with a sentence.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from leapvpp import environment

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = BASE_DIR / "var"
environment.read_dotenv(BASE_DIR / environment.text("ENV_FILE", ".env"))

DEBUG = environment.flag("DEBUG")
SECRET_KEY = environment.secret_key(debug=DEBUG)
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = environment.names("CSRF_TRUSTED_ORIGINS")
LEAP_WEBHOOK_KEYS = environment.webhook_keys(debug=DEBUG)
LEAP_WEBHOOK_HEADER = environment.webhook_header()
LEAP_API_BASE_URL = environment.leap_base_url()
LEAP_API_KEY = environment.leap_api_key()
LEAP_CONNECT_URL = environment.leap_connect_url()
LEAP_DISPATCH_LEVEL = environment.choice("LEAP_DISPATCH_LEVEL", ("first", "meter", "group"))
REDIS_URL = environment.server_url("REDIS_URL", schemes=("redis", "rediss"))
PORTAL_URL = environment.portal_url()
IS_DEMO = environment.flag("DEMO")
SIMULATE = environment.flag("SIMULATE", default=IS_DEMO)
MQTT_URL = environment.server_url("MQTT_URL", schemes=("mqtt", "mqtts"))
MQTT_CA_FILE = environment.text("MQTT_CA_FILE")
MQTT_DISCOVERY = environment.topics("MQTT_DISCOVERY", ("homeassistant", "leapvpp/discovery"))
MQTT_VERIFY = environment.flag("MQTT_VERIFY", default=True)
OCPP_LISTEN = environment.listen_address("OCPP_LISTEN")
OCPP_CONTROL = Path(
    environment.text("OCPP_CONTROL", str(STATE_DIR / f"ocpp-{OCPP_LISTEN.rpartition(':')[2]}.sock"))
)
OCPP_CERT_FILE = environment.text("OCPP_CERT_FILE")
OCPP_KEY_FILE = environment.text("OCPP_KEY_FILE")
OCPP_ALLOW_NO_PASSWORD = environment.flag("OCPP_ALLOW_NO_PASSWORD")
WEB_WORKERS = environment.whole_number("WEB_WORKERS", 2)
LOG_LEVEL = environment.text("LOG_LEVEL", "INFO").upper()
DATABASES = {"default": environment.database(BASE_DIR)}
vars().update(environment.email_settings())
EMAIL_TIMEOUT = 10
# Who is told of what needs a person; without addresses the pages alone say so.
ALERT_EMAILS = environment.addresses("ALERT_EMAILS")
ALERT_EMAIL_FROM = environment.text("ALERT_EMAIL_FROM", "portal@localhost")
ALERT_WEBHOOK_URL = environment.alert_webhook_url()
ALERT_WEBHOOK_SECRET = environment.signing_secrets("ALERT_WEBHOOK_SECRET")

INSTALLED_APPS = [
    "leapvpp.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "leapvpp",  # before django_q, whose worker command it replaces
    "django_q",
    "dispatch",
    "devices",
    "meters",
]
MIDDLEWARE = [
    "leapvpp.cookies.PlainLoopbackCookies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "leapvpp.nul.RefuseNul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "leapvpp.urls"
WSGI_APPLICATION = "leapvpp.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dispatch.reading.frame.frame",
            ]
        },
    }
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# Static files come from the packages and from the source tree; there is no build and no collecting.
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 60

# Who may enter.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "leapvpp.access.RoleBackend",
    "leapvpp.access.ApiKeyBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "sign-in"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_HTTP_RESPONSE_CODE = 429
AXES_VERBOSE = False

# What a page says once may be a key: it waits in the session, on this side, not in a cookie.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Cookies travel over TLS only; `leapvpp.cookies` makes the exception for a browser on this machine.
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_AGE = 12 * 60 * 60
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
SECURE_REFERRER_POLICY = "same-origin"
if environment.flag("BEHIND_TLS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # whether other names under this domain speak TLS is not this portal's to say
    "security.W008",  # plain http is answered on loopback; in front of it, the TLS proxy redirects
    "security.W021",  # nor is the browsers' preload list
]

# Devices: a driver's name on a device → its class.
DEVICE_DRIVERS = {
    "simulator": "devices.drivers.simulator.SimulatorDriver",
    "http": "devices.drivers.http.HttpDriver",
    "modbus": "devices.drivers.modbus.ModbusDriver",
    "mqtt": "devices.drivers.mqtt.MqttDriver",
    "ocpp": "devices.drivers.ocpp.OcppDriver",
}
# Where drivers may connect to, as devices' addresses are typed by people.
DEVICE_NETWORKS = environment.device_networks()
DEVICE_PORTS = environment.device_ports()
DEVICE_MODBUS_PORTS = environment.device_ports("DEVICE_MODBUS_PORTS", default=("502",))
DEVICE_CLOSED_PORTS = environment.service_ports(
    environment.text("DATABASE_URL"), REDIS_URL, MQTT_URL, f"tcp://{OCPP_LISTEN}"
)
DEVICE_HTTP_SECRETS = environment.signing_secrets("DEVICE_HTTP_SECRETS")

# Days for which what devices measure is kept.
READINGS_KEPT_DAYS = environment.whole_number("READINGS_KEPT_DAYS", 2)
MINUTES_KEPT_DAYS = environment.whole_number("MINUTES_KEPT_DAYS", 30)
QUARTERS_KEPT_DAYS = environment.whole_number("QUARTERS_KEPT_DAYS", 400)

# The API.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "leapvpp.access.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["leapvpp.access.RolePermission"],
    "DEFAULT_PAGINATION_CLASS": "leapvpp.rest.Pages",
    "DEFAULT_RENDERER_CLASSES": ["leapvpp.rest.NumbersAreNumbers"],
    "DEFAULT_PARSER_CLASSES": ["leapvpp.rest.ShallowJson"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "leapvpp.problems.answer_problem",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNICODE_JSON": True,
    "STRICT_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Leap operator portal",
    "DESCRIPTION": (
        "What Leap asked for, what each device does about it, and why. Power is kW and energy kWh, as "
        "numbers; times are UTC and end in Z; windows are half-open. Errors are RFC 9457 problem details."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": ["leapvpp.rest.describe_problems"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 25 * 1024 * 1024

# The workers. Their queue is the database's own: a wake-up commits or vanishes with the rows it is about.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # The worker's signs of life are read by other processes (`manage.py qinfo`).
    "cluster": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": STATE_DIR / "cache",
    },
}
Q_CLUSTER: dict[str, Any] = {
    "name": "portal",
    "orm": "default",
    # One may read meters from a slow Leap for hours, another wait for its answer to what was asked of it.
    "workers": 3,
    "timeout": 60,
    # The lock of a queued row is taken when it is fetched: longer than waiting and running together.
    "retry": 900,
    "max_attempts": 1,
    "ack_failures": True,
    "bulk": 1,
    "queue_limit": 2,
    "poll": 0.2,
    "guard_cycle": 0.5,
    "save_limit": -1,
    "catch_up": False,
    # The supervisor restarts a cluster that loses a process, so workers are replaced seldom.
    "recycle": 20_000,
    "cache": "cluster",
    "log_level": "WARNING",
    # Device commands have workers of their own, so that they never wait for parsing, planning or sync.
    # `leapvpp.queue` says which tasks are theirs; what is not set here is as above.
    "ALT_CLUSTERS": {"commands": {"workers": 2, "retry": 300, "scheduler": False}},
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "leapvpp.logs.UtcLine",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "django.server": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},  # it would log every address of the search
        "axes": {"level": "WARNING"},
        "pymodbus": {"level": "CRITICAL"},  # what goes wrong is said of the attempt, once
    },
}
