"""`trunkline orgs | teams | projects | tags`: what can be asked, in words."""

# ruff: noqa: PLC0415, FBT002, PLR0913, PLR0917 - imports when asked for; flags and many options are typer's way
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from trunkline_standalone.cli_options import JsonOption, KeyOption, UrlOption, remote, run_plainly

LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", help="requests:600/60s, tokens:200000/1m, concurrent:32; may be repeated."),
]
BudgetOption = Annotated[
    list[str] | None, typer.Option("--budget", help="500/month, 20/day@Europe/Berlin, 1000/total; may be repeated.")
]
OwnerArgument = Annotated[str, typer.Argument(help="Its id.", metavar="ID")]


def noun_app(plural: str, about: str) -> typer.Typer:
    """list, show and delete of one kind of object; create and set are added by whoever knows its fields."""
    one = plural[:-1]
    app = typer.Typer(help=about, no_args_is_help=True)

    def listed(
        prefix: Annotated[str, typer.Option(help="Only ids that begin so.")] = "",
        as_json: JsonOption = False,
        url: UrlOption = None,
        key: KeyOption = None,
    ) -> None:
        def work() -> None:
            from trunkline_standalone.commands.objects import NOUNS, run_list

            run_list(remote(url, key), NOUNS[plural], (("prefix", prefix),), as_json=as_json)

        run_plainly(work)

    def show(name: OwnerArgument, as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
        def work() -> None:
            from trunkline_standalone.commands.objects import NOUNS, run_show

            run_show(remote(url, key), NOUNS[plural], name, as_json=as_json)

        run_plainly(work)

    def delete(name: OwnerArgument, url: UrlOption = None, key: KeyOption = None) -> None:
        def work() -> None:
            from trunkline_standalone.commands.objects import NOUNS, run_delete

            run_delete(remote(url, key), NOUNS[plural], name)

        run_plainly(work)

    file_too = "those of the configuration file too"
    app.command("list", help=f"List {plural}, {file_too}.\n\nFor instance: trunkline {plural} list")(listed)
    app.command("show", help=f"Show one {one}.\n\nFor instance: trunkline {plural} show search")(show)
    app.command(
        "delete", help=f"Delete a {one} that nothing belongs to.\n\nFor instance: trunkline {plural} delete search"
    )(delete)
    return app


def make(plural: str, given: Mapping[str, object], *, as_json: bool, url: str | None, key: str | None) -> None:
    """Create one."""

    def work() -> None:
        from trunkline_standalone.commands.changes import changes_of
        from trunkline_standalone.commands.objects import NOUNS, run_create

        run_create(remote(url, key), NOUNS[plural], changes_of(given, _now()), as_json=as_json)

    run_plainly(work)


def change(
    plural: str, name: str, given: Mapping[str, object], *, as_json: bool, url: str | None, key: str | None
) -> None:
    """Change one."""

    def work() -> None:
        from trunkline_standalone.commands.changes import changes_of
        from trunkline_standalone.commands.objects import NOUNS, run_set

        run_set(remote(url, key), NOUNS[plural], name, changes_of(given, _now()), as_json=as_json)

    run_plainly(work)


def _now() -> datetime:
    from trunkline_kit.clock import SystemClock

    return datetime.fromtimestamp(SystemClock().now_s(), UTC)


def bounded_app(plural: str, about: str) -> typer.Typer:
    """Of objects that have limits and budgets only."""
    app = noun_app(plural, about)
    one = plural[:-1]

    def create(
        name: OwnerArgument,
        limit: LimitOption = None,
        budget: BudgetOption = None,
        as_json: JsonOption = False,
        url: UrlOption = None,
        key: KeyOption = None,
    ) -> None:
        make(plural, {"id": name, "limits": limit, "budgets": budget}, as_json=as_json, url=url, key=key)

    def set_(
        name: OwnerArgument,
        limit: LimitOption = None,
        budget: BudgetOption = None,
        as_json: JsonOption = False,
        url: UrlOption = None,
        key: KeyOption = None,
    ) -> None:
        change(plural, name, {"limits": limit, "budgets": budget}, as_json=as_json, url=url, key=key)

    example = f"For instance: trunkline {plural}"
    app.command("create", help=f"Make a {one}.\n\n{example} create acme --budget 5000/month")(create)
    app.command(
        "set",
        help=f"Change what is given of a {one}; options replace all that it had.\n\n{example} set acme --limit ''",
    )(set_)
    return app


orgs_app = bounded_app("orgs", "Orgs: companies, or parts of one that share nothing.")
tags_app = bounded_app("tags", "Tags: marks on requests that may have limits and budgets.")
teams_app = noun_app("teams", "Teams: who pays.")
projects_app = noun_app("projects", "Projects: what a team works on.")

WeightOption = Annotated[float | None, typer.Option(help="Its share where requests wait in the queue.")]


@teams_app.command("create")
def create_team(
    name: OwnerArgument,
    org: Annotated[str | None, typer.Option(help="The org that it belongs to.")] = None,
    weight: WeightOption = None,
    limit: LimitOption = None,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a team.

    For instance: trunkline teams create search --org acme --budget 500/month --limit requests:6000/60s
    """
    given = {"id": name, "org": org, "weight": weight, "limits": limit, "budgets": budget}
    make("teams", given, as_json=as_json, url=url, key=key)


@teams_app.command("set")
def set_team(
    name: OwnerArgument,
    org: Annotated[str | None, typer.Option(help="The org that it belongs to.")] = None,
    weight: WeightOption = None,
    limit: LimitOption = None,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Change what is given of a team; repeatable options replace all that it had.

    For instance: trunkline teams set search --budget 800/month --budget 60/day
    """
    given = {"org": org, "weight": weight, "limits": limit, "budgets": budget}
    change("teams", name, given, as_json=as_json, url=url, key=key)


@projects_app.command("create")
def create_project(
    name: OwnerArgument,
    team: Annotated[str | None, typer.Option(help="The team that works on it.")] = None,
    limit: LimitOption = None,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a project.

    For instance: trunkline projects create ranking --team search --budget 100/month
    """
    given = {"id": name, "team": team, "limits": limit, "budgets": budget}
    make("projects", given, as_json=as_json, url=url, key=key)


@projects_app.command("set")
def set_project(
    name: OwnerArgument,
    limit: LimitOption = None,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Change what is given of a project; repeatable options replace all that it had.

    For instance: trunkline projects set ranking --budget 200/month
    """
    change("projects", name, {"limits": limit, "budgets": budget}, as_json=as_json, url=url, key=key)
