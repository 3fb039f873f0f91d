"""`matjax report`: the page of a run, made again from what the run wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a stress test: stress_test.json, run.json, predictions/.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page; by default report.html in the run folder.")] = None,
) -> None:
    """Make `report.html` and the SVG figures of a finished or interrupted stress test.

    Example: `matjax report runs/demo`
    """
    from matjax.report import write_report

    typer.echo(f"report: {write_report(run, out)}")
