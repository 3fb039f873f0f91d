"""`matjax audit`: does the reward of a campaign keep its word?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MARKS = {True: "[green]passed[/]", False: "[bold red]FAILED[/]", None: "[dim]not judged[/]"}


def audit(
    folder: Annotated[Path, typer.Argument(help="Folder of the campaign, as given to `matjax discover --out`.")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Also plant a hole in its last model, and check its learner against enumeration.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every number, and nothing else.")] = False,
) -> None:
    """Is the reward being gamed? Compare what a campaign's reward promised with what the oracle found.

    Changes nothing, and works while the campaign runs and after it was killed. The exit status is 1 if a check failed; what there
    was too little to judge by does not fail.

    - **best of n**: the harder one picks by the reward, the truer must the picks be, and the promise not far above them.
    - **audit picks**: a sequential test on the picks that were made at random. Each breach has halved how far the search may go.
    - **planted hole** (--deep): a pair of elements is made to look better to some members; the reward must not follow while one knows
      better. What all believe only audit picks can catch.
    - **exactness** (--deep): the value learner on the campaign's own reward, where every alloy can be listed.

    **Examples**

    `matjax audit runs/discover`

    `matjax audit runs/discover --deep --json`
    """
    from rich.console import Console
    from rich.table import Table

    from matjax.campaign.audit import audit, deep_audit, to_json
    from matjax.cli.discover_session import read_settings
    from matjax.value import Brake

    settings = read_settings(folder) if deep or (folder / "config.toml").exists() else None
    checks = audit(folder, settings.brake if settings else Brake())
    checks += deep_audit(folder, settings) if deep and settings else []
    if as_json:
        typer.echo(to_json(checks))
    else:
        table = Table("check", "", "what was found", title=f"audit of {folder}", title_justify="left")
        for check in checks:
            table.add_row(check.name, MARKS[check.passed], check.text)
        Console().print(table)
    if any(check.passed is False for check in checks):
        raise typer.Exit(1)
