"""`matjax predict`: structures in, values with intervals out, and a flag on what is off-distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="CIF, POSCAR, extxyz, ASE db, json, csv, OUTCAR, vasprun, or folders of them. Without --model the first is the model.",
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model file that `matjax train` wrote, or a named potential (nequix-oam-1-pft).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write all rows to this file, .csv or .json.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    derivatives: Annotated[bool, typer.Option("--derivatives", help="Forces too (and stress): only if trained on them.")] = False,
    format: Annotated[str | None, typer.Option(help="File format, where the names do not say.")] = None,
) -> None:
    """Predict structures with a trained model, and say how far each value can be trusted.

    Each row has the value with a calibrated half-width (split conformal: for crystals like those of the training domains), a
    wider one calibrated on domains that were left out (for crystals of a new domain), the spread of the ensemble, and the
    reason if the crystal is off-distribution. Labels in the files are ignored. Crystals that cannot be read, or that the
    model cannot take, are listed and left out.

    **Examples**

    `matjax predict runs/train/model.safetensors POSCAR`

    `matjax predict runs/train/model.safetensors cifs/ more.extxyz --out predictions.csv`

    `matjax predict runs/mine/model.safetensors frames.extxyz --derivatives --json > forces.json`

    `matjax predict --model nequix-oam-1-pft POSCAR --derivatives`
    """
    from rich.console import Console

    from matjax.cli.predict_run import answer, as_csv, as_json, check_out, load_trusted, read_inputs, show

    check_out(out)
    if model is None:
        if len(files) < 2:
            raise typer.BadParameter("name a model and at least one file: MODEL FILES..., or --model MODEL FILES...")
        model, *files = files
    predictor, trust = load_trusted(model)
    if derivatives:
        predictor.supervision.require("forces")
    given = read_inputs(files, format)
    found = answer(predictor, trust, given, derivatives=derivatives)
    if out is not None:
        out.write_text(as_json(found) if out.suffix == ".json" else as_csv(found), encoding="utf-8")
    if json:
        typer.echo(as_json(found), nl=False)
    else:
        console = Console()
        show(console if console.is_terminal else Console(width=140), found)
    for file, record, reason in found.set_aside:
        typer.echo(f"set aside: {file}{': ' * bool(record)}{record}: {reason}", err=True)
