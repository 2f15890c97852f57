"""The end of a stream that broke."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.responses.ending import Telling
from trunkline_gateway.sse import SseParser
from trunkline_kit.errors import RateLimited, UpstreamError


def event(kind, number, **rest):
    return Frame(json.dumps({"type": kind, "sequence_number": number, **rest}).encode(), kind)


def said(data):
    return [json.loads(one) for one in SseParser().feed(data)]


CREATED = event("response.created", 0, response={"id": "resp_1", "status": "in_progress", "error": None, "x": 1})


@given(st.lists(st.text(), min_size=1, max_size=8), st.integers(1, 4))
def test_it_goes_on_counting_and_repeats_its_response(texts, together):
    frames = [CREATED, *(event("response.output_text.delta", n, delta=text) for n, text in enumerate(texts, 1))]
    telling = Telling()
    chunks = [wire(frames[at : at + together]) for at in range(0, len(frames), together)]
    out = b"".join([telling.joined([chunk]) for chunk in chunks])
    assert out == wire(frames)
    error, failed = said(telling.broken(UpstreamError("it broke")))
    assert (error["type"], error["code"], error["message"]) == ("error", "upstream_error", "it broke")
    assert [error["sequence_number"], failed["sequence_number"]] == [len(frames), len(frames) + 1]
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "it broke"}
    assert (failed["response"]["id"], failed["response"]["x"]) == ("resp_1", 1)


def test_one_that_had_not_begun_has_an_error_only():
    [error] = said(Telling().broken(RateLimited("slow down")))
    assert (error["type"], error["sequence_number"], error["param"]) == ("error", 0, None)


def test_what_cannot_be_read_is_not_repeated():
    telling = Telling()
    telling.joined([b"event: x\ndata: nonsense\n\n"])
    telling.joined([])
    assert [one["type"] for one in said(telling.broken(UpstreamError("x")))] == ["error"]
