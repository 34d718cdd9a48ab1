"""What is logged: one line a record, by structlog, for people or as JSON, and never a secret.

Everything, our own records and those of Django and the server, passes through the same processors.
Text from outside cannot end a line or reach a terminal's control codes, and secrets are taken out
wherever a client put them.
"""

from __future__ import annotations

import json
import logging.config
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_plus

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

GONE = "[redacted]"
DEPTH = 6
SECRET_NAMES = frozenset(
    {
        "access",
        "access_token",
        "authorization",
        "cookie",
        "csrfmiddlewaretoken",
        "csrftoken",
        "current_password",
        "django_secret_key",
        "message_body",
        "mysql_password",
        "new_password",
        "old_password",
        "password",
        "password1",
        "password2",
        "proxy-authorization",
        "refresh",
        "refresh_token",
        "secret_key",
        "sessionid",
        "set-cookie",
        "ticket",
        "token",
        "x-csrftoken",
    }
)
# In a query string the name that goes with a password is part of the credential.
QUERY_NAMES = SECRET_NAMES | {"email", "login", "username"}

JWT = re.compile(r"\b[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
LONG_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{40,}(?![0-9A-Za-z])")
OPAQUE = re.compile(r"[A-Za-z0-9_~+/=.-]{40,}")
# A word after "token" is prose; something with a digit in it, or long, is a token.
SCHEMED = re.compile(r"\b(bearer|token|basic)[ +]+(?=\S*\d|\S{20})[^\s,;\"']{8,}", re.IGNORECASE)
PAIR = re.compile(r"[^&;]+")
QUERY = re.compile(r"(?<=\?)[^\s\"'<>]+")
HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)[^\r\n]+", re.IGNORECASE
)
NAMES = "|".join(map(re.escape, sorted(SECRET_NAMES, key=len, reverse=True)))
NAMED = re.compile(
    rf"""(["']?\b(?:{NAMES})\b["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&"'(){{}}\[\]]+)""",
    re.IGNORECASE,
)
URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
# PostgreSQL quotes the row that it refused: people's words and hashes.
ROW = re.compile(r"(\bDETAIL:).*", re.DOTALL)
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# These write people's words and headers at DEBUG.
TALKATIVE = (
    "asyncio",
    "django.db.backends",
    "django.template",
    "httpcore",
    "httpx",
    "redis",
    "websockets",
)
# The server's start and stop are told by our own command.
QUIET = ("uvicorn.error",)
# What uvicorn says of every WebSocket that is refused with an answer, as ours are.
REFUSED_WELL = "ASGI callable returned without completing handshake."
ACCESS = ("client", "method", "target", "version", "status")  # the arguments of its line a request


def scrub(text: str) -> str:
    """Return the text without credentials: named ones, in headers and URLs, and any token."""
    text = QUERY.sub(_scrub_query, text)
    text = HEADER.sub(rf"\1\2{GONE}", text)
    text = NAMED.sub(rf"\1{GONE}", text)
    text = SCHEMED.sub(rf"\1 {GONE}", text)
    text = URL_LOGIN.sub(rf"\1{GONE}@", text)
    text = JWT.sub(_if_jwt, text)
    return ROW.sub(rf"\1 {GONE}", LONG_HEX.sub(GONE, text))


def _if_jwt(found: re.Match[str]) -> str:
    """Tell a token from a dotted name: its header is JSON, and ``{"`` begins with ey in base64."""
    return GONE if found.group().startswith("ey") else found.group()


def _scrub_query(found: re.Match[str]) -> str:
    return PAIR.sub(_scrub_pair, found.group())


def _scrub_pair(found: re.Match[str]) -> str:
    name, equals, value = found.group().partition("=")
    said = unquote_plus(value)
    if not equals:
        return GONE if OPAQUE.fullmatch(unquote_plus(name)) else scrub(name)
    if unquote_plus(name).strip().lower() in QUERY_NAMES or OPAQUE.search(said):
        return f"{scrub(name)}={GONE}"
    return found.group() if scrub(said) == said else f"{scrub(name)}={GONE}"


def clean(value: object, depth: int = 0) -> object:
    """Return a value with every secret in it taken out, however it is nested."""
    if isinstance(value, str):
        return scrub(value)
    if value is None or isinstance(value, int | float):
        return value
    if depth == DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _clean_item(str(key), item, depth) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [clean(item, depth + 1) for item in value]
    return scrub(str(value))


def _clean_item(key: str, item: object, depth: int) -> object:
    return GONE if key.lower() in SECRET_NAMES else clean(item, depth + 1)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: no secret is left in any of the record's values."""
    return cast(EventDict, clean(event))


def escape(text: str) -> str:
    """Return the text with everything that could move a cursor or end a line written out."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def name_access(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: the server's line about a request becomes fields, in place of a sentence."""
    said = event.pop("positional_args", ())
    if event.get("logger") != "uvicorn.access" or len(said) != len(ACCESS):
        return event
    facts = dict(zip(ACCESS, said, strict=True))
    return {**event, **facts, "event": "request", "status": int(facts["status"])}


def tell_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: an exception becomes text; its outermost frames are those that tell least."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and info[1] is not None:
        event["exception"] = _told(cast(ExcInfo, info))
    return event


def _told(info: ExcInfo) -> str:
    kind, error, trace = info
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in reversed(traceback.extract_tb(trace))
    ]
    cause = error.__cause__
    because = f"; because {type(cause).__name__}: {cause}" if cause else ""
    return f"{kind.__name__}: {error}{because} (in {' < '.join(frames) or 'no frame'})"


def as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return json.dumps(event, ensure_ascii=True, default=str)


def as_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    at, level, name = event.pop("timestamp"), event.pop("level"), event.pop("logger", "parley")
    said = event.pop("event", "")
    facts = "".join(f" {key}={_shown(value)}" for key, value in event.items())
    return escape(f"{at} {level.upper():<8} {name}: {said}{facts}")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return f'"{text}"' if " " in text and isinstance(value, str) else text


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def formatter(log_format: str) -> structlog.stdlib.ProcessorFormatter:
    """Return what turns any record, structlog's or the standard library's, into one clean line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        pass_foreign_args=True,
        processors=[
            tell_exception,
            name_access,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact,
            as_json if log_format == "json" else as_line,
        ],
    )


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's tells of anything."""
    return record.msg != REFUSED_WELL


def configure(config: Mapping[str, Any]) -> None:
    """Set up all logging; Django calls it with ``settings.LOGGING``: level, format, access."""
    level = logging.getLevelNamesMapping()[config["level"]]
    levels = {
        **{name: {"level": max(logging.INFO, level)} for name in TALKATIVE},
        **{name: {"level": max(logging.WARNING, level), "filters": ["news"]} for name in QUIET},
    }
    from_django = {
        name: {"handlers": [], "propagate": True} for name in ("django", "django.server")
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": partial(formatter, config["format"])}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": level},
            "filters": {"news": {"()": lambda: is_news}},
            "loggers": levels | from_django | {"uvicorn.access": {"propagate": config["access"]}},
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
