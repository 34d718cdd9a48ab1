"""Django's settings, from one typed reading of the environment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dj_database_url

from parley.config.environment import Environment

PARLEY = Environment()

SECRET_KEY = PARLEY.key()
DEBUG = PARLEY.debug
ALLOWED_HOSTS = PARLEY.hosts()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "parley.accounts",
    "parley.conversations",
    "parley.messaging",
]

AUTH_USER_MODEL = "accounts.User"
KNOX_TOKEN_MODEL = "accounts.OpaqueToken"
# Knox's own table is replaced by accounts.OpaqueToken; its migrations would create it all the same.
MIGRATION_MODULES = {"knox": None}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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


def database() -> dict[str, Any]:
    """Return Django's description of the database: ``DATABASE_URL``, else ``MYSQL_*``, else the embedded one."""
    if PARLEY.database_url:
        found: dict[str, Any] = dict(dj_database_url.parse(PARLEY.database_url))
    elif PARLEY.mysql_database:
        found = {
            "ENGINE": "django.db.backends.mysql",
            "NAME": PARLEY.mysql_database,
            "USER": PARLEY.mysql_user,
            "PASSWORD": PARLEY.mysql_password,
            "HOST": PARLEY.mysql_host,
            "PORT": PARLEY.mysql_port,
        }
    else:
        found = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": PARLEY.data_dir / "parley.sqlite3",
        }
    options: dict[str, Any] = {**found.get("OPTIONS", {})}
    if found["ENGINE"].endswith("sqlite3"):
        found["ENGINE"] = "parley.kernel.sqlite3"
        # An acknowledged message has reached the disk: FULL, in WAL too.
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    elif found["ENGINE"].endswith("mysql"):
        options |= {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            "init_command": "SET SESSION innodb_lock_wait_timeout=5, sql_mode='STRICT_TRANS_TABLES'",
        }
    elif found["ENGINE"].endswith("postgresql"):
        options |= {"options": "-c lock_timeout=5000", "pool": {"min_size": 1, "max_size": 8, "timeout": 5}}
    return found | {"OPTIONS": options, "ATOMIC_REQUESTS": False}


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
    f"django.contrib.auth.hashers.{name}"
    for name in ("Argon2PasswordHasher", "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher")
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "/static/"

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=24),
    "USER_ID_FIELD": "user_id",
    "USER_ID_CLAIM": "user_id",
    "LEEWAY": 10,
}
