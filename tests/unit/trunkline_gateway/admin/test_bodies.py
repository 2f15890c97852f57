import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admin.bodies import BODY_BYTES_MAX, body_of, decoded, patched
from trunkline_gateway.edge import Visit
from trunkline_kit.errors import BodyTooLarge, InvalidRequest, MediaTypeNotSupported
from trunkline_kit.tenants import Budget, KeySpec, Limit, Period, Scope, Team

TEAM = Team(org="acme", limits=(Limit(concurrent=3),), weight=2.0)


def visit(**headers):
    return Visit([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def receiving(body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def test_the_body_as_it_came():
    for kind in ("application/json", "application/merge-patch+json", "Application/JSON; charset=utf-8"):
        assert await body_of(visit(content_type=kind), receiving(b"{}")) == b"{}"
    assert await body_of(visit(), receiving(b"{}")) == b"{}"


@pytest.mark.parametrize(
    "headers",
    [{"content_type": "text/plain"}, {"content_type": "application/jsonp"}, {"content_encoding": "gzip"}],
)
async def test_what_is_not_json(headers):
    with pytest.raises(MediaTypeNotSupported):
        await body_of(visit(**headers), receiving(b"{}"))


async def test_what_is_too_large():
    with pytest.raises(BodyTooLarge):
        await body_of(visit(content_length=str(BODY_BYTES_MAX + 1)), receiving(b""))
    with pytest.raises(BodyTooLarge):
        await body_of(visit(), receiving(b"x" * (BODY_BYTES_MAX + 1)))


def test_decoding_names_the_field():
    assert decoded(b'{"concurrent":3}', Limit) == Limit(concurrent=3)
    with pytest.raises(InvalidRequest) as caught:
        decoded(b'{"concurrent":0}', Limit)
    assert caught.value.param == "concurrent"
    with pytest.raises(InvalidRequest):
        decoded(b'{"nothing":0}', Limit)


def test_a_patch_changes_what_it_names():
    assert patched(TEAM, b'{"org":"other"}') == Team(org="other", limits=TEAM.limits, weight=2.0)
    assert patched(TEAM, b'{"limits":null,"weight":null}') == Team(org="acme")
    assert patched(TEAM, b"{}") == TEAM
    key = KeySpec(scopes=(Scope.METRICS,), expires_at=None)
    later = patched(key, b'{"expires_at":"2099-01-01T00:00:00+02:00"}')
    assert patched(later, b'{"expires_at":null}') == key


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        (b"[]", None),
        (b"null", None),
        (b"7", None),
        (b"{", None),
        (b'{"weight":"x"}', "weight"),
        (b'{"weight":0}', "weight"),
        (b'{"nothing":1}', None),
        (b'{"end_user":[]}', "end_user"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, None),
        (b'{"weight":' + b"9" * 5000 + b"}", None),
    ],
)
def test_a_patch_that_makes_no_sense(patch, param):
    with pytest.raises(InvalidRequest) as caught:
        patched(TEAM, patch)
    assert param is None or caught.value.param == param


SPECS = st.builds(
    Team,
    org=st.sampled_from(["a", "b"]),
    weight=st.floats(0.5, 9),
    limits=st.lists(st.builds(Limit, concurrent=st.integers(1, 9)), max_size=2).map(tuple),
    budgets=st.lists(st.builds(Budget, amount_usd=st.floats(0, 99), period=st.sampled_from(Period)), max_size=2).map(
        tuple
    ),
)


@given(SPECS, SPECS)
def test_a_whole_spec_as_a_patch_makes_that_spec(before, wanted):
    import msgspec

    assert patched(before, msgspec.json.encode(wanted)) == wanted


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b'{"org":"a","org":"b"}', "'org' twice"),
        (b'{"limits":[{"concurrent":1,"concurrent":2}]}', "'concurrent' twice"),
        (b"{", "not valid JSON"),
        (b"NaN", "not valid JSON"),
        (b'{"weight":1e999}', "not valid JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_read_for_sure_is_refused(body, says):
    for read in (lambda: decoded(body, Team), lambda: patched(TEAM, body)):
        with pytest.raises(InvalidRequest, match=says):
            read()
