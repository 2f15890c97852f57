"""`trunkline usage …`: what can be asked, in words."""

# ruff: noqa: PLC0415, PLR0913, PLR0917 - imports when asked for; many options are typer's way
from pathlib import Path
from typing import Annotated

import typer

from trunkline_standalone.cli_options import DEFAULT_HOME, HomeOption, environment, run_plainly

usage_app = typer.Typer(invoke_without_command=True)

DatabaseOption = Annotated[
    Path | None, typer.Option("--config", help="trunkline.yaml that names the database.", metavar="FILE")
]
ByOption = Annotated[
    str,
    typer.Option(
        help="Split by these, with commas: org, team, project, key, end_user, model, asked, provider, provider_model,"
        " route, surface, outcome, price, source, cache, guardrails, tag."
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", "-w", help="Only these, such as team=search; may be repeated.", metavar="DIM=VALUE"),
]
_BY_PLACE = "text on a terminal, markdown elsewhere"
ZoneOption = Annotated[str, typer.Option("--time-zone", help="Of days and months, such as Europe/Berlin.")]


@usage_app.callback()
def usage(
    context: typer.Context,
    by: ByOption = "team,model",
    bucket: Annotated[str | None, typer.Option(help="hour, day, week or month.")] = None,
    since: Annotated[str, typer.Option(help="7d, 12h, 2w, or a date or time.")] = "7d",
    until: Annotated[str | None, typer.Option(help="The same. Default: now.")] = None,
    time_zone: ZoneOption = "UTC",
    where: WhereOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="At most so many lines. Default: 1000, in files all.")
    ] = None,
    after: Annotated[str, typer.Option(help="Go on behind the last line that was shown.", metavar="NEXT")] = "",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="table (in a pipe: tab-separated lines), csv, json, or focus (FinOps FOCUS 1.2 CSV).",
        ),
    ] = "table",
    config: DatabaseOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show what was used and what it cost.

    For instance:

      trunkline usage --by team,model --since 30d

      trunkline usage --by tag --where team=search --bucket day --time-zone Europe/Berlin

      trunkline usage --since 2026-11-01 --format focus > november.csv
    """
    if context.invoked_subcommand is not None:
        return
    from trunkline_standalone.commands.usage import UsageOptions, run_usage

    options = UsageOptions(
        by=by,
        bucket=bucket,
        since=since,
        until=until,
        time_zone=time_zone,
        where=tuple(where or ()),
        limit=limit,
        after=after,
        form=form,
        config=config,
        home=home,
    )
    run_plainly(lambda: run_usage(options, environment()))


@usage_app.command("statement")
def statement(
    team: Annotated[str, typer.Option(help="Whose.")],
    month: Annotated[str, typer.Option(help="Such as 2026-11.", metavar="YYYY-MM")],
    time_zone: ZoneOption = "UTC",
    form: Annotated[
        str, typer.Option("--format", help="text, markdown, html, csv or json.", show_default=_BY_PLACE)
    ] = "",
    config: DatabaseOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show what a team used in a month: by model, key, project, tag and day, and what of it is estimated or unpriced.

    For instance:

      trunkline usage statement --team search --month 2026-11

      trunkline usage statement --team search --month 2026-11 --format html > search.html
    """
    from trunkline_standalone.commands.statement import StatementOptions, run_statement

    options = StatementOptions(team=team, month=month, time_zone=time_zone, form=form, config=config, home=home)
    run_plainly(lambda: run_statement(options, environment()))


@usage_app.command("reconcile")
def reconcile(
    invoice: Annotated[Path, typer.Option(help="The provider's usage or cost export, as CSV.", metavar="FILE")],
    provider: Annotated[str, typer.Option(help="Its name under providers: in trunkline.yaml.")],
    columns: Annotated[
        str | None,
        typer.Option(
            help="Which column is what, for files that are none of OpenAI, Anthropic or FOCUS:"
            " date=…,model=…,input=…,output=…,amount=…",
            metavar="NAME=COLUMN,…",
        ),
    ] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(help="A model that has another name there; may be repeated.", metavar="THEIRS=OURS"),
    ] = None,
    tolerance: Annotated[str, typer.Option(help="What may differ, as a share.")] = "1%",
    tolerance_usd: Annotated[float, typer.Option(min=0, help="What may always differ, in dollars.")] = 0.01,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or json.", show_default=_BY_PLACE)] = "",
    config: DatabaseOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Compare the ledger with an invoice, by day and model. Exit code 1 if they differ by more than the tolerance.

    For instance:

      trunkline usage reconcile --invoice cost_2026-11.csv --provider openai

      trunkline usage reconcile --invoice bill.csv --provider vllm --columns date=Day,model=Name,amount=Cost
    """
    from trunkline_standalone.commands.reconcile import ReconcileOptions, run_reconcile

    options = ReconcileOptions(
        invoice=invoice,
        provider=provider,
        columns=columns,
        same=tuple(same or ()),
        tolerance=tolerance,
        tolerance_usd=tolerance_usd,
        form=form,
        config=config,
        home=home,
    )
    run_plainly(lambda: run_reconcile(options, environment()))
