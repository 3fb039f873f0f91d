"""What `matjax predict` does: files to crystals, crystals to rows of value, interval, spread and flag; rows to text."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from matjax.data import domain_labels, load
from matjax.data.elements import symbol
from matjax.data.embedded import NAMED
from matjax.data.read import read
from matjax.nn import Head
from matjax.nn.layout import too_large
from matjax.report.words import number, percent
from matjax.toml import from_dict
from matjax.training import GraphPredictor
from matjax.training.checkpoint import load_model
from matjax.training.head_labels import heads_of
from matjax.training.pretrained import NAMED as NAMED_POTENTIALS
from matjax.training.pretrained import potential
from matjax.types import Crystal, Dataset, Prediction
from matjax.uncertainty.trust import FittedTrust, Trust

MOST_ROWS = 50
WRITERS = (".csv", ".json")

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Input:
    """Crystals to predict.

    Attributes:
      crystals: From all files, in order.
      rows: File, record, formula and number of atoms of each.
      set_aside: (file, record, reason) of what cannot be predicted.
    """

    crystals: tuple[Crystal, ...]
    rows: tuple[Row, ...]
    set_aside: tuple[tuple[str, str, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """Rows, and what they mean.

    Attributes:
      label: What is predicted.
      unit: Its unit.
      level: Coverage that the intervals aim at; None without intervals.
      guarantee: What the interval promises; None without.
      guarantee_ldo: What the interval for new domains promises; None without.
      rows: One per crystal.
      set_aside: (file, record, reason) of what was not predicted.
    """

    label: str
    unit: str
    level: float | None
    guarantee: str | None
    guarantee_ldo: str | None
    rows: tuple[Row, ...]
    set_aside: tuple[tuple[str, str, str], ...]


def load_trusted(path: str | Path) -> tuple[GraphPredictor, FittedTrust | None]:
    """The ensemble of a model file or of a named potential, and its intervals and flag; None where there are none.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is no model file and no name of a potential, with the name that comes closest.
      ConnectionError: If a named potential cannot be downloaded.
    """
    suffix = Path(path).suffix
    if str(path) in NAMED_POTENTIALS or suffix == ".nqx" or (suffix != ".safetensors" and not Path(path).exists()):
        return _named(path), None
    predictor, evidence, settings, _ = load_model(path)
    trust = from_dict(settings.get("train", {}).get("trust", {}), Trust, "trust")
    return predictor, None if evidence is None else trust.from_evidence(evidence)


def _named(name: str | Path) -> GraphPredictor:
    """A named potential, with a bar while it is downloaded."""
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=None, visible=False)
        return potential(name, report=lambda came, total: bar.update(task, completed=came, total=total or None, visible=True))


def read_inputs(files: Sequence[str], format: str | None = None) -> Input:
    """Crystals of files, folders and embedded sets, without their labels.

    Args:
      files: Paths or names.
      format: File format; None to tell by the names.

    Raises:
      FileNotFoundError: If a path does not exist.
      ValueError: If the only file cannot be used, or nothing in any of them; with several, a bad file is set aside.
    """
    crystals: list[Crystal] = []
    rows: list[Row] = []
    aside: list[tuple[str, str, str]] = []
    for file in files:
        try:
            dataset = load(file) if file in NAMED else read(file, format=format, label=())
        except ValueError as error:
            if len(files) == 1:
                raise
            aside.append((file, "", str(error).removeprefix(f"{file}: ")))
            continue
        crystals += dataset.crystals
        rows += _names(file, dataset)
        aside += [(file, record, reason) for record, reason in dataset.metadata.set_aside]
    if not crystals:
        raise ValueError(f"none of the {len(files)} files can be used; the first: {files[0]}: {aside[0][2]}")
    return Input(tuple(crystals), tuple(rows), tuple(aside))


def answer(predictor: GraphPredictor, trust: FittedTrust | None, given: Input, *, derivatives: bool = False) -> Answer:
    """Predicts and judges; crystals that the model cannot take are set aside.

    Args:
      predictor: The ensemble.
      trust: Intervals and flag, or None.
      given: What to predict.
      derivatives: Forces too, and stress where the model was trained on it.

    Raises:
      ValueError: If derivatives are asked of a model that was not trained on forces, or it can take none of the crystals.
    """
    given = _acceptable(predictor, given)
    wanted = ("forces", "stress") if predictor.supervision.allows("stress") else ("forces",)
    said = predictor(given.crystals, derivatives=wanted if derivatives else ())
    columns: dict[str, Any] = {"mean": said.mean, "std": said.total_std}
    if trust is not None:
        judged = trust(said, given.crystals)
        nothing = [None] * len(said)
        columns |= {"std": judged.std, "half_width": judged.half_width}
        columns["half_width_ldo"] = nothing if judged.half_width_outside is None else judged.half_width_outside
        columns |= {"score": judged.score, "flag": judged.flag, "reason": judged.reason}
    columns |= _heads(said, heads_of(predictor.model))
    columns |= _derivatives(said) if derivatives else {}
    known = {name: column for name, column in columns.items() if column is not None}
    rows = tuple({**row, **{name: _plain(column[i]) for name, column in known.items()}} for i, row in enumerate(given.rows))
    return Answer(
        label=said.label,
        unit=said.unit,
        level=None if trust is None else float(trust.settings.level),
        guarantee=None if trust is None else trust.interval.guarantee,
        guarantee_ldo=None if trust is None or trust.interval_outside is None else trust.interval_outside.guarantee,
        rows=rows,
        set_aside=given.set_aside,
    )


def _acceptable(predictor: GraphPredictor, given: Input) -> Input:
    """The crystals that the model can take, and the others set aside."""
    objections = [_objection(predictor, crystal) for crystal in given.crystals]
    kept = [i for i, objection in enumerate(objections) if not objection]
    aside = [(row["file"], row["record"], objection) for row, objection in zip(given.rows, objections, strict=True) if objection]
    if not kept:
        file, record, objection = aside[0]
        raise ValueError(f"the model can take none of the {len(aside)} crystals; the first: {file}: {record}: {objection}")
    return Input(tuple(given.crystals[i] for i in kept), tuple(given.rows[i] for i in kept), (*given.set_aside, *aside))


def _objection(predictor: GraphPredictor, crystal: Crystal) -> str:
    """Why the model cannot take a crystal; empty if it can."""
    if objection := too_large(predictor.model, len(crystal)):
        return objection
    strange = {int(z) for z in crystal.numbers} - set(predictor.supervision.elements)
    if strange and getattr(predictor.model, "embedding", "") == "table":
        return f"has {', '.join(map(symbol, sorted(strange)))}, which the model was not trained on and cannot represent"
    return ""


def as_json(found: Answer) -> str:
    """Everything, forces and stress included; what is not finite is null."""
    return json.dumps(dataclasses.asdict(found), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_csv(found: Answer) -> str:
    """One line per crystal: names and numbers; arrays (forces, stress) are left to JSON."""
    names = [name for name, value in found.rows[0].items() if not isinstance(value, list)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "label", "unit"])
    writer.writerows([*(row[name] for name in names), found.label, found.unit] for row in found.rows)
    return text.getvalue()


def check_out(path: Path | None) -> None:
    """Refuses, before any work, a file that cannot be written.

    Raises:
      ValueError: If its name ends neither in .csv nor in .json, or its folder does not exist.
    """
    if path is not None and path.suffix not in WRITERS:
        raise ValueError(f"{path}: predictions are written as {' or '.join(WRITERS)}; name the file accordingly")
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")


def show(console: Console, found: Answer) -> None:
    """A table of the first rows, what the intervals mean, and how many crystals are flagged."""
    console.print(f"{found.label} ({found.unit})", markup=False, highlight=False)
    table = Table()
    several = len({row["file"] for row in found.rows}) > 1
    heads = [*(["file"] if several else []), "record", "formula", "value", "new domain", "spread"]
    heads += [*(["largest force", "its spread"] if "max_force" in found.rows[0] else []), "off-distribution"]
    for head in heads:
        table.add_column(head, overflow="fold", justify="left" if head in ("file", "record", "formula", "off-distribution") else "right")
    for row in found.rows[:MOST_ROWS]:
        table.add_row(*map(escape, [*([Path(row["file"]).name] if several else []), *_cells(row, found)]))
    console.print(table)
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(row: Row, found: Answer) -> list[str]:
    width = lambda value: "∞" if value is None else f"± {number(value)}"
    half = row.get("half_width") or row["std"]
    value = f"{row['mean']:.{len(number(half).partition('.')[2])}f}" + (f" {width(row['half_width'])}" if found.level else "")
    outside = width(row["half_width_ldo"]) if found.guarantee_ldo else "—"
    forces = [f"{number(row['max_force'])} eV/Å", number(row["max_force_std"])] if "max_force" in row else []
    return [row["record"], row["formula"], value, outside, number(row["std"]), *forces, row.get("reason", "")]


def _lines(found: Answer) -> list[str]:
    more = len(found.rows) - MOST_ROWS
    lines = [f"... {more:,} more; --out FILE.csv writes all"] if more > 0 else []
    if found.level is None:
        return [*lines, "the model file keeps no calibration: values come without intervals, and nothing is flagged"]
    lines.append(f"±: {found.guarantee}")
    if found.guarantee_ldo is not None:
        lines.append(f"new domain ±: {found.guarantee_ldo}")
    flagged = sum(row["flag"] for row in found.rows)
    advice = "; ± does not hold for these: compute or measure them before they are ranked" * bool(flagged)
    return [*lines, f"{flagged:,} of {len(found.rows):,} ({percent(flagged / len(found.rows))}) are off-distribution{advice}"]


def _names(file: str, dataset: Dataset) -> list[Row]:
    formulas = domain_labels(dataset, "composition")
    return [
        {"file": file, "record": record, "formula": str(formula), "n_atom": len(crystal)}
        for record, formula, crystal in zip(dataset.ids, formulas, dataset.crystals, strict=True)
    ]


def _heads(said: Prediction, heads: Sequence[Head]) -> dict[str, Any]:
    """{head_NAME: means over the members}, per crystal; what a head says per atom is cut up by crystal."""
    ends = np.cumsum(said.n_atom)[:-1] if said.n_atom is not None else []
    mean = {head: said.heads[head.name].mean(0) for head in heads if head.name in said.heads}
    return {f"head_{head.name}": x if head.per == "crystal" else np.split(x, ends) for head, x in mean.items()}


def _derivatives(said: Prediction) -> dict[str, Any]:
    """Per crystal: forces [n_atom, 3] and stress as means over the members; the largest force and the members' spread there."""
    if said.forces is None or said.n_atom is None:
        raise ValueError("the model gave no forces")
    ends = np.cumsum(said.n_atom)[:-1]
    forces = np.split(said.forces.mean(0), ends)
    spread = said.forces.std(0, ddof=1) if len(said.forces) > 1 else np.zeros_like(said.forces[0])
    sizes = [np.linalg.norm(f, axis=1) for f in forces]
    spreads = [np.linalg.norm(s, axis=1) for s in np.split(spread, ends)]
    largest = [int(size.argmax()) for size in sizes]
    return {
        "max_force": np.array([size[i] for size, i in zip(sizes, largest, strict=True)]),
        "max_force_std": np.array([size[i] for size, i in zip(spreads, largest, strict=True)]),
        "forces": forces,
        "stress": None if said.stress is None else said.stress.mean(0),
    }


def _plain(value: Any) -> Any:
    """A value that JSON holds; None for a number that is not finite."""
    if isinstance(value, np.ndarray) and value.ndim:
        return value.tolist()
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
