from datetime import UTC, datetime

import msgspec
import pytest

from trunkline_gateway.admin.shapes import GENERATED_IDS, NEWS, VIEWS, view_of
from trunkline_gateway.directory.objects import SPECS, Item, Kind, SecretMark
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.tenants import KeySpec, Team

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("kind", Kind)
def test_views_and_news_have_all_of_the_spec(kind):
    fields = set(SPECS[kind].__struct_fields__)
    assert fields < set(VIEWS[kind].__struct_fields__)
    assert set(NEWS[kind].__struct_fields__) == {*fields, "id"}


def test_a_key_is_shown_without_its_secret():
    mark = SecretMark(last_four="abcd", created_at=NOW)
    item = Item(kind=Kind.KEY, id="k", spec=KeySpec(team="t"), version=3, created_at=NOW, secrets=(mark,))
    shown = msgspec.to_builtins(view_of(item))
    assert (shown["id"], shown["object"], shown["version"], shown["declared"]) == ("k", "key", 3, False)
    assert list(shown["secrets"]) == [{"last_four": "abcd", "created_at": "2026-01-01T00:00:00Z", "expires_at": None}]
    assert "secret" not in shown
    assert msgspec.to_builtins(view_of(item, "tl-new"))["secret"] == "tl-new"


def test_what_the_file_declares_says_so():
    shown = msgspec.to_builtins(view_of(Item(kind=Kind.TEAM, id="t", spec=Team(), version=0)))
    assert (shown["declared"], shown["created_at"]) == (True, None)
    price = view_of(Item(kind=Kind.PRICE, id="p", spec=PriceOverride(provider="up"), version=1))
    assert msgspec.to_builtins(price)["provider"] == "up"


@pytest.mark.parametrize("kind", Kind)
def test_ids_are_needed_where_nobody_makes_them(kind):
    body = {"provider": "up"} if kind is Kind.PRICE else {}
    if kind in GENERATED_IDS:
        assert msgspec.convert(body, NEWS[kind]).id is None
    else:
        with pytest.raises(msgspec.ValidationError, match="id"):
            msgspec.convert(body, NEWS[kind])
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**body, "id": "a", "nothing": 1}, NEWS[kind])
