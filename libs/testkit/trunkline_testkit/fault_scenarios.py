"""Everything a provider may do wrong, as data: what it plays, and what a caller then gets, on every surface.

One scenario is played to whole answers and to streams, with nobody else to ask and with a healthy provider to fall back
on. Tests say that this is what happens; the page for users is made of the same data.
"""

import msgspec

from trunkline_testkit.fault_outcomes import (
    ANSWERED,
    BROKEN_OFF,
    CLOCK_S,
    FELL_SILENT,
    GUESSED,
    LATE,
    SILENT,
    TOTAL_S,
    UNFIT,
    UNREACHED,
    UNUSABLE,
    Outcome,
    PlayOf,
    Scenario,
    refused,
)
from trunkline_testkit.fault_plays import (
    BEGUN,
    HALFWAY,
    HTML,
    PING,
    absurd,
    always,
    both,
    cut_body,
    events,
    half,
    huge,
    huge_event,
    huge_in_chunks,
    later,
    nonsense,
    opening,
    otherwise_cut,
    refusal,
    then,
    unasked_gzip,
    unasked_gzip_stream,
)
from trunkline_testkit.faulty import Drip, Hold, Pause, Reset, Send
from trunkline_testkit.provider_words import body, chunk, head

CONNECTING = (
    Scenario(name="refused", says="refuses the connection", host="127.0.0.1:1", **both(always(), UNREACHED)),
    Scenario(
        name="dns", says="has a name that DNS does not know", host="nobody.invalid:80", **both(always(), UNREACHED)
    ),
    Scenario(name="tls", says="does not speak TLS", scheme="https", **both(always(), UNREACHED)),
    Scenario(name="hangs-up", says="takes the request and hangs up", **both(always(), UNREACHED)),
    Scenario(name="reset", says="takes the request and resets the connection", **both(always(Reset()), UNREACHED)),
    Scenario(
        name="no-http", says="answers with something that is no HTTP", **both(always(Send(b"hello\n")), UNREACHED)
    ),
    Scenario(
        name="huge-head",
        says="sends headers of 256 KB",
        **both(always(Send(head(200, "text/event-stream", f"x-huge: {'x' * (256 << 10)}"))), UNREACHED),
    ),
)
SLOW = (
    Scenario(
        name="silent",
        says="takes the request and says nothing",
        whole=(always(Hold()), LATE),
        stream=(always(Hold()), SILENT),
        clocks=(("first_token_s", CLOCK_S), ("total_s", TOTAL_S)),
    ),
    Scenario(
        name="slow-first-token",
        says="begins to answer and then says nothing",
        whole=(always(Send(head(length=400) + b"{"), Hold()), LATE),
        stream=(then(BEGUN, Hold()), SILENT),
        clocks=(("first_token_s", CLOCK_S), ("total_s", TOTAL_S)),
    ),
    Scenario(
        name="pings",
        says="keeps the stream open with comments, and says nothing",
        stream=(then(BEGUN, Drip(PING)), SILENT),
        clocks=(("first_token_s", CLOCK_S),),
    ),
    Scenario(
        name="stalls",
        says="falls silent in mid-answer",
        stream=(then(HALFWAY, Hold()), FELL_SILENT),
        clocks=(("idle_s", CLOCK_S),),
    ),
    Scenario(
        name="stalls-with-pings",
        says="goes on with nothing but comments in mid-answer",
        stream=(then(HALFWAY, Drip(PING)), FELL_SILENT),
        clocks=(("idle_s", CLOCK_S),),
    ),
    Scenario(
        name="slow-loris",
        says="sends its answer byte by byte, without end",
        whole=(always(Send(head(length=10_000)), Drip(b" ")), LATE),
        stream=(then(HALFWAY, Drip(chunk(b"d"))), FELL_SILENT),
        clocks=(("idle_s", CLOCK_S), ("total_s", TOTAL_S)),
    ),
    Scenario(
        name="endless",
        says="never stops talking",
        stream=(lambda words: (*HALFWAY(words), Drip(chunk(words.tokens[1]))), FELL_SILENT),
        assembled=msgspec.structs.replace(LATE, usage="estimated"),
        clocks=(("total_s", TOTAL_S),),
    ),
)
CUT = (
    Scenario(
        name="cut-early",
        says="is cut off before its first token",
        whole=(cut_body, UNREACHED),
        stream=(BEGUN, UNUSABLE),
    ),
    Scenario(name="cut-late", says="is cut off after its first token", stream=(HALFWAY, BROKEN_OFF)),
    Scenario(
        name="reset-late",
        says="resets the connection in mid-answer",
        whole=(then(cut_body, Pause(0.02), Reset()), UNREACHED),
        stream=(then(HALFWAY, Pause(0.02), Reset()), BROKEN_OFF),
    ),
    Scenario(name="ends-early", says="ends its stream before its first token", stream=(events(opening), UNUSABLE)),
    Scenario(name="ends-late", says="ends its stream regularly, without a reason", stream=(events(half), BROKEN_OFF)),
    Scenario(
        name="half-an-event",
        says="ends in the middle of its JSON",
        whole=(lambda words: body(words.answer()[:60]), UNUSABLE),
        stream=(events(lambda words: (*half(words), words.tokens[1][:-9])), BROKEN_OFF),
    ),
    Scenario(
        name="no-last-word",
        says="leaves out `[DONE]` or `message_stop` after the reason",
        stream=(events(lambda words: words.stream[:-1]), ANSWERED),
    ),
    Scenario(
        name="cut-at-the-end",
        says="is cut off after the reason, before the last word",
        stream=(events(lambda words: words.stream[:-1], ends=False), ANSWERED),
    ),
    Scenario(
        name="nothing",
        says="answers 200 with nothing",
        whole=(lambda _: body(b""), UNUSABLE),
        stream=(lambda _: body(b"", 200, "text/event-stream"), UNUSABLE),
    ),
)

