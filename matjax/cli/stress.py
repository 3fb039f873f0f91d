"""`matjax stress-test`: train inside some domains of your data, test outside, and see what was lost."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def stress_test(
    config: Annotated[Path | None, typer.Argument(help="Settings as TOML; `--print-config` shows them all.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Embedded set or a file: extxyz, ASE db, CIF/POSCAR folder, OUTCAR, vasprun, Matbench json.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label to learn; by default the energy, a formation energy or the only one.")] = None,
    format: Annotated[str | None, typer.Option(help="File format, where the name does not say.")] = None,
    targets: Annotated[Path | None, typer.Option(help="CSV with the targets of a folder of structures.")] = None,
    units: Annotated[list[str] | None, typer.Option(help="Unit of a label in the file, such as energy=Ha; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on.")] = Path("runs/stress-test"),
    seed: Annotated[int | None, typer.Option(help="Randomness of splits and fits.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few crystals, few epochs: the same shape in minutes.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="All training crystals, every domain, three seeds: a day or two on two cores; resumable.")
    ] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override one setting, such as learner.n_epoch=20.")] = None,
    workers: Annotated[int | None, typer.Option(help="Rows at the same time; by default one per core.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is in the run folder first.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Run nothing: make report.html and its figures again from what the run folder holds.")
    ] = False,
    open_lockbox: Annotated[
        str, typer.Option(metavar="REASON", help="Test sealed domains too; date and reason are written into the lockbox.")
    ] = "",
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the effective settings as TOML and stop.")] = False,
) -> None:
    """Train inside some domains, test outside, and report what was lost.

    With no shift named, sensible ones are picked from what the data have, and said.

    Examples:
    `matjax stress-test` stress-tests the embedded Materials Project set.

    `matjax stress-test --data frames.extxyz --quick --out runs/mine`

    `matjax stress-test --set 'shifts=[{kind="leave_out", column="anion", only="oxide"}]' --set learner.n_epoch=20`

    `matjax stress-test --print-config > mine.toml; matjax stress-test mine.toml`

    `matjax stress-test --out runs/mine --report` makes the page of a run again.
    """
    if report:
        from matjax.report import write_report

        typer.echo(f"report: {write_report(out)}")
        return
    from matjax.cli.doctor import parse_units
    from matjax.cli.presets import budget, preset
    from matjax.cli.session import run_stress_test
    from matjax.data import load
    from matjax.data.embedded import NAMED
    from matjax.override import override
    from matjax.stress_test import StressTestConfig
    from matjax.toml import from_toml, to_toml

    if quick and full:
        raise ValueError("--quick and --full are both given; choose one")
    size = "quick" if quick else "full" if full else "default"
    if config is not None and (quick or full):
        raise ValueError(f"{config} has its own sizes; --quick and --full choose sizes where no settings file is given")
    named = from_toml(config, StressTestConfig) if config is not None else None
    source = data or (named.data if named else "flla")
    asked = label or (named.label if named else None) or None
    given = None if source in NAMED else asked  # the labels of an embedded set are known
    dataset = load(source, format=format, label=given, units=parse_units(units) or None, targets=targets)
    changes = {"data": source, "label": label, "seed": seed}
    settings = named or preset(size, source, len(dataset), forces="forces" in dataset.labels)
    settings = override(settings, [f"{k}={v}" for k, v in changes.items() if v is not None] + (set_ or []))
    if settings.data != source:
        raise ValueError(f"--set data={settings.data} comes too late, {source} is read already; use --data {settings.data}")
    if print_config:
        typer.echo(to_toml(settings))
        return
    finished = run_stress_test(
        settings,
        dataset,
        out,
        title=f"Stress test of {dataset.metadata.name}",
        command=shlex.join(["matjax", *sys.argv[1:]]),
        budget="Sizes as the settings say." if named else budget(size, settings),
        fresh=fresh,
        workers=workers,
        open_lockbox=open_lockbox,
    )
    raise typer.Exit(1 if finished.missing else 0)
