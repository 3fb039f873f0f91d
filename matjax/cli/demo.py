"""`matjax demo`: both jobs on what ships, no network, no GPU."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

ACTS = ("stress-test", "discover")


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Randomness of splits, fits and the campaign.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="The same shape in under five minutes.")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Every domain, all crystals, three seeds in the stress test: a day or two on two cores; resumable."),
    ] = False,
    only: Annotated[str | None, typer.Option(help="One act alone: stress-test or discover.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what is in the run folder first.")] = False,
    workers: Annotated[int | None, typer.Option(help="Rows of the stress test at the same time; by default one per core.")] = None,
) -> None:
    """Two acts, one report: how far a model can be trusted, and high-entropy alloys found with one.

    Act one trains an equivariant ensemble on 3,938 DFT crystals inside some domains and tests it outside: a random split as
    control, nitrides out, cubic crystals out, fluorine out; empirical risk beside two robust risks and a composition baseline.
    Act two discovers alloys of four and five metals in an embedded model system, with random and genetic search beside it.
    Open `report.html` at the end.
    """
    if quick and full:
        raise ValueError("--quick and --full are both given; choose one")
    if only not in (None, *ACTS):
        raise ValueError(f"--only {only}: there is no such act; choose {' or '.join(ACTS)}")
    start = time.perf_counter()
    size = "quick" if quick else "full" if full else "default"
    out = out.with_name(f"{out.name}-{size}") if size != "default" and out == Path("runs/demo") else out
    if only is None:
        flags = [flag for flag, is_on in (("--quick", quick), ("--full", full), ("--fresh", fresh)) if is_on]
        flags += [] if workers is None else ["--workers", str(workers)]
        raise typer.Exit(_both(["--out", str(out), "--seed", str(seed), *flags], start))
    if only == "discover":
        _discover(size, out, seed, fresh)
        raise typer.Exit(0)
    raise typer.Exit(0 if _stress_test(size, out, seed, fresh, workers) else 1)


def _both(arguments: list[str], start: float) -> int:
    """One act after the other, each in a process of its own, so that the second need not carry the memory of the first.

    Returns:
      Exit code: 1 if rows of the first act are unfinished; another act's own code if it failed or was interrupted.
    """
    codes = []
    for act in ACTS:
        codes.append(play(["--only", act, *arguments]))
        if codes[-1] not in (0, 1):
            return codes[-1]
    _say_total(time.perf_counter() - start)
    return max(codes)


def play(arguments: list[str]) -> int:
    """`matjax demo` with these arguments in a process of its own; returns its exit code."""
    child = subprocess.Popen([sys.executable, "-m", "matjax.cli.main", "demo", *arguments])
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal told the child too; it says what it has kept
            continue


def _stress_test(size: str, out: Path, seed: int, fresh: bool, workers: int | None) -> bool:
    """Act one; returns whether every row was finished."""
    from matjax.cli.presets import budget, preset
    from matjax.cli.session import run_stress_test
    from matjax.data import load
    from matjax.override import override

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
    return not report.missing


def _discover(size: str, out: Path, seed: int, fresh: bool) -> None:
    """Act two, in the folder `discovery`; where act one is there, the report tells both."""
    from matjax.cli.discover_presets import leaves_out, resolve
    from matjax.cli.discover_session import run_discovery

    settings = resolve(None, None, size == "quick", None, seed, [])
    page = out if (out / "stress_test.json").exists() else None
    command = shlex.join(["matjax", *sys.argv[1:]])
    run_discovery(settings, out / "discovery", command=command, note=leaves_out(settings, size == "quick"), fresh=fresh, page=page)


def _say_total(seconds: float) -> None:
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
    typer.echo(f"both acts: {seconds:.0f} s, peak memory {largest:.2f} GiB")