DAMAGED = (
    Scenario(
        name="error-early",
        says="answers 200 and then an error, before its first token",
        whole=(lambda words: body(msgspec.json.encode(words.refusal("server_error", "", "we are too busy"))), UNUSABLE),
        stream=(events(lambda words: (words.opening, words.error)), UNUSABLE),
    ),
    Scenario(
        name="error-late",
        says="sends an error after its first token",
        stream=(lambda words: later(words, (words.error,)), BROKEN_OFF),
    ),
    Scenario(
        name="one-bad-event",
        says="sends one event of nonsense, and goes on",
        stream=(nonsense(1), ANSWERED),
        assembled=msgspec.structs.replace(UNUSABLE, usage="estimated"),
    ),
    Scenario(
        name="bad-events",
        says="sends nine events of nonsense in mid-answer",
        stream=(nonsense(9), BROKEN_OFF),
    ),
    Scenario(
        name="all-nonsense",
        says="sends JSON that is no answer",
        whole=(lambda _: body(b'{"hello":"there"}'), UNUSABLE),
        stream=(events(lambda _: (b"data: <html>\n\n", b"data: [1]\n\n")), UNUSABLE),
    ),
    Scenario(
        name="html",
        says="answers 200 with a page of HTML",
        whole=(lambda _: body(HTML, 200, "text/html"), UNUSABLE),
        stream=(lambda _: body(HTML, 200, "text/html"), UNFIT),
        assembled=UNUSABLE,
    ),
    Scenario(
        name="whole-for-a-stream",
        says="answers a request for a stream with a whole answer",
        stream=(lambda words: body(words.answer()), UNFIT),
        assembled=ANSWERED,
    ),
    Scenario(
        name="gzip",
        says="compresses what nobody wanted compressed",
        whole=(unasked_gzip, UNUSABLE),
        stream=(unasked_gzip_stream, UNUSABLE),
    ),
    Scenario(name="huge", says="announces an answer of 100 MB", whole=(huge, UNFIT)),
    Scenario(name="huge-in-chunks", says="sends 100 MB unannounced", only="openai", whole=(huge_in_chunks, UNFIT)),
    Scenario(name="huge-event", says="sends one event of 100 MB", stream=(huge_event, BROKEN_OFF)),
    Scenario(
        name="redirect",
        says="sends the request elsewhere",
        **both(lambda _: body(b"", 302, "text/html", "location: /healthy/v1"), UNREACHED),
    ),
)
ODD = (
    Scenario(
        name="another-name",
        says="names another model in its answer",
        whole=(lambda words: body(words.answer(model="other")), ANSWERED),
        stream=(events(lambda words: tuple(event.replace(b'"real"', b'"other"') for event in words.stream)), ANSWERED),
    ),
    Scenario(
        name="no-usage",
        says="does not say what it used",
        whole=(lambda words: body(words.answer(used=False)), GUESSED),
        stream=(events(lambda words: words.without_usage), GUESSED),
    ),
    Scenario(
        name="absurd-usage", says="reports -5 and 10^15 tokens", whole=(lambda words: body(absurd(words)), ANSWERED)
    ),
    Scenario(
        name="two-ends",
        says="gives its reason twice",
        stream=(events(lambda words: (*words.stream[:-1], words.finish[-1], words.last)), ANSWERED),
    ),
    Scenario(
        name="odd-lines",
        says="has a BOM, CRLF, comments, and data over several lines",
        stream=(events(otherwise_cut), ANSWERED),
    ),
    Scenario(
        name="talks-on",
        says="goes on after its last word",
        stream=(events(lambda words: (*words.stream, words.tokens[0])), ANSWERED),
    ),
)


