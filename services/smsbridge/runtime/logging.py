"""Logs: JSON lines on standard error, everything through one processor that hides what must not be read.

Events are fixed words with fields. Whatever a caller does, fields named like secrets or texts are dropped,
and what looks like a phone, a secret in a query or a URL key inside a value is hidden.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from enum import StrEnum
from typing import Any

import pydantic
import structlog

from smsbridge.runtime import tracing

Mask = Callable[[str], str]

# Where a name contains one of these, the field is dropped whole.
_SECRET_PARTS = (
    "token",
    "secret",
    "password",
    "passwd",
    "psw",
    "apikey",
    "api_key",
    "authorization",
    "cookie",
)
_SECRET_NAMES = frozenset({"text", "texts", "mes", "message_body", "body", "auth", "phones", "query_string"})
# Names whose digits are ours or SMSC's and help to find a message; no phone is ever put there.
_IDS = frozenset(
    {"message_id", "client_id", "smsc_id", "provider_uid", "uid", "trace_id", "batch_id", "timestamp"}
)

# Ten to fifteen digits, perhaps with signs between them as people write phones; no tail of a word or uuid.
_PHONE = re.compile(r"(?<![0-9A-Za-z_.])(?<![0-9a-fA-F]-)\+?\d(?:[ ()\-]{0,2}\d){9,14}(?![0-9A-Za-z_])")
_QUERY_SECRET = re.compile(
    r"(?i)\b(psw|password|apikey|auth|token|[a-z]+_token|client_secret|code|state)(=|%3D)[^&\s'\"<>]+"
)
_URL_KEY = re.compile(r"(?<=/)[a-z2-7]{26,}(?![0-9A-Za-z])")
_HIDDEN = "[hidden]"


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LoggingSettings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    level: Level = pydantic.Field(default=Level.INFO, description="Least important level that is written.")


class Hider:
    """The processor. `mask` turns what looks like a phone into what may be read of it."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return self._mapping(event)

    def _mapping(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value if name in _IDS else self._hide(value)
            for name, value in fields.items()
            if not _is_secret(str(name))
        }

    def _hide(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._hide(item) for item in value]
        return self.text(str(value))

    def text(self, value: str) -> str:
        value = _QUERY_SECRET.sub(lambda found: f"{found[1]}{found[2]}{_HIDDEN}", value)
        value = _URL_KEY.sub(_HIDDEN, value)
        return _PHONE.sub(lambda found: self._mask(found[0]), value)


def configure(settings: LoggingSettings, *, mask: Mask, process: str) -> None:
    """Once per process. `process` stands in every line: `run all` writes those of many into one stream."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _named(process),
        tracing.add_to_log,
        structlog.processors.format_exc_info,
        Hider(mask),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(ensure_ascii=False)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))  # libraries say too much below
    logging.getLogger("aiohttp.access").disabled = True  # its lines hold URLs, and URLs hold keys


def _named(process: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        return event

    return add


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return lower in _SECRET_NAMES or any(part in lower for part in _SECRET_PARTS)
