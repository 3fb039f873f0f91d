"""`matjax train`: crystals with a label in, a model file out that says how far it can be trusted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matjax.cli.train_run import TrainConfig
    from matjax.training.epoch import Saving


def train(
    config: Annotated[Path | None, typer.Argument(help="Settings as TOML; `--print-config` shows them all.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Embedded set or a path: extxyz, ASE db, CIF/POSCAR folder, OUTCAR, vasprun, json, csv.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label to learn; by default the energy, a formation energy or the only one.")] = None,
    format: Annotated[str | None, typer.Option(help="File format, where the name does not say.")] = None,
    targets: Annotated[Path | None, typer.Option(help="CSV with the targets of a folder of structures.")] = None,
    units: Annotated[list[str] | None, typer.Option(help="Unit of a label in the file, such as energy=Ha; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on.")] = Path("runs/train"),
    seed: Annotated[int | None, typer.Option(help="Randomness of parts and fits.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="300 crystals, 6 epochs, one fit: for a look, not for a claim.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override one setting, such as learner.n_epoch=20; may be repeated.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run in the folder first.")] = False,
    track: Annotated[list[str] | None, typer.Option(help="Also send records to tensorboard or wandb; may be repeated.")] = None,
    save_minutes: Annotated[float, typer.Option(help="Minutes between saved states within an epoch; 0 for none.")] = 10.0,
    log_steps: Annotated[int, typer.Option(help="Updates between lines in metrics.jsonl; 0 for one per epoch.")] = 0,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Train with the other processes that srun, mpirun or JAX_* variables started.")
    ] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the effective settings as TOML and stop.")] = False,
) -> None:
    """Train an ensemble on your crystals, calibrate its intervals, and write one model file.

    The data are cut at random into training, validation, calibration and test crystals. A second fit, whose members leave
    domains out, calibrates intervals for crystals of domains that nobody has seen (`--set leave_out=none` saves its time).

    The folder holds `model.safetensors` (for `matjax predict`), `config.toml` (all settings), `history.jsonl` (a line per
    epoch), `metrics.jsonl` per fit (losses, gradient norms, validation errors) and the state of the run: after ctrl-C the same
    command goes on where the state was last saved. `learning_curves.svg` shows how it went.

    **Examples**

    `matjax train --quick` trains on the embedded Materials Project crystals.

    `matjax train --data frames.extxyz --out runs/mine` learns energies, and forces where the file has them.

    `matjax train --data cifs/ --targets gaps.csv --label gap --set learner.n_epoch=30 --set learner.members=5`

    `matjax train --data table.json --units energy=Ha --set learner.risk.base=group_dro --set learner.domain=crystal_system`

    `matjax train --print-config > mine.toml; matjax train mine.toml`
    """
    import dataclasses

    from matjax.cli.train_run import QUICK, TrainConfig
    from matjax.override import override
    from matjax.toml import from_toml, to_toml

    settings = from_toml(config, TrainConfig) if config is not None else TrainConfig()
    settings = override(settings, QUICK) if quick else settings
    named = {"data": data, "label": label, "format": format, "seed": seed}
    named |= {"targets": None if targets is None else str(targets), "units": tuple(units) if units else None}
    settings = dataclasses.replace(settings, **{name: value for name, value in named.items() if value is not None})
    settings = override(settings, set_ or [])
    if print_config:
        typer.echo(to_toml(settings))
        return
    from matjax.training.distributed import VARIABLES, folder_of_process, join
    from matjax.training.epoch import Saving

    if distributed and not join():
        raise ValueError(f"--distributed found no other process; start it with srun or mpirun, or set {', '.join(VARIABLES)}")
    with folder_of_process(out) as folder:
        _run(settings, folder, fresh, track or [], Saving(state_minutes=save_minutes, metrics_steps=log_steps))


def _run(settings: TrainConfig, out: Path, fresh: bool, track: list[str], saving: Saving) -> None:
    """Trains, showing the plan first, progress meanwhile and the summary at the end."""
    from rich.console import Console

    from matjax.cli.session import claim_folder
    from matjax.cli.train_run import train_model
    from matjax.cli.train_view import TrainView, plan, show, suspicious
    from matjax.report.learning_curves import write_learning_curves
    from matjax.toml import to_dict, to_toml
    from matjax.training.distributed import is_first
    from matjax.training.outliers import suspects
    from matjax.training.trackers import open_trackers

    console = Console(stderr=True, quiet=not is_first())
    dataset, label = settings.load()
    split = settings.split(dataset)
    claim_folder(out, to_toml(settings), dataset.key, fresh)
    column = settings.column(split.train)
    for line in plan(settings, dataset, label, split, column, out):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in suspicious(suspects(split.train, label)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    view = TrainView(console, 1 + (column is not None), settings.learner.n_epoch)
    try:
        with contextlib.ExitStack() as stack:
            trackers = [
                stack.enter_context(contextlib.closing(t)) for t in open_trackers(track if is_first() else [], out, to_dict(settings))
            ]
            stack.enter_context(view)

            def tell(row: dict[str, Any]) -> None:
                for told in (view, *trackers):
                    told(row)

            trained = train_model(settings, dataset, label, out, tell, saving)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the state is kept in {out}, and the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    if not is_first():
        return
    show(Console(), trained)
    typer.echo(f"learning curves: {write_learning_curves(out)}")
