"""Orgs, teams, projects, keys, tags, models' limits and price overrides: list, make, read, change, delete."""

import secrets
from typing import Any
from urllib.parse import quote

import msgspec

from trunkline_gateway.admin.bodies import decoded, patched
from trunkline_gateway.admin.changes import changed, shown, version_asked
from trunkline_gateway.admin.operations import BASE, Answer, Call, Operation, Route
from trunkline_gateway.admin.queries import KeysPage, Page, PricesPage, ProjectsPage, TeamsPage, objects_of
from trunkline_gateway.admin.shapes import GENERATED_IDS, KEY_MADE, NEWS, VIEWS, Listing, view_of
from trunkline_gateway.directory.objects import SPECS, Actor, Draft, Kind, Spec
from trunkline_gateway.directory.registry import Created, Registry
from trunkline_kit.tenants import KeySpec, Scope

_ID_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that look like others. Eight of them are 39 bits: two ids hardly ever meet, and then it is a 409."""
_ID_LETTERS_COUNT = 8


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object, in URLs and in sentences."""

    kind: Kind
    plural: str
    about: str
    page: type[Page] = Page

    @property
    def title(self) -> str:
        """In names of operations."""
        return self.kind.value.capitalize()

    @property
    def list_title(self) -> str:
        """In the name of the operation that lists them: `listModels` lists what a key may ask for."""
        return "ModelBounds" if self.kind is Kind.MODEL else self.plural.capitalize()


NOUNS = (
    Noun(kind=Kind.ORG, plural="orgs", about="an org"),
    Noun(kind=Kind.TEAM, plural="teams", about="a team", page=TeamsPage),
    Noun(kind=Kind.PROJECT, plural="projects", about="a project", page=ProjectsPage),
    Noun(kind=Kind.KEY, plural="keys", about="a virtual key", page=KeysPage),
    Noun(kind=Kind.TAG, plural="tags", about="a tag", page=Page),
    Noun(kind=Kind.MODEL, plural="models", about="a model's limits and budgets", page=Page),
    Noun(kind=Kind.PRICE, plural="prices", about="a price override", page=PricesPage),
)


def object_routes(registry: Registry) -> list[Route]:
    """Five for each noun."""
    return [route for noun in NOUNS for route in _routes(noun, registry)]


def _routes(noun: Noun, registry: Registry) -> list[Route]:
    kind, view = noun.kind, VIEWS[noun.kind]
    several, one = f"/{noun.plural}", f"/{noun.plural}/{{id}}"

    async def listed(call: Call) -> Answer:
        page = await registry.list(objects_of(kind, call.asked(Page)))
        return Answer(body=Listing(data=tuple(view_of(item) for item in page.items), next=page.next or None))

    async def made(call: Call) -> Answer:
        created = await make(registry, kind, call.body, call.actor)
        answer = shown(created.item, created.secret.reveal() if created.secret is not None else None)
        location = f"{BASE}{several}/{quote(created.item.id, safe='')}"
        return msgspec.structs.replace(answer, headers=(*answer.headers, ("location", location)))

    async def read(call: Call) -> Answer:
        return shown(await registry.get(kind, call.id))

    async def updated(call: Call) -> Answer:
        return shown(await changed(registry, kind, call, lambda spec: patched(spec, call.body)))

    async def deleted(call: Call) -> Answer:
        await registry.delete(kind, call.id, call.actor, await version_asked(registry, kind, call))
        return Answer()

    page: Any = Listing[view]  # type: ignore[valid-type]  # a type that is made at run time
    return [
        Route(_listing(noun, several, page), listed),
        Route(_making(noun, several), made),
        Route(_reading(noun, one), read),
        Route(_updating(noun, one), updated),
        Route(_deleting(noun, one), deleted),
    ]


def _listing(noun: Noun, path: str, answer: Any) -> Operation:
    return Operation(
        id=f"list{noun.list_title}",
        method="GET",
        path=path,
        scope=Scope.ADMIN_READ,
        summary=f"List {noun.plural}, those of the configuration file too, in order of id.",
        tag=noun.plural,
        query=noun.page,
        answer=answer,
    )


def _making(noun: Noun, path: str) -> Operation:
    is_key = noun.kind is Kind.KEY
    return Operation(
        id=f"create{noun.title}",
        method="POST",
        path=path,
        scope=Scope.ADMIN_WRITE,
        summary=f"Make {noun.about}." + (" The answer has its secret: it is shown this once." if is_key else ""),
        tag=noun.plural,
        status=201,
        body=NEWS[noun.kind],
        answer=KEY_MADE if is_key else VIEWS[noun.kind],
        errors=(404, 409, 413, 415),
    )


def _reading(noun: Noun, path: str) -> Operation:
    return Operation(
        id=f"get{noun.title}",
        method="GET",
        path=path,
        scope=Scope.ADMIN_READ,
        summary=f"Read {noun.about}.",
        tag=noun.plural,
        answer=VIEWS[noun.kind],
        errors=(404,),
    )


def _updating(noun: Noun, path: str) -> Operation:
    return Operation(
        id=f"update{noun.title}",
        method="PATCH",
        path=path,
        scope=Scope.ADMIN_WRITE,
        summary=f"Change {noun.about} by a JSON merge patch (RFC 7396): null takes a field back to its default.",
        tag=noun.plural,
        body=SPECS[noun.kind],
        is_patch=True,
        answer=VIEWS[noun.kind],
        errors=(404, 409, 412, 413, 415),
        versioned=True,
    )


def _deleting(noun: Noun, path: str) -> Operation:
    revokes = " Its requests are refused everywhere within a second." if noun.kind is Kind.KEY else ""
    return Operation(
        id=f"delete{noun.title}",
        method="DELETE",
        path=path,
        scope=Scope.ADMIN_WRITE,
        summary=f"Delete {noun.about}.{revokes}",
        tag=noun.plural,
        status=204,
        errors=(404, 409, 412),
        versioned=True,
    )


async def make(registry: Registry, kind: Kind, body: bytes, actor: Actor) -> Created:
    """Raises InvalidRequest, Conflict, StoreUnavailable."""
    new: Any = decoded(body, NEWS[kind])
    spec: Spec = SPECS[kind](**{name: getattr(new, name) for name in SPECS[kind].__struct_fields__})
    return await registry.create(Draft(kind=kind, id=new.id or generated_id(kind, spec), spec=spec), actor)


def generated_id(kind: Kind, spec: Spec) -> str:
    """For what is made without an id: `search-7k2mhx4q` for a key of team search. Raises nothing, may be taken."""
    assert kind in GENERATED_IDS  # noqa: S101 - the others' ids are required
    owner = spec.team if isinstance(spec, KeySpec) else kind.value
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in owner.lower())
    stem = name.strip("-")[:40] or kind.value
    return f"{stem}-{''.join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LETTERS_COUNT))}"
