"""`matjax demo`: the main job on what ships, no network, no GPU."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Randomness of splits and fits.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="The same shape in under three minutes.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Every domain, all crystals, three seeds: a day or two on two cores; resumable.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is in the run folder first.")] = False,
    workers: Annotated[int | None, typer.Option(help="Rows at the same time; by default one per core.")] = None,
) -> None:
    """Stress-test an equivariant ensemble on 3,938 DFT crystals, and write a report.

    Trains inside some domains and tests outside: a random split as control, nitrides out, cubic crystals out, fluorine
    out; empirical risk beside two robust risks and a composition baseline. Open `report.html` at the end.
    """
    from matjax.cli.presets import budget, preset
    from matjax.cli.session import run_stress_test
    from matjax.data import load
    from matjax.override import override

    if quick and full:
        raise ValueError("--quick and --full are both given; choose one")
    size = "quick" if quick else "full" if full else "default"
    out = out.with_name(f"{out.name}-{size}") if size != "default" and out == Path("runs/demo") else out
    dataset = load("flla")
    settings = override(preset(size, "flla", len(dataset)), [f"seed={seed}"])
    report = run_stress_test(
        settings,
        dataset,
        out,
        title="How far can it be trusted? An equivariant ensemble on 3,938 DFT crystals",
        command=shlex.join(["matjax", *sys.argv[1:]]),
        budget=budget(size, settings),
        fresh=fresh,
        workers=workers,
    )
    raise typer.Exit(1 if report.missing else 0)
