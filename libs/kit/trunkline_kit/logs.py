"""Log lines: JSON for machines, one short line on a terminal; with trace ids, bounded, and without secrets.

Modules log with `logging.getLogger(__name__)` and put values into `extra={...}`; only a process's entry point calls
`set_up_logs`.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec
from opentelemetry.trace import get_current_span

from trunkline_kit.redaction import REDACTED, is_secret_name, redact

MESSAGE_CHARS_MAX = 8192
"""A longer message or value is cut: one line must not fill a disk, nor a line of a collector."""
FIELDS_MAX = 32

Format = Literal["auto", "json", "text"]
Scalar = str | int | float | bool | None

_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of JSON."""

    time: str
    """RFC 3339, UTC."""
    level: str
    logger: str
    message: str
    trace_id: str = ""
    span_id: str = ""
    error: str = ""
    """The exception and its stack."""
    fields: dict[str, Scalar] = {}


def clean(text: str) -> str:
    """Without secrets, and no longer than `MESSAGE_CHARS_MAX` and a mark."""
    # Cut first, with room to spare, so that a secret on the border is seen whole by the patterns.
    redacted = redact(text[: 2 * MESSAGE_CHARS_MAX])
    return redacted if len(redacted) <= MESSAGE_CHARS_MAX else f"{redacted[:MESSAGE_CHARS_MAX]}… [cut]"


def log_line(record: logging.LogRecord) -> LogLine:
    """What is written of `record`."""
    context = get_current_span().get_span_context()
    return LogLine(
        time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        level=record.levelname.lower(),
        logger=record.name,
        message=clean(_message(record)),
        trace_id=f"{context.trace_id:032x}" if context.is_valid else "",
        span_id=f"{context.span_id:016x}" if context.is_valid else "",
        error=clean(_stack(record)),
        fields=_fields(vars(record)),
    )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # Arguments that do not fit the text: a fault of the line, and no reason to lose it.
        return f"{record.msg} {record.args}"


def _stack(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()


def _fields(attributes: Mapping[str, object]) -> dict[str, Scalar]:
    names = [name for name in attributes if name not in _OWN_ATTRIBUTES][:FIELDS_MAX]
    return {clean(name): _value(name, attributes[name]) for name in names}


def _value(name: str, value: object) -> Scalar:
    if is_secret_name(name):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(value if isinstance(value, str) else repr(value))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self) -> None:
        super().__init__()
        self._encoder = msgspec.json.Encoder()

    def format(self, record: logging.LogRecord) -> str:
        return self._encoder.encode(log_line(record)).decode()


class TextFormatter(logging.Formatter):
    """Short lines for people: time, level, message, fields; a stack below."""

    def format(self, record: logging.LogRecord) -> str:
        line = log_line(record)
        fields = "".join(f"  {name}={value}" for name, value in line.fields.items())
        stack = f"\n{line.error}" if line.error else ""
        return f"{line.time[11:19]} {line.level:<8}{line.message}{fields}{stack}"


def set_up_logs(level: str = "info", style: Format = "auto", stream: TextIO | None = None) -> logging.Handler:
    """Send every log line of the process to `stream` (stderr), as JSON unless `auto` finds a terminal there.

    Raises ValueError for a level that logging does not know.
    """
    stream = stream or sys.stderr
    people = style == "text" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if people else JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # They say at `info` what each request did; our own lines and spans say it better.
    for name in ("uvicorn.access", "aiohttp.access", "grpc._cython.cygrpc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler
