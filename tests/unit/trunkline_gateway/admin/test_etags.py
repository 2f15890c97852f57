import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admin.etags import IfMatch, etag, if_match
from trunkline_kit.errors import InvalidRequest, VersionMismatch

VERSIONS = st.integers(0, 2**63)


@given(VERSIONS)
def test_a_version_matches_its_own_tag(version):
    if_match(etag(version)).require(version)


@given(VERSIONS, VERSIONS)
def test_and_no_other(version, other):
    if version != other:
        with pytest.raises(VersionMismatch) as caught:
            if_match(etag(other)).require(version)
        assert caught.value.param == "if-match"


@pytest.mark.parametrize("header", ["", "*", " * "])
def test_any_version_will_do(header):
    assert if_match(header) == IfMatch()
    if_match(header).require(7)


@pytest.mark.parametrize("header", ['"1", "7"', "7", ' "7" ', 'W/"1","7"'])
def test_one_of_a_list_is_enough(header):
    if_match(header).require(7)


@pytest.mark.parametrize("header", ['W/"7"', '"07"', '""', '"x"'])
def test_weak_and_foreign_tags_never_match(header):
    with pytest.raises(VersionMismatch):
        if_match(header).require(7)


@pytest.mark.parametrize("header", ["x", '"7', '"7";', "*,", '"7",', "7" * 2000])
def test_what_is_no_list_of_tags(header):
    with pytest.raises(InvalidRequest) as caught:
        if_match(header)
    assert caught.value.param == "if-match"
