"""`trunkline prices list | set | remove`: overrides over the admin API."""

import asyncio

import msgspec

from trunkline_gateway.prices.rulings import price_of
from trunkline_kit.accounts import PriceOverride
from trunkline_standalone.columns import ID_LEAST, Column, Shape
from trunkline_standalone.commands.objects import Noun, asked, path_of, run_delete
from trunkline_standalone.commands.prices import told_price
from trunkline_standalone.remote import Pairs, Remote, connected
from trunkline_standalone.tables import note, say_json, say_table

PRICES = Noun(plural="prices", columns=())
_COLUMNS = (
    Column(name="id", shape=Shape.NAME, least=ID_LEAST),
    Column(name="provider", shape=Shape.NAME),
    Column(name="model", shape=Shape.NAME),
    Column(name="team", shape=Shape.NAME),
    Column(name="dollars per million tokens"),
    Column(name="declared in", shape=Shape.WHOLE, spare=1),
)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """As given on the command line; None: as by default."""

    provider: str
    model: str
    team: str | None = None
    input_usd: float | None = None
    output_usd: float | None = None
    cache_read_usd: float | None = None
    cache_write_usd: float | None = None
    request_usd: float | None = None
    gpu_second_usd: float | None = None
    gpu_requests: int | None = None


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """As the admin API shows it: what of it is needed here besides its prices."""

    id: str
    provider: str
    model: str = "*"
    team: str | None = None
    declared: bool = False


def run_list(remote: Remote, query: Pairs, *, as_json: bool) -> None:
    """All of them, those of the file too."""
    raws = asyncio.run(_all(remote, query))
    if as_json:
        say_json(msgspec.json.encode(raws))
        return
    say_table(_COLUMNS, [_cells(raw) for raw in raws])


def run_set(remote: Remote, terms: Terms, *, as_json: bool) -> None:
    """In place of the one for the same provider, model and team that was made at run time, if there is one."""
    known = asyncio.run(_all(remote, (("provider", terms.provider),)))
    found = [msgspec.json.decode(raw, type=Override) for raw in known]
    same = [one for one in found if (one.model, one.team) == (terms.model, terms.team) and not one.declared]
    if same:
        answer = asked(remote, "PATCH", path_of(PRICES, same[-1].id), terms)
    else:
        given = {name: value for name, value in msgspec.to_builtins(terms).items() if value is not None}
        answer = asked(remote, "POST", "/prices", given)
    if as_json:
        say_json(answer)
    else:
        made = msgspec.json.decode(answer, type=Override)
        note(f"{'changed' if same else 'made'} price {made.id}: {_told(answer)}")


def run_remove(remote: Remote, override: str) -> None:
    """It is gone when this returns."""
    run_delete(remote, PRICES, override)


async def _all(remote: Remote, query: Pairs) -> list[msgspec.Raw]:
    async with connected(remote) as gateway:
        return await gateway.all(msgspec.Raw, "/prices", query)


def _cells(raw: msgspec.Raw) -> tuple[str, ...]:
    one = msgspec.json.decode(raw, type=Override)
    return (one.id, one.provider, one.model, one.team or "", _told(bytes(raw)), "file" if one.declared else "")


def _told(answer: bytes) -> str:
    """The prices of an override in words. Its other fields are not those of a file's."""
    whole = msgspec.json.decode(answer)
    known = {name: whole[name] for name in PriceOverride.__struct_fields__ if name in whole}
    return told_price(price_of(msgspec.convert(known, PriceOverride)))