def _limited(*headers: str) -> PlayOf:
    return refusal(429, "rate_limit_error", "rate_limit_exceeded", "slow down", *headers)


def _told_to_wait(retry_after: str, *, attempts: int = 1) -> Outcome:
    return refused(429, "upstream_rate_limited", attempts=attempts, retry_after=retry_after)


_TOO_LONG = "prompt is too long: 9 tokens > 5 maximum"
LIMITS = (
    Scenario(
        name="limited-seconds", says="429, `Retry-After: 7`", **both(_limited("retry-after: 7"), _told_to_wait("7"))
    ),
    Scenario(
        name="limited-date",
        says="429, `Retry-After` with a date in years",
        **both(_limited("retry-after: Thu, 01 Jan 2099 00:00:00 GMT"), _told_to_wait("3600|3599")),
    ),
    Scenario(
        name="limited-ms",
        says="429, `retry-after-ms: 20`",
        **both(_limited("retry-after-ms: 20", "retry-after: 9"), _told_to_wait("1", attempts=2)),
    ),
    Scenario(name="limited", says="429 without a word about when", **both(_limited(), _told_to_wait(""))),
    Scenario(
        name="spent",
        says="429 `insufficient_quota`",
        **both(refusal(429, "insufficient_quota", "insufficient_quota"), UNFIT),
    ),
    Scenario(name="stranger", says="401", **both(refusal(401, "authentication_error", "invalid_api_key"), UNFIT)),
    Scenario(name="forbidden", says="403", **both(refusal(403, "permission_error"), UNFIT)),
    Scenario(name="unknown-model", says="404", **both(refusal(404, "not_found_error", "model_not_found"), UNFIT)),
    Scenario(
        name="bad-request",
        says="400",
        **both(
            refusal(400, "invalid_request_error", "unknown"),
            refused(400, "upstream_refused", attempts=1, rescued=False),
        ),
    ),
    Scenario(
        name="too-long",
        says="400, the prompt is too long",
        **both(
            refusal(400, "invalid_request_error", "context_length_exceeded", _TOO_LONG),
            refused(400, "context_length_exceeded", attempts=1),
        ),
    ),
    Scenario(
        name="filtered",
        says="400, its content filter objects",
        **both(refusal(400, "content_filter", "content_filter"), refused(400, "upstream_refused", attempts=1)),
    ),
    Scenario(name="down", says="500", **both(refusal(500, "server_error"), UNREACHED)),
    Scenario(
        name="down-html", says="503 with a page of HTML", **both(lambda _: body(HTML, 503, "text/html"), UNREACHED)
    ),
    Scenario(name="overloaded", says="529", **both(refusal(529, "overloaded_error"), UNREACHED)),
)
SCENARIOS = {one.name: one for one in (*CONNECTING, *SLOW, *CUT, *DAMAGED, *ODD, *LIMITS)}
LEFT = (
    Scenario(name="leave-early", says="has not begun to answer", **both(always(Hold()), SILENT)),
    Scenario(name="leave-before-a-token", says="has not said anything", stream=(then(BEGUN, Hold()), SILENT)),
    Scenario(name="leave-late", says="is in mid-answer", stream=(then(HALFWAY, Hold()), SILENT)),
)
"""What a provider is doing when its caller leaves."""
STORM = Scenario(name="storm", says="500, again and again", **both(refusal(500, "server_error"), UNREACHED))
