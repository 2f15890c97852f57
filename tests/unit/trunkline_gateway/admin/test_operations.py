from typing import Annotated

import msgspec
import pytest

from trunkline_gateway.admin.operations import Call, Nothing, Visitor, query_of
from trunkline_gateway.auth import Principal
from trunkline_gateway.directory.objects import Actor
from trunkline_kit.errors import InvalidRequest

VISITOR = Visitor(Principal(key_id="k"), Actor(id="k", request_id="r"))


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    count: Annotated[int, msgspec.Meta(ge=1)] = 5
    on: bool | None = None
    names: tuple[str, ...] = ()
    text: str = ""


def test_text_becomes_what_the_struct_says():
    pairs = [("count", "3"), ("on", "true"), ("names", "a"), ("text", "true"), ("names", "b")]
    assert query_of(pairs, Asked) == Asked(count=3, on=True, names=("a", "b"), text="true")


def test_what_is_left_out_is_as_by_default():
    assert query_of([], Asked) == Asked()
    assert query_of([], Nothing) == Nothing()


@pytest.mark.parametrize(
    ("pairs", "param"),
    [
        ([("count", "x")], "count"),
        ([("count", "0")], "count"),
        ([("count", "")], "count"),
        ([("on", "perhaps")], "on"),
        ([("text", "a"), ("text", "b")], "text"),
        ([("other", "1")], "other"),
        ([("x" * 200, "1")], "x" * 64),
    ],
)
def test_wrong_ones_are_named(pairs, param):
    with pytest.raises(InvalidRequest) as caught:
        query_of(pairs, Asked)
    assert caught.value.param == param


def test_a_missing_one_is_named():
    class Needs(msgspec.Struct):
        what: str

    with pytest.raises(InvalidRequest) as caught:
        query_of([], Needs)
    assert caught.value.param == "what"


def test_a_call_knows_who_and_what():
    call = Call(visitor=VISITOR, path={"id": "a/b"}, query=Asked(count=2))
    assert (call.id, call.actor.id, call.asked(Asked).count) == ("a/b", "k", 2)


def test_a_wrong_choice_is_answered_with_all_of_them():
    from trunkline_gateway.admin.queries import BoundsPage, UsagePage

    for pairs, kind, says in (
        ([("level", "galaxy")], BoundsPage, "one of org, team, project, key, tag, model, not 'galaxy'"),
        ([("format", "xml")], UsagePage, "one of json, csv, focus"),
        ([("limit", "0")], BoundsPage, "a whole number of at least 1"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            query_of(pairs, kind)
