"""What every protocol over HTTP has in common."""

import pytest

from trunkline_gateway.chunks import Chunk
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed, Call, Terms
from trunkline_gateway.providers.foreign import Fixed, Foreign, ReadEvents
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import Unsupported
from trunkline_policy.faults import FailureKind

TARGET = Target("m", "up", "their-m", 1.0, None)


class Reader:
    def __init__(self, *batches):
        self.batches = list(batches)
        self.reads = 0
        self.ended = []

    async def next(self):
        self.reads += 1
        return self.batches.pop(0) if self.batches else None

    def without_key(self, said):
        return said.replace(b"sk-secret", b"***")

    async def release(self):
        self.ended.append("released")

    def cut(self):
        self.ended.append("cut")


class Events:
    """Says back what it is fed; what begins with `!` is an error, and what begins with `-` nothing."""

    def feed(self, datas):
        return [Chunk(b"", error=data[1:]) if data[:1] == b"!" else Chunk(data) for data in datas if data[:1] != b"-"]

    def close(self):
        return [Chunk(b"end")]


async def read(stream):
    said = []
    while (chunks := await stream.next()) is not None:
        said += [chunk.error or chunk.data for chunk in chunks]
    return said


async def test_a_stream_is_read_to_its_end_and_closed_once():
    stream = ReadEvents(Reader([b"a"], [b"-"], [b"b", b"c"]), Events())
    assert await read(stream) == [b"a", b"b", b"c", b"end"]
    assert await stream.next() is None


async def test_what_is_known_to_be_the_last_is_not_waited_behind():
    reader = Reader([b"a"], [b"last"], [b"never"])
    assert await read(ReadEvents(reader, Events(), lambda data: data == b"last")) == [b"a", b"last", b"end"]
    assert reader.reads == 2


async def test_errors_come_without_our_key():
    assert await read(ReadEvents(Reader([b"!no sk-secret"]), Events())) == [b"no ***", b"end"]


async def test_it_is_let_go_as_it_was_told():
    reader = Reader()
    stream = ReadEvents(reader, Events())
    await stream.release()
    stream.cut()
    assert reader.ended == ["released", "cut"]


async def test_a_fixed_wire_needs_no_more_than_a_path():
    wire = Fixed(protocol="p", path_of=lambda target, as_stream: f"/{target.provider_model}/{as_stream}")
    assert wire.path(TARGET, as_stream=True) == "/their-m/True"
    assert await wire.headers("/", b"") == ()
    assert wire.abilities(TARGET) is None


class Account:
    name, host = "up", "up.example"


@pytest.mark.parametrize("act", ["whole", "stream"])
async def test_what_is_no_conversation_is_for_others(act):
    provider = Foreign("kind", Account(), Fixed(protocol="anthropic", path_of=lambda *_: "/"), ManualClock())
    body = b'{"model":"m","input":"x"}'
    control = CONTROL_DECODERS[Surface.EMBEDDING].decode(body)
    call = Call(surface=Surface.EMBEDDING, body=body, control=control, request_id="r")
    with pytest.raises(AttemptFailed) as failed:
        await getattr(provider, act)(call, TARGET, Terms(connect_s=1, total_s=1))
    assert failed.value.kind is FailureKind.UNFIT
    assert isinstance(failed.value.error, Unsupported)
    assert not provider.streams_whole(call, TARGET)
    assert await provider.check("their-m") == "up.example, not probed"


async def test_what_comes_after_the_last_is_no_part_of_the_answer():
    stream = ReadEvents(Reader([b"a", b"last", b"more"], [b"never"]), Events(), lambda data: data == b"last")
    assert await read(stream) == [b"a", b"last", b"end"]
