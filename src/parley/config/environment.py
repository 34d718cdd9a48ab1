"""Every setting, read from the environment or ``.env``: typed, and refused when odd."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import dj_database_url
import limits
from django.core.exceptions import ImproperlyConfigured
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from parley.kernel import redis_servers

ROOT = Path(__file__).resolve().parents[3]
DATABASE_SCHEMES = {"postgres", "postgresql", "mysql", "sqlite"}
SHORT_KEY = 32
DIALECTS = ("bearer_mail", "token_mail", "session_mail", "user_to_user")
SECRET: dict[str, Any] = {"secret": True}


def _database_url(value: str) -> str:
    if urlsplit(value).scheme not in DATABASE_SCHEMES:
        raise ValueError("expected postgres://…, mysql://… or sqlite:///…")
    try:
        dj_database_url.parse(value)
    except ValueError:
        raise ValueError("expected a URL with its parts percent-encoded") from None
    return value


def _redis_url(value: str) -> str:
    redis_servers.read(value)
    return value


def _rate(value: str) -> str:
    try:
        limits.parse(value)
    except ValueError:
        raise ValueError("expected a number and a period, as 60/hour or 10/5minutes") from None
    return value


def _dialects(value: str) -> str:
    names = value.replace(",", " ").split()
    if names != ["none"] and not set(names) <= set(DIALECTS):
        raise ValueError(f"expected names among {', '.join(DIALECTS)}, or none")
    return value


def _folder(value: Path) -> Path:
    return value.expanduser().absolute()


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Folder = Annotated[Path, AfterValidator(_folder)]
Rate = Annotated[str, AfterValidator(_rate)]
Dialects = Annotated[str, AfterValidator(_dialects)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
]
LogFormat = Annotated[Literal["console", "json"], BeforeValidator(_lower)]
Contacts = Annotated[Literal["self", "participants", "everyone"], BeforeValidator(_lower)]


class Environment(BaseSettings):
    """One attribute a variable. ``docs/reference/settings.md`` is generated from this class."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8-sig",  # some editors begin a file with a byte order mark
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
    )
    # Django asks every setting for this each time it is read; what a model lacks it looks for long.
    _mask_wrapped: ClassVar[bool] = True

    host: str = Field("127.0.0.1", validation_alias="HOST", description="Address to listen on.")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias="PORT",
        description="Port to listen on; 0 takes any free one.",
    )
    workers: int = Field(
        1, ge=1, le=64, validation_alias="WORKERS", description="Server processes."
    )
    threads: int = Field(
        3,
        ge=1,
        le=64,
        validation_alias="PARLEY_THREADS",
        description="Requests that Django works on at once, in each process; others wait. Sending, "
        "reading and live events by the express lane are none of them.",
    )
    data_dir: Folder = Field(
        ROOT / "data",
        validation_alias="PARLEY_DATA_DIR",
        description="Where the embedded database and the secret key live.",
    )
    database_url: DatabaseUrl | None = Field(
        None,
        validation_alias="DATABASE_URL",
        json_schema_extra=SECRET,
        description="`postgres://…`, `mysql://…` or `sqlite:///…`; wins over `MYSQL_*`. "
        "Without either the embedded SQLite database in the data folder is used.",
    )
    redis_url: RedisUrl | None = Field(
        None,
        validation_alias="REDIS_URL",
        json_schema_extra=SECRET,
        description="`redis://…`, `rediss://…`, `unix://…`, "
        "`redis+sentinel://[user:password@]host:port,…/service[/database]"
        "[?sentinel_password=…]` or "
        "`redis+cluster://[user:password@]host:port,…`; shares rates and carries live events "
        "between several processes.",
    )
    mysql_database: str | None = Field(
        None,
        validation_alias="MYSQL_DATABASE",
        description="Selects MySQL or MariaDB where set.",
    )
    mysql_user: str = Field("root", validation_alias="MYSQL_USER", description="MySQL user.")
    mysql_password: str = Field(
        "",
        validation_alias="MYSQL_PASSWORD",
        json_schema_extra=SECRET,
        description="MySQL password.",
    )
    mysql_host: str = Field("127.0.0.1", validation_alias="MYSQL_HOST", description="MySQL host.")
    mysql_port: int = Field(
        3306, ge=1, le=65535, validation_alias="MYSQL_PORT", description="MySQL port."
    )
    secret_key: str | None = Field(
        None,
        validation_alias=AliasChoices("DJANGO_SECRET_KEY", "SECRET_KEY"),
        json_schema_extra=SECRET,
        description="Signs tokens, sessions and cursors; 32 characters or more, and random. "
        "Without it one is created and kept in the data folder.",
    )
    debug: bool = Field(
        False,  # noqa: FBT003 - the default, which pydantic takes by position
        validation_alias="DJANGO_DEBUG",
        description="Django's debug pages. For development alone: they show settings and data.",
    )
    allowed_hosts: str = Field(
        "localhost,127.0.0.1,[::1]",
        validation_alias="DJANGO_ALLOWED_HOSTS",
        description="Host names to answer for, separated by commas or spaces.",
    )
    proxies: str = Field(
        "",
        validation_alias="PARLEY_PROXIES",
        description="Addresses of the proxies in front, separated by commas. Theirs are the only "
        "`X-Forwarded-For` and `X-Forwarded-Proto` that are believed.",
    )
    hsts_seconds: int = Field(
        0,
        ge=0,
        validation_alias="PARLEY_HSTS_SECONDS",
        description="How long browsers must insist on HTTPS once they came by it; 0 says nothing.",
    )
    log_level: LogLevel = Field(
        "INFO", validation_alias="LOGGER_LEVEL", description="How much is logged."
    )
    log_format: LogFormat = Field(
        "console",
        validation_alias="PARLEY_LOG_FORMAT",
        description="One line a record: for people, or JSON for machines.",
    )
    access_log: bool = Field(
        True,  # noqa: FBT003 - as above
        validation_alias="PARLEY_ACCESS_LOG",
        description="Whether each request is logged.",
    )
    metrics: bool = Field(
        True,  # noqa: FBT003 - as above
        validation_alias="PARLEY_METRICS",
        description=(
            "Whether `/metrics` tells Prometheus what this process counts; everyone may ask."
        ),
    )
    express: bool = Field(
        True,  # noqa: FBT003 - as above
        validation_alias="PARLEY_EXPRESS",
        description="Whether the hot calls are answered by the express lane, before Django.",
    )
    websocket_echo: bool = Field(
        False,  # noqa: FBT003 - as above
        validation_alias="PARLEY_WEBSOCKET_ECHO",
        description="Whether `/ws/_echo` says again what it hears; for test suites alone.",
    )
    contact_details: Contacts = Field(
        "self",
        validation_alias="PARLEY_CONTACT_DETAILS",
        description="Who sees a user's e-mail and phone number, besides admins.",
    )
    message_length: int = Field(
        16_000,
        ge=1,
        le=1_000_000,
        validation_alias="PARLEY_MESSAGE_LENGTH",
        description="Longest message body, in characters.",
    )
    body_limit: int = Field(
        1_048_576,
        ge=1024,
        validation_alias="PARLEY_BODY_LIMIT",
        description="Largest request body, in bytes.",
    )
    dialects: Dialects = Field(
        ",".join(DIALECTS),
        validation_alias="PARLEY_DIALECTS",
        description="The older protocols that are served, separated by commas; `none` serves none.",
    )
    token_mail_days: int = Field(
        0,
        ge=0,
        le=36_500,
        validation_alias="PARLEY_TOKEN_MAIL_DAYS",
        description="How many days a token from `token_mail`'s `create_user` lives; 0 is for ever.",
    )
    refresh_rotation: bool = Field(
        False,  # noqa: FBT003 - as above
        validation_alias="PARLEY_REFRESH_ROTATION",
        description="A refresh answers a new refresh token; a used one ends its sign-in.",
    )
    token_days: int = Field(
        365,
        ge=0,
        validation_alias="PARLEY_TOKEN_DAYS",
        description="How many days an opaque token is valid; 0 is for ever.",
    )
    tokens: int = Field(
        50,
        ge=1,
        validation_alias="PARLEY_TOKENS",
        description="How many opaque tokens a user may have at once.",
    )
    rates: bool = Field(
        True,  # noqa: FBT003 - as above
        validation_alias="PARLEY_RATES",
        description="`off` lifts every rate limit, for load tests.",
    )
    rate_signup: Rate = Field(
        "60/hour", validation_alias="PARLEY_RATE_SIGNUP", description="Sign-ups an address."
    )
    rate_signin: Rate = Field(
        "10/5minutes",
        validation_alias="PARLEY_RATE_SIGNIN",
        description="Failed sign-ins an account; an address has five times as many.",
    )
    rate_send: Rate = Field(
        "600/minute", validation_alias="PARLEY_RATE_SEND", description="Messages sent a user."
    )
    rate_all: Rate = Field(
        "3000/minute",
        validation_alias="PARLEY_RATE_ALL",
        description="Everything else, a user or an address.",
    )

    def hosts(self) -> list[str]:
        return self.allowed_hosts.replace(",", " ").split()

    def mounted_dialects(self) -> list[str]:
        """Return the names of the dialects that are served."""
        return [name for name in DIALECTS if name in self.dialects.replace(",", " ").split()]

    def folder(self) -> Path:
        """Return the data folder, created where there is none, for its owner's eyes alone.

        :raises ImproperlyConfigured: it cannot be created, or not be written.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror) from None
        if not os.access(self.data_dir, os.W_OK | os.X_OK):
            raise self._unusable("Permission denied")
        return self.data_dir

    def _unusable(self, reason: str | None) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"The data folder {self.data_dir} cannot be written ({reason}); "
            "set PARLEY_DATA_DIR to a folder that can."
        )

    def key(self) -> str:
        """Return the secret key: the one given, else one kept in the data folder from first need.

        :raises ImproperlyConfigured: it cannot be kept, or what was kept is gone.
        """
        if self.secret_key:
            return self.secret_key
        kept = self.folder() / "secret.key"
        try:
            if not kept.exists():
                _keep(kept, secrets.token_urlsafe(64))
            found = kept.read_text().strip()
        except OSError as error:
            raise self._unusable(error.strerror) from None
        if not found:
            raise ImproperlyConfigured(
                f"{kept} is empty; restore it, or remove it to get a new key."
            )
        return found


def _keep(path: Path, text: str) -> None:
    """Create a private file with this text, whole or not at all. Of two at once the first stays."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(text)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def variable(field: FieldInfo) -> str:
    """Return the name of a setting's variable; where it has several, the documented one."""
    alias = field.validation_alias
    return str(alias.choices[0] if isinstance(alias, AliasChoices) else alias)


def is_secret(field: FieldInfo) -> bool:
    return field.json_schema_extra == SECRET


def variables() -> dict[str, FieldInfo]:
    """Return every setting by its variable, in the order of the reference."""
    return {variable(field): field for field in Environment.model_fields.values()}


def _complaint(error: Any) -> str:
    """Say in one sentence which variable is odd, and what was expected."""
    name = str(error["loc"][0])
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    field = variables().get(name)
    shown = "" if field is None or is_secret(field) else f"={error['input']!r}"
    return f"The setting {name}{shown} is not usable: {expected}; see docs/reference/settings.md."


def read() -> Environment:
    """Return the settings from the environment and ``.env``, or what ``PARLEY_ENV_FILE`` names.

    :raises ImproperlyConfigured: a value is odd, in one sentence a setting, or the file that is
        named is not there.
    """
    named = os.environ.get("PARLEY_ENV_FILE")
    if named and not Path(named).exists():
        raise ImproperlyConfigured(f"There is no file {named}, which PARLEY_ENV_FILE names.")
    try:
        return Environment(_env_file=named or ROOT / ".env")
    except ValidationError as odd:
        complaints = [_complaint(error) for error in odd.errors()]
        raise ImproperlyConfigured("\n".join(complaints)) from None
