"""`trunkline keys …`: what can be asked, in words."""

# ruff: noqa: PLC0415, FBT002, PLR0913, PLR0917 - imports when asked for; flags and many options are typer's way
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from trunkline_standalone.cli_options import JsonOption, KeyOption, UrlOption, remote, run_plainly

keys_app = typer.Typer(help="Make, show, rotate and revoke virtual keys.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="The key's id.", metavar="ID")]
TeamOption = Annotated[str | None, typer.Option(help="Who pays.")]
ProjectOption = Annotated[str | None, typer.Option(help="One of the key's team.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="A glob over model names; may be repeated. Default: all.")
]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option("--scope", help="inference, admin:read, admin:write or metrics; may be repeated. Default: inference."),
]
ExpiresOption = Annotated[str | None, typer.Option(help="90d, 12h, 2027-01-31, or never.")]
NetworkOption = Annotated[
    list[str] | None, typer.Option("--network", help="Where it may be used from, such as 10.0.0.0/8; repeatable.")
]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="On each of its requests; may be repeated.")]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", help="requests:600/60s, tokens:200000/1m, concurrent:32; may be repeated."),
]
BudgetOption = Annotated[
    list[str] | None, typer.Option("--budget", help="500/month, 20/day@Europe/Berlin, 1000/total; may be repeated.")
]
PriorityOption = Annotated[str | None, typer.Option(help="interactive, normal or batch.")]
PolicyOption = Annotated[str | None, typer.Option(help="A policy of the configuration file.")]
QueueOption = Annotated[
    float | None, typer.Option("--queue-wait-s", help="How long its requests may wait for a limit.")
]
DownOption = Annotated[
    str | None, typer.Option("--when-store-is-down", help="open, closed or local_share.", metavar="MODE")
]


@keys_app.command("create")
def create(
    key_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Made out of the team's name when left out.")
    ] = None,
    team: TeamOption = None,
    project: ProjectOption = None,
    model: ModelOption = None,
    scope: ScopeOption = None,
    expires: ExpiresOption = None,
    network: NetworkOption = None,
    tag: TagOption = None,
    limit: LimitOption = None,
    budget: BudgetOption = None,
    priority: PriorityOption = None,
    policy: PolicyOption = None,
    queue_wait_s: QueueOption = None,
    when_store_is_down: DownOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a key and print its secret, once: it stands alone on standard output.

    For instance:

      KEY=$(trunkline keys create search-dev --team search --limit requests:600/60s --budget 50/month)

      trunkline keys create --team search --model 'gpt-*' --expires 90d
    """
    given = {
        "id": key_id,
        "team": team,
        "project": project,
        "models": model,
        "scopes": scope,
        "expires_at": expires,
        "networks": network,
        "tags": tag,
        "limits": limit,
        "budgets": budget,
        "priority": priority,
        "policy": policy,
        "queue_wait_s": queue_wait_s,
        "when_store_is_down": when_store_is_down,
    }
    _create(given, as_json=as_json, url=url, key=key)


@keys_app.command("set")
def change(
    key_id: IdArgument,
    team: TeamOption = None,
    project: ProjectOption = None,
    model: ModelOption = None,
    scope: ScopeOption = None,
    expires: ExpiresOption = None,
    network: NetworkOption = None,
    tag: TagOption = None,
    limit: LimitOption = None,
    budget: BudgetOption = None,
    priority: PriorityOption = None,
    policy: PolicyOption = None,
    queue_wait_s: QueueOption = None,
    when_store_is_down: DownOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Change what is given of a key; repeatable options replace all that it had.

    An empty text takes a field away, but for models and scopes, which a key must have.

    For instance:

      trunkline keys set search-dev --expires 2027-01-31 --limit requests:1200/60s --limit concurrent:16

      trunkline keys set search-dev --project '' --network ''
    """
    given = {
        "team": team,
        "project": project,
        "models": model,
        "scopes": scope,
        "expires_at": expires,
        "networks": network,
        "tags": tag,
        "limits": limit,
        "budgets": budget,
        "priority": priority,
        "policy": policy,
        "queue_wait_s": queue_wait_s,
        "when_store_is_down": when_store_is_down,
    }
    _change(key_id, given, as_json=as_json, url=url, key=key)


