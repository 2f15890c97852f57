"""Log lines: their shape, their bounds, and that no secret reaches one."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

from trunkline_kit.logs import FIELDS_MAX, MESSAGE_CHARS_MAX, JsonFormatter, TextFormatter, set_up_logs
from trunkline_kit.redaction import REDACTED
from trunkline_kit.tracing import SpanScope

SECRET = "tl-7hJk29sLmQpXzVb4"


def record(message="hello", *args, error=None, **extra):
    made = logging.makeLogRecord({"msg": message, "args": args, "name": "trunkline.test", "levelno": 20})
    made.levelname = "INFO"
    made.created = 1_700_000_000.25
    if error is not None:
        made.exc_info = (type(error), error, error.__traceback__)
    vars(made).update(extra)
    return made


def as_json(made):
    line = JsonFormatter().format(made)
    assert "\n" not in line
    return json.loads(line)


def test_a_line():
    assert as_json(record("took %d ms", 12, route="auto", tokens=7)) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "trunkline.test",
        "message": "took 12 ms",
        "fields": {"route": "auto", "tokens": 7},
    }


def test_for_people():
    assert TextFormatter().format(record("ready", port=8080)) == "22:13:20 info    ready  port=8080"


def test_the_current_span_is_named():
    context = trace.SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=trace.TraceFlags(1))
    with SpanScope(trace.NonRecordingSpan(context), ends=False):
        line = as_json(record())
    assert (line["trace_id"], line["span_id"]) == (f"{0xAB:032x}", f"{0xCD:016x}")


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    "made",
    [
        record(f"key {SECRET} refused"),
        record("key %s refused", SECRET),
        record("headers: %r", {"Authorization": f"Bearer {SECRET}"}),
        record(error=raised(ValueError(f"bad key {SECRET}"))),
        record(headers={"x-api-key": SECRET}),
        record(authorization=SECRET.removeprefix("tl-")),
        record(**{f"field {SECRET}": 1}),
        record("%d", SECRET),
    ],
)
def test_no_secret_gets_out(formatter, made):
    assert SECRET.removeprefix("tl-") not in formatter.format(made)


@given(st.text(max_size=40), st.integers(0, 3 * MESSAGE_CHARS_MAX))
def test_no_secret_gets_out_of_a_line_that_is_cut(before, padding):
    line = JsonFormatter().format(record(before + "x" * padding + f" {SECRET}"))
    assert SECRET[:12] not in line


def test_lines_are_bounded():
    line = as_json(record("x" * 100_000, **{f"field{number}": "y" * 100_000 for number in range(FIELDS_MAX + 10)}))
    assert len(line["message"]) <= MESSAGE_CHARS_MAX + 10
    assert len(line["fields"]) == FIELDS_MAX
    assert all(len(value) <= MESSAGE_CHARS_MAX + 10 for value in line["fields"].values())


def test_a_field_with_a_secret_name_is_hidden_whatever_it_holds():
    assert as_json(record(api_key=12345))["fields"] == {"api_key": REDACTED}


@pytest.fixture
def root():
    logger = logging.getLogger()
    before = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:], level = before
    logger.setLevel(level)


@pytest.mark.parametrize(("style", "begins"), [("auto", "{"), ("json", "{"), ("text", "2")])
def test_set_up(root, style, begins):
    stream = io.StringIO()
    set_up_logs("warning", style, stream)
    logging.getLogger("trunkline.any").info("not shown")
    logging.getLogger("trunkline.any").warning("shown")
    assert "not shown" not in stream.getvalue()
    line = stream.getvalue()
    assert "shown" in line
    assert line.startswith(begins) or style == "text"
    assert len(line.splitlines()) == 1


def test_an_unknown_level_is_refused(root):
    with pytest.raises(ValueError, match="LOUD"):
        set_up_logs("loud", "json", io.StringIO())
