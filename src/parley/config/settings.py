"""Django's settings, from one typed reading of the environment."""

from __future__ import annotations

import hashlib
import importlib.util
from datetime import timedelta
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from parley import __version__
from parley.config import environment

PARLEY = environment.read()
PARLEY_REFERENCE = environment.variables()
ROOT = environment.ROOT

SECRET_KEY = PARLEY.key()
DEBUG = PARLEY.debug
ALLOWED_HOSTS = PARLEY.hosts()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "parley.accounts",
    "parley.conversations",
    "parley.messaging",
    "parley.api",
    "parley.dialects",
    "parley.web",
    "parley.ops",
    "django.contrib.staticfiles",  # last: "runserver" is to be that of parley.ops
]

AUTH_USER_MODEL = "accounts.User"
KNOX_TOKEN_MODEL = "accounts.OpaqueToken"  # noqa: S105 - a model
# Knox's own table is replaced by accounts.OpaqueToken; its migrations would create it all the same.
MIGRATION_MODULES = {"knox": None}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "parley.http.middleware.name_requests",
    "parley.http.middleware.protect",
    "parley.http.cookies.SecureCookies",
    "django.middleware.security.SecurityMiddleware",
    "parley.http.static.StaticFiles",
    "parley.http.middleware.bound",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "parley.http.middleware.Common",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "parley.http.throttling.ThrottledPages",
    "parley.http.middleware.keep_private",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "parley.config.urls"
ASGI_APPLICATION = "parley.config.asgi.application"
WSGI_APPLICATION = "parley.config.wsgi.application"


KEPT_S = 600


def database() -> dict[str, Any]:
    """Return Django's description of the chosen database, with what we rely on."""
    found = chosen_database()
    options: dict[str, Any] = {**found.get("OPTIONS", {})}
    if found["ENGINE"].endswith("sqlite3"):
        found["ENGINE"] = "parley.kernel.sqlite3"
        # An acknowledged message has reached the disk: FULL, in WAL too.
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # What many commits wrote on one page goes to its place once; the log stays below 20 MB.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            " PRAGMA wal_autocheckpoint=4000;",
        }
    elif found["ENGINE"].endswith("mysql"):
        require_mysql_driver()
        found |= {"CONN_HEALTH_CHECKS": True}
        options |= {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            # Without "materialization" off a page of messages first reads all of one's marks.
            "init_command": "SET SESSION innodb_lock_wait_timeout=5,"
            " sql_mode='STRICT_TRANS_TABLES', optimizer_switch='materialization=off'",
        }
    elif found["ENGINE"].endswith("postgresql"):
        # Only connections that nobody ended are used on: a restarted database is no fault.
        found |= {"ENGINE": "parley.kernel.postgresql", "CONN_HEALTH_CHECKS": True}
        options |= {
            # What a request reads lies in memory or on flash. At the price of a turning disk the
            # planner would read all conversations to find those of one viewer.
            "options": f"-c random_page_cost=1.1 {options.get('options', '')} -c lock_timeout=5000",
            "prepare_threshold": 2,
        }
    # Threads keep their connection (http.turns).
    return found | {"OPTIONS": options, "ATOMIC_REQUESTS": False, "CONN_MAX_AGE": KEPT_S}


def chosen_database() -> dict[str, Any]:
    """Return what ``DATABASE_URL`` says, else ``MYSQL_*``, else the embedded one."""
    if PARLEY.database_url:
        return dict(dj_database_url.parse(PARLEY.database_url))
    if PARLEY.mysql_database:
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": PARLEY.mysql_database,
            "USER": PARLEY.mysql_user,
            "PASSWORD": PARLEY.mysql_password,
            "HOST": PARLEY.mysql_host,
            "PORT": PARLEY.mysql_port,
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": PARLEY.folder() / "parley.sqlite3",
    }


def require_mysql_driver() -> None:
    if importlib.util.find_spec("MySQLdb") is None:
        raise ImproperlyConfigured(
            "The settings choose MySQL or MariaDB, whose driver is not installed: "
            "run `pip install -r requirements-mysql.txt`."
        )