@keys_app.command("list")
def listed(
    team: Annotated[str, typer.Option(help="Only this team's.")] = "",
    project: Annotated[str, typer.Option(help="Only this project's.")] = "",
    prefix: Annotated[str, typer.Option(help="Only ids that begin so.")] = "",
    disabled: Annotated[bool | None, typer.Option("--disabled/--enabled", help="Only those.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List keys, those of the configuration file too. Of secrets only the last four letters are known.

    For instance: trunkline keys list --team search --disabled
    """

    def work() -> None:
        from trunkline_standalone.commands.objects import KEYS, run_list

        state = "" if disabled is None else str(disabled).lower()
        query = (("team", team), ("project", project), ("prefix", prefix), ("disabled", state))
        run_list(remote(url, key), KEYS, query, as_json=as_json)

    run_plainly(work)


@keys_app.command("show")
def show(key_id: IdArgument, as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """Show one key.

    For instance: trunkline keys show search-dev
    """

    def work() -> None:
        from trunkline_standalone.commands.objects import KEYS, run_show

        run_show(remote(url, key), KEYS, key_id, as_json=as_json)

    run_plainly(work)


@keys_app.command("rotate")
def rotate(
    key_id: IdArgument,
    overlap: Annotated[
        str | None,
        typer.Option(
            help="How long the old secret goes on working: 24h, 30m, 1d or 0; a year at most. Default: the gateway's, a"
            " day."
        ),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Give a key a new secret and print it, once: it stands alone on standard output.

    For instance: KEY=$(trunkline keys rotate search-dev --overlap 12h)
    """

    def work() -> None:
        from trunkline_standalone.commands.keys import run_rotate
        from trunkline_standalone.terms import seconds_of

        overlap_s = None if overlap is None else seconds_of(overlap)
        run_rotate(remote(url, key), key_id, overlap_s, as_json=as_json)

    run_plainly(work)


@keys_app.command("disable")
def disable(key_id: IdArgument, as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """Refuse a key's requests everywhere within a second, until it is enabled again.

    For instance: trunkline keys disable search-dev
    """
    _switch(key_id, "disable", as_json=as_json, url=url, key=key)


@keys_app.command("enable")
def enable(key_id: IdArgument, as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """Let a disabled key in again.

    For instance: trunkline keys enable search-dev
    """
    _switch(key_id, "enable", as_json=as_json, url=url, key=key)


@keys_app.command("revoke")
def revoke(key_id: IdArgument, url: UrlOption = None, key: KeyOption = None) -> None:
    """Delete a key for ever; its requests end everywhere within a second.

    For instance: trunkline keys revoke search-dev
    """

    def work() -> None:
        from trunkline_standalone.commands.keys import run_revoke

        run_revoke(remote(url, key), key_id)

    run_plainly(work)


@keys_app.command("limit")
def limit_key(
    key_id: IdArgument,
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="requests:600/60s, tokens:200000/1m or concurrent:32.")],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Set one limit of a key, in place of the one of the same measure and window. See also `trunkline limits`.

    For instance: trunkline keys limit search-dev requests:600/60s
    """

    def work() -> None:
        from trunkline_standalone.commands.bounds import run_set_limit
        from trunkline_standalone.terms import limit_of

        run_set_limit(remote(url, key), "key", key_id, limit_of(limit), as_json=as_json)

    run_plainly(work)


def _switch(key_id: str, verb: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    def work() -> None:
        from trunkline_standalone.commands.keys import run_switch

        run_switch(remote(url, key), key_id, verb, as_json=as_json)

    run_plainly(work)


def _create(given: Mapping[str, object], *, as_json: bool, url: str | None, key: str | None) -> None:
    def work() -> None:
        from trunkline_standalone.commands.changes import changes_of
        from trunkline_standalone.commands.keys import run_create

        run_create(remote(url, key), changes_of(given, _now()), as_json=as_json)

    run_plainly(work)


def _change(key_id: str, given: Mapping[str, object], *, as_json: bool, url: str | None, key: str | None) -> None:
    def work() -> None:
        from trunkline_standalone.commands.changes import changes_of
        from trunkline_standalone.commands.objects import KEYS, run_set

        run_set(remote(url, key), KEYS, key_id, changes_of(given, _now()), as_json=as_json)

    run_plainly(work)


def _now() -> datetime:
    from trunkline_kit.clock import SystemClock

    return datetime.fromtimestamp(SystemClock().now_s(), UTC)
