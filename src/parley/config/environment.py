"""Every setting that Parley reads, from the environment or ``.env``: typed, described, refused when odd."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[3]


class Environment(BaseSettings):
    """One attribute a variable. ``docs/reference/settings.md`` is generated from this class."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env", extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    host: str = Field("127.0.0.1", validation_alias="HOST", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, validation_alias="PORT", description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, validation_alias="WORKERS", description="Server processes.")
    data_dir: Path = Field(
        ROOT / "data",
        validation_alias="PARLEY_DATA_DIR",
        description="Where the embedded database and the secret key live.",
    )
    database_url: str | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="`postgres://…`, `mysql://…` or `sqlite:///…`; wins over `MYSQL_*`.",
    )
    redis_url: str | None = Field(
        None, validation_alias="REDIS_URL", description="Shares rates between several processes."
    )
    mysql_database: str | None = Field(None, validation_alias="MYSQL_DATABASE", description="Selects MySQL or MariaDB where set.")
    mysql_user: str = Field("root", validation_alias="MYSQL_USER", description="MySQL user.")
    mysql_password: str = Field("", validation_alias="MYSQL_PASSWORD", description="MySQL password.")
    mysql_host: str = Field("127.0.0.1", validation_alias="MYSQL_HOST", description="MySQL host.")
    mysql_port: int = Field(3306, ge=1, le=65535, validation_alias="MYSQL_PORT", description="MySQL port.")
    secret_key: str | None = Field(
        None,
        min_length=32,
        validation_alias=AliasChoices("DJANGO_SECRET_KEY", "SECRET_KEY"),
        description="Signs tokens, sessions and cursors. Without it one is created and kept in the data folder.",
    )
    debug: bool = Field(False, validation_alias="DJANGO_DEBUG", description="Development only: Django's debug pages.")
    allowed_hosts: str = Field(
        "localhost,127.0.0.1,[::1]",
        validation_alias="DJANGO_ALLOWED_HOSTS",
        description="Host names to answer for, separated by commas or spaces.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias="LOGGER_LEVEL", description="How much is logged."
    )
    contact_details: Literal["self", "participants", "everyone"] = Field(
        "self",
        validation_alias="PARLEY_CONTACT_DETAILS",
        description="Who sees a user's e-mail and phone number, besides admins.",
    )
    message_length: int = Field(
        16_000, ge=1, le=1_000_000, validation_alias="PARLEY_MESSAGE_LENGTH", description="Longest message body, in characters."
    )
    body_limit: int = Field(
        1_048_576, ge=1024, validation_alias="PARLEY_BODY_LIMIT", description="Largest request body, in bytes."
    )
    refresh_rotation: bool = Field(
        False, validation_alias="PARLEY_REFRESH_ROTATION", description="A refresh answers a new refresh token; a used one ends its sign-in."
    )
    rates: bool = Field(True, validation_alias="PARLEY_RATES", description="`off` lifts every rate limit, for load tests.")
    rate_signup: str = Field("60/hour", validation_alias="PARLEY_RATE_SIGNUP", description="Sign-ups an address.")
    rate_signin: str = Field("10/5minutes", validation_alias="PARLEY_RATE_SIGNIN", description="Failed sign-ins an account; an address has five times as many.")
    rate_send: str = Field("600/minute", validation_alias="PARLEY_RATE_SEND", description="Messages sent a user.")
    rate_all: str = Field("3000/minute", validation_alias="PARLEY_RATE_ALL", description="Everything else, a user or an address.")

    def hosts(self) -> list[str]:
        return self.allowed_hosts.replace(",", " ").split()

    def key(self) -> str:
        """Return the secret key; without one given, the one kept in the data folder, created at first need."""
        if self.secret_key:
            return self.secret_key
        kept = self.data_dir / "secret.key"
        if not kept.exists():
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept.touch(mode=0o600)
            kept.write_text(secrets.token_urlsafe(64))
        return kept.read_text().strip()
