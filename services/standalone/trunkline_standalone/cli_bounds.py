"""`trunkline limits | budgets | audit | whoami`: what can be asked, in words."""

# ruff: noqa: PLC0415, FBT002, PLR0913, PLR0917 - imports when asked for; flags and many options are typer's way
from typing import Annotated

import typer

from trunkline_standalone.cli_options import JsonOption, KeyOption, UrlOption, remote, run_plainly

LevelArgument = Annotated[str, typer.Argument(metavar="LEVEL", help="org, team, project, key, tag or model.")]
OwnerArgument = Annotated[str, typer.Argument(help="Its id.", metavar="ID")]
LevelOption = Annotated[str, typer.Option(help="Only of one kind: org, team, project, key, tag or model.")]
OwnerOption = Annotated[str, typer.Option(help="Only this one's; needs --level.")]

limits_app = typer.Typer(help="List everybody's limits, and set one.", no_args_is_help=True)
budgets_app = typer.Typer(help="List everybody's budgets and what is left, and set one.", no_args_is_help=True)


@limits_app.command("list")
def list_limits(
    level: LevelOption = "",
    owner: OwnerOption = "",
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List limits, those of the configuration file too.

    For instance: trunkline limits list --level team
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_limits

        run_limits(remote(url, key), (("level", level), ("owner", owner)), as_json=as_json)

    run_plainly(work)


@limits_app.command("set")
def set_limit(
    level: LevelArgument,
    owner: OwnerArgument,
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="requests:600/60s, tokens:200000/1m or concurrent:32.")],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Set a limit, in place of the one of the same measure and window.

    For instance: trunkline limits set team search tokens:200000/1m
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_set_limit
        from trunkline_standalone.terms import limit_of

        run_set_limit(remote(url, key), level, owner, limit_of(limit), as_json=as_json)

    run_plainly(work)


@limits_app.command("remove")
def remove_limit(
    level: LevelArgument,
    owner: OwnerArgument,
    measure: Annotated[str, typer.Argument(help="requests, tokens or concurrent.")],
    window: Annotated[str | None, typer.Option(help="Only the one of this window, such as 60s. Default: all.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Take limits of one measure away.

    For instance: trunkline limits remove team search tokens --window 1m
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_remove_limit
        from trunkline_standalone.terms import seconds_of

        per_s = None if window is None else seconds_of(window)
        run_remove_limit(remote(url, key), level, owner, measure, per_s, as_json=as_json)

    run_plainly(work)


@budgets_app.command("list")
def list_budgets(
    level: LevelOption = "",
    owner: OwnerOption = "",
    org: Annotated[str, typer.Option(help="Whose spending of tags to show: they count apart in each org.")] = "",
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List budgets, what is used of them, requests under way included, and when they begin anew.

    For instance: trunkline budgets list --level team --owner search
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_budgets

        run_budgets(remote(url, key), (("level", level), ("owner", owner), ("org", org)), as_json=as_json)

    run_plainly(work)


@budgets_app.command("set")
def set_budget(
    level: LevelArgument,
    owner: OwnerArgument,
    budget: Annotated[
        str, typer.Argument(metavar="BUDGET", help="500/month, 20/day@Europe/Berlin or 1000/total, in USD.")
    ],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Set a budget, in place of the one of the same period.

    For instance: trunkline budgets set team search 500/month
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_set_budget
        from trunkline_standalone.terms import budget_of

        run_set_budget(remote(url, key), level, owner, budget_of(budget), as_json=as_json)

    run_plainly(work)


@budgets_app.command("remove")
def remove_budget(
    level: LevelArgument,
    owner: OwnerArgument,
    period: Annotated[str, typer.Argument(help="day, week, month or total.")],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Take the budget of one period away.

    For instance: trunkline budgets remove team search month
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_remove_budget

        run_remove_budget(remote(url, key), level, owner, period, as_json=as_json)

    run_plainly(work)


def audit(
    actor: Annotated[
        str, typer.Option(help="Only changes by this key, or by tokens of this issuer under identity.oidc.")
    ] = "",
    action: Annotated[str, typer.Option(help="create, update, delete or rotate.")] = "",
    kind: Annotated[str, typer.Option(help="org, team, project, key, tag, model or price.")] = "",
    object_id: Annotated[str, typer.Option("--id", help="Only changes of the object with this id.")] = "",
    since: Annotated[str, typer.Option(help="A date or time, or how long ago: 7d, 12h.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Entries at most.")] = 50,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show who changed what, the newest first. --json has every change whole, before and after.

    For instance:

      trunkline audit --kind key --since 7d

      trunkline audit --id search-dev --json
    """

    def work() -> None:
        from trunkline_standalone.commands.audit import run_audit, since_of

        query = (("actor", actor), ("action", action), ("kind", kind), ("object_id", object_id))
        run_audit(remote(url, key), (*query, ("since", since_of(since))), limit, as_json=as_json)

    run_plainly(work)


def whoami(as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """Say who a key is and what it may do.

    For instance: trunkline whoami
    """

    def work() -> None:
        from trunkline_standalone.commands.audit import run_whoami

        run_whoami(remote(url, key), as_json=as_json)

    run_plainly(work)
