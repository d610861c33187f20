"""Logs: JSON lines on standard error, everything through one processor that hides what must not be read.

Events are fixed words with fields. Whatever a caller does, fields named like secrets or texts are dropped,
and what looks like a phone, a secret with its name, a refused input or a URL key inside a value is hidden.
"""

import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from enum import StrEnum
from types import TracebackType
from typing import Any

import pydantic
import structlog

from smsbridge.runtime import tracing

log = structlog.get_logger()

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
_SECRET_NAMES = frozenset(
    {
        *("text", "texts", "mes", "message_body", "body", "query_string", "phones"),
        *("auth", "auth_id", "refresh_id", "app_sid"),  # so Bitrix24 calls some of its tokens
        *("input", "input_value"),  # what pydantic quotes of what it refuses
    }
)
# Names whose digits are ours or SMSC's and help to find a message; no phone is ever put there.
_IDS = frozenset(
    {"message_id", "client_id", "smsc_id", "provider_uid", "uid", "trace_id", "batch_id", "timestamp"}
)
_ONLY_IN_A_QUERY = ("code", "state")  # of OAuth; elsewhere they are plain words

# How a secret stands in a value: as JSON or Python writes it, perhaps quoted once more, or as in a query.
_NAME = rf"""(?:
    (?:{"|".join(_SECRET_PARTS)}) [a-z0-9_-]{{0,40}}
  | (?: (?<![a-z0-9_-]) | (?<=%[0-9a-f]{{2}}) | (?<=\\[nrt]) ) (?:{"|".join(sorted(_SECRET_NAMES))})
)"""
_SECRET = re.compile(
    rf"""(?isx)
    (?: {_NAME} | (?P<word> \b (?:{"|".join(_ONLY_IN_A_QUERY)}) ) ) (?: \]|%5D )? (?:
        (?(word)(?!)) \\*["']? \s{{0,9}} [:=] \s{{0,9}}
        (?P<written> b? (?P<quote>\\*["']) (?: (?!(?<!\\)(?P=quote)) . )* (?: (?P=quote)|\Z )
          | [\[(] [^\])]* (?: [\])]|\Z ) )
      | (?(word)(?!)) \\*["'] \s{{0,9}} : \s{{0,9}} (?P<bare> [^\s,{{}}\[\]"'\\]+ )
      | (?: =|%3D ) (?P<asked> [^&\s'"<>]+ )
    )"""
)
_BEARER = re.compile(r"(?i)\b(bearer|authorization[\"']?\s*[:=]\s*[\"']?\w+)\s+[^\s'\",]+")
_USER = re.compile(r"(?<=://)[^\s/?#@'\"<>]+@")
_REFUSED_INPUT = re.compile(r"(?s)\binput_value=.*?(?=, input_type=[^\s,\]]*\]|\Z)")
_URL_KEY = re.compile(r"(?<=/)[a-z2-7]{26,}(?![0-9A-Za-z])")

# A phone has ten to fifteen digits: in one run wherever it stands, or with signs between them as people
# write it. What comes first is looked for first, as its digits help to find something and are no phone.
_BETWEEN = r"(?:[ ()\-\u00a0\u202f\u2010-\u2015]{0,2}|\)?\.)"
_OCTET = r"(?: 25[0-5]|2[0-4]\d|1?\d?\d )"
_DIGITS = re.compile(
    rf"""(?x)
    (?P<kept> (?<![0-9A-Za-z]) (?:
        (?: [0-9a-fA-F]{{8}}- )? (?: [0-9a-fA-F]{{4}}- ){{1,3}} [0-9a-fA-F]{{12}}  # a uuid or its tail
      | [0-9a-f]{{16,}} | [0-9A-F]{{16,}}  # a digest
      | [0-9A-HJKMNP-TV-Z]{{26}}  # a ULID
      ) (?![0-9A-Za-z])
      | (?<![0-9A-Za-z]) (?: (?:19|20)\d\d-[01]\d-[0-3]\d | [0-3]\d\.[01]\d\.(?:19|20)\d\d ) (?!\d)  # a date
      | (?<![\d.]) (?: {_OCTET} \. ){{3}} {_OCTET} (?!\d|\.\d)  # IPv4
      | (?<![\d.]) \d{{1,10}} \. \d+ (?!\d|\.\d)  # a fraction, a time in seconds
    )
    | (?: \+ \d (?: {_BETWEEN} \d ){{9,14}} (?!\d)
        | (?<![0-9A-Za-z]) \d (?: {_BETWEEN} \d ){{9,14}} (?![0-9A-Za-z])
        | (?<!\d) \d{{10,15}} (?!\d)
      )"""
)
_HIDDEN = "[hidden]"


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LoggingSettings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

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
            return {self.text(str(name)): inner for name, inner in self._mapping(value).items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._hide(item) for item in value]
        return self.text(str(value))

    def text(self, value: str) -> str:
        value = _REFUSED_INPUT.sub(f"input_value={_HIDDEN}", value)
        value = _SECRET.sub(_without_secret, value)
        value = _BEARER.sub(rf"\1 {_HIDDEN}", value)
        value = _USER.sub(f"{_HIDDEN}@", value)
        value = _URL_KEY.sub(_HIDDEN, value)
        return _DIGITS.sub(lambda found: found["kept"] or self._mask(found[0]), value)


def _without_secret(found: re.Match[str]) -> str:
    return found.string[found.start() : found.start(found.lastgroup or 0)] + _HIDDEN


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
    # Python's own hooks write a bare traceback, and an error's sentence may quote anything.
    sys.excepthook = _process_crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _not_raised


def _process_crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None, /) -> None:
    log.error("process_crashed", error=kind.__name__, exc_info=(kind, error, trace))


def _thread_crashed(found: threading.ExceptHookArgs, /) -> None:
    kind, error, trace, thread = found
    if kind is not SystemExit:  # how a thread ends itself
        name = thread.name if thread is not None else ""
        log.error("thread_crashed", error=kind.__name__, thread=name, exc_info=(kind, error, trace))


def _not_raised(found: "sys.UnraisableHookArgs", /) -> None:
    kind = found.exc_type
    exc_info = (kind, found.exc_value, found.exc_traceback)
    log.error("error_not_raised", error=kind.__name__, exc_info=exc_info)


def _named(process: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        return event

    return add


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return lower in _SECRET_NAMES or any(part in lower for part in _SECRET_PARTS)
