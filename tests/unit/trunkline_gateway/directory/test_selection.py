"""Lists in memory, and two lists as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.directory.objects import ITEMS_PER_PAGE_MAX, SPECS, Item, Kind, Page, Query
from trunkline_gateway.directory.selection import FILTERS, check_limit, conditions, merged, page_of, select
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import KeySpec

IDS = st.text(st.sampled_from("abAB_:ä\U0001f600"), min_size=1, max_size=3)
SPECS_OF_KEYS = st.builds(KeySpec, disabled=st.booleans())
KEYS = st.dictionaries(IDS, SPECS_OF_KEYS, max_size=15)


def items_of(specs, version):
    return [Item(kind=Kind.KEY, id=name, spec=spec, version=version) for name, spec in specs.items()]


def walk(page, **query):
    """All pages, put together."""
    found, after = [], ""
    while True:
        part = page(Query(kind=Kind.KEY, after=after, **query))
        found += part.items
        if not part.next:
            return found
        assert part.next > after
        after = part.next


@given(declared=KEYS, stored=KEYS, limit=st.integers(1, 4), disabled=st.sampled_from([None, "true", "false"]))
def test_two_lists_page_by_page_are_one_list_in_order(declared, stored, limit, disabled):
    own, other = {item.id: item for item in items_of(declared, 0)}, items_of(stored, 1)
    query = {"limit": limit, "equal": {} if disabled is None else {"disabled": disabled}}

    def page(asked):
        return merged(own, page_of(other, asked), asked)

    # A declared object hides a stored one, even where it is not in the list itself.
    expected = {item.id: item for item in select(other, Query(kind=Kind.KEY, equal=query["equal"]))}
    expected |= {item.id: item for item in select(own.values(), Query(kind=Kind.KEY, equal=query["equal"]))}
    shown = [item for _, item in sorted(expected.items()) if item.declared or item.id not in own]
    assert walk(page, **query) == shown


def test_a_short_page_still_leads_on():
    own = {item.id: item for item in items_of({"a": KeySpec(), "z": KeySpec()}, 0)}
    stored = Page(items=(), next="m")
    page = merged(own, stored, Query(kind=Kind.KEY, limit=5))
    assert ([item.id for item in page.items], page.next) == (["a"], "m")


def test_every_field_to_filter_by_is_one():
    for kind, names in FILTERS.items():
        assert set(names) <= set(SPECS[kind].__struct_fields__)
    assert set(FILTERS) == set(Kind)


def test_an_unknown_field_is_the_callers_fault():
    for query in (Query(kind=Kind.KEY, equal={"secret": "x"}), Query(kind=Kind.KEY, any_of={"networks": ("x",)})):
        with pytest.raises(InvalidRequest, match="a key is found by team, project") as wrong:
            conditions(query)
        assert wrong.value.param in {"secret", "networks"}
    with pytest.raises(InvalidRequest, match="by prefix only"):
        conditions(Query(kind=Kind.ORG, equal={"team": "x"}))


@pytest.mark.parametrize("limit", [0, -1, ITEMS_PER_PAGE_MAX + 1])
def test_a_page_has_bounds(limit):
    with pytest.raises(InvalidRequest, match=f"from 1 to {ITEMS_PER_PAGE_MAX}"):
        check_limit(limit)
