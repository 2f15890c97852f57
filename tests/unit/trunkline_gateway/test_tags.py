"""Tags of a key and of a request."""

import pytest

from trunkline_gateway.tags import TAGS_MAX, tags_of
from trunkline_kit.errors import InvalidRequest


@pytest.mark.parametrize(
    ("own", "header", "found"),
    [
        ((), "", ()),
        (("a",), "", ("a",)),
        (("a",), "b, c", ("a", "b", "c")),
        (("a", "b"), "b,a , c,c", ("a", "b", "c")),
        ((), "team/search:v1.2_x-y", ("team/search:v1.2_x-y",)),
        ((), "x" * 64, ("x" * 64,)),
    ],
)
def test_each_tag_is_there_once(own, header, found):
    assert tags_of(own, header) == found


@pytest.mark.parametrize("header", ["a,,b", ",", " ", "a b", "ü", "x" * 65, "a;b"])
def test_a_malformed_tag_is_refused_by_the_headers_name(header):
    with pytest.raises(InvalidRequest, match="x-trunkline-tags") as refused:
        tags_of((), header)
    assert refused.value.param == "x-trunkline-tags"
    assert len(refused.value.message) < 300


def test_there_are_at_most_eight_in_the_header():
    many = ",".join(f"t{number}" for number in range(TAGS_MAX))
    assert len(tags_of(("own",), many)) == TAGS_MAX + 1
    with pytest.raises(InvalidRequest, match="at most 8"):
        tags_of((), f"{many},one-more")