DATABASES = {"default": database()}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
PASSWORD_HASHERS = [
    *(
        f"django.contrib.auth.hashers.{name}"
        for name in (
            "Argon2PasswordHasher",
            "PBKDF2PasswordHasher",
            "PBKDF2SHA1PasswordHasher",
            "ScryptPasswordHasher",
        )
    ),
    "parley.accounts.hashers.ImportedSHA256",
]

AUTHENTICATION_BACKENDS = ["parley.http.signing_in.PasswordBackend"]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = ["parley.config.formats"]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # static files are served from where they are installed
WHITENOISE_AUTOREFRESH = DEBUG

# Cookies are made Secure under HTTPS by ``SecureCookies``, so that one server can speak both.
SESSION_ENGINE = "parley.http.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = PARLEY.hsts_seconds
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # PARLEY_HSTS_SECONDS is for whoever runs the HTTPS in front to decide
    "security.W008",  # and so is the redirect to it
    "security.W012",  # SecureCookies sees to the session's cookie
    "security.W016",  # and to that of CSRF
]

LOGGING_CONFIG = "parley.config.logs.configure"
LOGGING = {"level": PARLEY.log_level, "format": PARLEY.log_format, "access": PARLEY.access_log}

TEST_RUNNER = "parley.ops.testing.PytestRunner"

SIMPLE_JWT = {
    # Of its own, and of full length however short the key of an older ``.env`` is.
    "SIGNING_KEY": hashlib.sha256(f"parley.jwt:{SECRET_KEY}".encode()).hexdigest(),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=24),
    "USER_ID_FIELD": "user_id",
    "USER_ID_CLAIM": "user_id",
    "LEEWAY": 10,
}

REST_KNOX = {"AUTH_TOKEN_CHARACTER_LENGTH": 40, "TOKEN_TTL": None}

CSRF_FAILURE_VIEW = "parley.http.refusals.csrf_failure"
LOGIN_URL = "/api-auth/login/"
LOGIN_REDIRECT_URL = "/api/"
# A body within our own limit is kept in memory; none is spooled to a disk.
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = PARLEY.body_limit

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "parley.http.authentication.BearerAuthentication",
        "parley.http.authentication.TokenAuthentication",
        "parley.http.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["parley.http.throttling.RequestThrottle"],
    "DEFAULT_PARSER_CLASSES": [
        "parley.http.parsers.JSONParser",
        "parley.http.parsers.FormParser",
        "parley.http.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "parley.api.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_SCHEMA_CLASS": "parley.api.schema.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {"EXCEPTION_HANDLER_CLASS": "parley.http.refusals.Handler"}

API_IN_SHORT = """\
People write to one another, read, remove, and keep every device in step.

**Who asks**: `Authorization: Bearer` with an access token (`/api/token/`), `Authorization: Token`
with an opaque one (`/api/token/opaque/`), or the session cookie with a CSRF token
(`/api/session/`).

**Retries**: a message sent again with the same `client_id`, or header `Idempotency-Key`, is the
first one.

**Lists** are pages: follow `next` and `previous`.

**Live**, besides what stands below: `GET /api/events/` streams what happens as server-sent events
(`Last-Event-ID` or `?cursor=` first gives what was missed); a WebSocket at `/ws/` carries the same
events, and frames to send, read and type. Cursors are those of `/api/sync/`.
"""
SPECTACULAR_SETTINGS = {
    "TITLE": "Parley",
    "DESCRIPTION": API_IN_SHORT,
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/",
    "SORT_OPERATIONS": False,
    "SORT_OPERATION_PARAMETERS": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False},
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "string", "format": "uuid"}},
    "ENUM_NAME_OVERRIDES": {
        "Role": "parley.accounts.models.Role",
        "Kind": "parley.conversations.models.Kind",
        "MemberRole": "parley.conversations.models.MemberRole",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "parley.api.schema.list_codes",
    ],
}
