"""`matjax report`: the page of a run, made again from what the run wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path, typer.Argument(help="Folder of a stress test, a discovery, or both: stress_test.json, discovery.json, trace.jsonl.")
    ],
    out: Annotated[Path | None, typer.Option(help="Where to write the page; by default report.html in the run folder.")] = None,
) -> None:
    """Make `report.html` and the SVG figures of a finished or interrupted stress test or discovery.

    A folder of `matjax demo` holds both, and they become two acts of one page.

    Example: `matjax report runs/demo`
    """
    from matjax.report import write_report

    typer.echo(f"report: {write_report(run, out)}")
