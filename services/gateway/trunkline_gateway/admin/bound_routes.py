"""Limits and budgets as resources of their own: two lists over everybody, and one of each owner to set or take away."""

from msgspec import Struct

from trunkline_gateway.admin.bodies import decoded
from trunkline_gateway.admin.bound_edits import (
    MEASURES,
    measure_of,
    with_budget,
    with_limit,
    without_budget,
    without_limit,
)
from trunkline_gateway.admin.bounds import Bound, budgets_of, limits_of, part_of
from trunkline_gateway.admin.changes import changed, shown
from trunkline_gateway.admin.objects import NOUNS, Noun
from trunkline_gateway.admin.operations import Answer, Call, Nothing, Operation, Route
from trunkline_gateway.admin.queries import BoundsPage, Window
from trunkline_gateway.admin.shapes import VIEWS, BudgetRow, BudgetTerms, LimitRow, Listing
from trunkline_gateway.admin.spending import Till
from trunkline_gateway.directory.objects import Kind, Spec
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.errors import InvalidRequest, RouteNotFound
from trunkline_kit.tenants import Budget, Limit, Period, Scope, Tag


def bound_routes(registry: Registry, till: Till) -> list[Route]:
    """The lists, and four routes for each noun that has limits."""
    owners = [noun for noun in NOUNS if noun.kind is not Kind.PRICE]
    owned = [route for noun in owners for route in (*_limits(noun, registry), *_budgets(noun, registry))]
    return [*_lists(registry, till), *owned]


def _lists(registry: Registry, till: Till) -> list[Route]:
    async def limits(call: Call) -> Answer:
        part = await part_of(registry, call.asked(BoundsPage), limits_of)
        return Answer(body=Listing(data=tuple(_limit_row(bound) for bound in part.bounds), next=part.next))

    async def budgets(call: Call) -> Answer:
        page = call.asked(BoundsPage)
        part = await part_of(registry, page, budgets_of)
        return Answer(body=Listing(data=tuple(await till.rows(part.bounds, page.org)), next=part.next))

    return [
        Route(_listing("Limits", "List everybody's limits.", Listing[LimitRow]), limits),
        Route(_listing("Budgets", "List everybody's budgets, and what is left of them.", Listing[BudgetRow]), budgets),
    ]


def _listing(title: str, summary: str, answer: type) -> Operation:
    return Operation(
        id=f"list{title}",
        method="GET",
        path=f"/{title.lower()}",
        scope=Scope.ADMIN_READ,
        summary=summary,
        tag=title.lower(),
        query=BoundsPage,
        answer=answer,
    )


def _limit_row(bound: Bound[Limit]) -> LimitRow:
    return LimitRow(
        level=bound.item.kind.value,
        owner=bound.item.id,
        measure=measure_of(bound.terms),
        requests=bound.terms.requests,
        tokens=bound.terms.tokens,
        concurrent=bound.terms.concurrent,
        per_s=bound.terms.per_s,
        each_end_user=bound.each_end_user,
        declared=bound.item.declared,
    )


def _limits(noun: Noun, registry: Registry) -> list[Route]:
    path = f"/{noun.plural}/{{id}}/limits/{{measure}}"

    async def put(call: Call) -> Answer:
        limit, measure = decoded(call.body, Limit), _measure(call)
        if measure_of(limit) != measure:
            raise InvalidRequest(f"the body limits {measure_of(limit)}, the URL {measure}", param=measure)
        return shown(await changed(registry, noun.kind, call, lambda spec: with_limit(spec, limit), _absent(noun)))

    async def delete(call: Call) -> Answer:
        measure, per_s = _measure(call), call.asked(Window).per_s
        return shown(await changed(registry, noun.kind, call, lambda spec: without_limit(spec, measure, per_s)))

    same = "the one of the same measure and window"
    return [
        Route(_edit("PUT", noun, path, "Limit", f"Set a limit of {noun.about}, in place of {same}.", body=Limit), put),
        Route(_edit("DELETE", noun, path, "Limit", f"Take a limit of {noun.about} away.", query=Window), delete),
    ]


def _budgets(noun: Noun, registry: Registry) -> list[Route]:
    path = f"/{noun.plural}/{{id}}/budgets/{{period}}"

    async def put(call: Call) -> Answer:
        terms, period = decoded(call.body, BudgetTerms), _period(call)
        budget = Budget(amount_usd=terms.amount_usd, period=period, time_zone=terms.time_zone)
        return shown(await changed(registry, noun.kind, call, lambda spec: with_budget(spec, budget), _absent(noun)))

    async def delete(call: Call) -> Answer:
        period = _period(call)
        return shown(await changed(registry, noun.kind, call, lambda spec: without_budget(spec, period)))

    text = f"Set a budget of {noun.about}, in place of the one of the same period."
    return [
        Route(_edit("PUT", noun, path, "Budget", text, body=BudgetTerms), put),
        Route(_edit("DELETE", noun, path, "Budget", f"Take a budget of {noun.about} away."), delete),
    ]


def _edit(  # noqa: PLR0913 - the parts of an operation that differ
    method: str,
    noun: Noun,
    path: str,
    what: str,
    summary: str,
    *,
    body: type | None = None,
    query: type[Struct] = Nothing,
) -> Operation:
    verb = "set" if method == "PUT" else "delete"
    return Operation(
        id=f"{verb}{noun.title}{what}",
        method=method,
        path=path,
        scope=Scope.ADMIN_WRITE,
        summary=f"{summary} Answers the owner as it is then.",
        tag=f"{what.lower()}s",
        query=query,
        body=body,
        answer=VIEWS[noun.kind],
        errors=(404, 409, 412, *((413, 415) if body is not None else ())),
        versioned=True,
    )


def _absent(noun: Noun) -> Spec | None:
    """Tags and models are there without anybody having made them: their first limit makes the object."""
    return Tag() if noun.kind in {Kind.TAG, Kind.MODEL} else None


def _measure(call: Call) -> str:
    measure = call.path["measure"]
    if measure not in MEASURES:
        raise RouteNotFound(f"limits are of {', '.join(MEASURES)}, not {measure[:64]!r}")
    return measure


def _period(call: Call) -> Period:
    try:
        return Period(call.path["period"])
    except ValueError as error:
        periods = ", ".join(period.value for period in Period)
        raise RouteNotFound(f"budgets are per {periods}, not {call.path['period'][:64]!r}") from error
