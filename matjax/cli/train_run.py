"""What `matjax train` does: data to parts, parts to an ensemble and its trust, both to one model file. Resumable."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.config import spec
from matjax.data import Random, Sizes, load
from matjax.data.elements import symbol
from matjax.data.embedded import NAMED
from matjax.data.suggest import suggest_domain
from matjax.keys import child
from matjax.stress_test.baselines import CompositionTrees
from matjax.stress_test.config import refuse_conditions
from matjax.toml import to_dict
from matjax.training import GraphLearner, GraphPredictor
from matjax.training.checkpoint import save_model
from matjax.training.epoch import Saving
from matjax.training.head_labels import heads_of
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Dataset, Split, Visible
from matjax.uncertainty import Flag, SplitConformal
from matjax.uncertainty.cross_fit import FEWEST, CrossFit, cross_fit, deal, memberships
from matjax.uncertainty.trust import FittedTrust, Trust

QUICK = ("max_train=300", "learner.n_epoch=6", "leave_out=none")
ENSEMBLE, LEAVE_DOMAIN_OUT = "ensemble", "leave-domain-out"
MOST_GROUPS = 100  # a column with more is an identifier

Epoch = Callable[[dict[str, Any]], None]


@spec
class TrainConfig:
    """Everything `matjax train` depends on: what is in `config.toml` of a run.

    Attributes:
      data: Name of an embedded set, or a path.
      label: Label to learn; empty for the energy, a formation energy or the only scalar.
      format: File format; empty to tell by the name.
      targets: CSV with the targets of a folder of structures; empty for the only one in it.
      units: Units of labels in the file where they are not the house's, such as "energy=Ha".
      seed: Randomness of parts and fits.
      max_train: At most so many training crystals; "none" for all.
      validation: Crystals that choose the epoch: a share, or a number from 1 on.
      calibration: Crystals that intervals and flag are calibrated on: a share, or a number from 1 on.
      test: Crystals for the error that is printed: a share, or a number from 1 on.
      leave_out: Domain column of the second fit, whose members leave domains out and so calibrate intervals for new ones:
        "auto" for the first column that tells domains apart, "elements" for one element at a time, "none" for no second fit.
      learner: What is trained.
      trust: Intervals, shift score, flag.
    """

    data: str = "flla"
    label: str = ""
    format: str = ""
    targets: str = ""
    units: tuple[str, ...] = ()
    seed: int = 0
    max_train: int | None = None
    validation: float = 0.1
    calibration: float = 0.1
    test: float = 0.1
    leave_out: str = "auto"
    learner: GraphLearner = dataclasses.field(default_factory=GraphLearner)
    trust: Trust = dataclasses.field(default_factory=Trust)

    def __post_init__(self) -> None:
        """Refuses what cannot be trained."""
        for name, value in (("learner.n_epoch", self.learner.n_epoch), ("learner.members", self.learner.members)):
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.learner.use_target:
            raise ValueError("learner.use_target needs unlabelled crystals of a new domain, which training a model does not have")
        refuse_conditions(self.learner)

    def load(self) -> tuple[Dataset, str]:
        """The crystals that have the label, and its name.

        Raises:
          ValueError: If the data cannot be read, or none has the label.
        """
        label = self.label or self.learner.label
        named = self.data in NAMED  # its labels are known
        heads = tuple(head.name for head in heads_of(self.learner.model))
        dataset = load(
            self.data,
            format=self.format or None,
            label=None if named or not label else (label, *heads),
            units=_units(self.units) or None,
            targets=self.targets or None,
        )
        label = label or label_to_learn(dataset, self.learner)
        known = np.isfinite(target_per_atom(dataset, label))
        if not known.any():
            raise ValueError(f"{self.data}: none of the {len(dataset)} crystals has the label {label!r}")
        return (dataset if known.all() else dataset.select(known)), label

    def split(self, dataset: Dataset) -> Split:
        """Training, validation and calibration crystals; the test is `test_outside` of a random split, where nothing shifts.

        Raises:
          ValueError: If a part is too small, or has elements that the network cannot represent.
        """
        share = self.test if self.test < 1 else self.test / len(dataset)
        sizes = Sizes(self.max_train, self.validation, self.calibration, test_inside=0.0, target=0.0)
        split = next(Random(share, sizes)(dataset, child(self.key, "split")))
        try:
            SplitConformal(self.trust.level).fit(np.ones(len(split.calibration)))
            Flag(self.trust.share).fit(np.ones(len(split.calibration)))
        except ValueError as error:
            raise ValueError(f"{error}; raise `calibration` (now {self.calibration:g}) or give more data") from error
        _check_elements(self.learner, split)
        return split

    @property
    def key(self) -> jax.Array:
        """The key of the run."""
        return jax.random.key(self.seed)

    def column(self, train: Dataset) -> str | None:
        """The domain column of the second fit; None for no second fit.

        Raises:
          ValueError: If the column that was asked for does not exist, or does not tell two large enough domains apart.
        """
        if self.leave_out == "none":
            return None
        if self.leave_out != "auto":
            try:
                deal(memberships(train, self.leave_out), self.learner.members, self.key)
            except ValueError as error:
                raise ValueError(f"leave_out={self.leave_out}: {error} (leave_out=none does without the second fit)") from error
            return self.leave_out
        columns = (self.learner.domain or suggest_domain(train), *train.domains, "chemical_system", "n_elements", "elements")
        return next((column for column in columns if _tells_apart(train, column)), None)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """What came out.

    Attributes:
      predictor: The ensemble.
      trust: Intervals, shift score, flag.
      measured: Sizes, errors and coverages as plain numbers; what the model file keeps of them.
      path: The model file.
    """

    predictor: GraphPredictor
    trust: FittedTrust
    measured: dict[str, Any]
    path: Path


@dataclasses.dataclass(frozen=True, eq=False)
class Resumable:
    """A learner that keeps the state of its fit in a folder, and goes on from there."""

    learner: GraphLearner
    run_dir: Path
    saving: Saving = dataclasses.field(default_factory=Saving)

    @property
    def members(self) -> int:
        """Ensemble members."""
        return self.learner.members

    def fit(self, visible: Visible, key: jax.Array, *, held_from: np.ndarray | None = None, report: Any = None) -> GraphPredictor:
        """The learner's fit."""
        return self.learner.fit(visible, key, held_from=held_from, run_dir=self.run_dir, report=report, saving=self.saving)


class History:
    """`history.jsonl`: a line per epoch and fit, written anew after each; an epoch that is repeated is not there twice."""

    def __init__(self, path: Path, tell: Epoch | None) -> None:
        """Goes on with the lines that are there."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.path, self.tell = path, tell
        self.rows = {(row["fit"], row["epoch"]): row for row in map(json.loads, lines)}

    def of(self, fit: str, unit: str) -> Epoch:
        """What a fit reports its epochs to; the validation error is turned from the model's scale into the unit."""

        def report(record: dict[str, Any]) -> None:
            known = {"epoch": record["epoch"], "risk": record["risk"], "validation": record["validation"] * record["scale"]}
            row = {"fit": fit, **known, "unit": unit, "seconds": record["seconds"]}
            self.rows[fit, record["epoch"]] = row
            partial = self.path.with_suffix(".partial")
            partial.write_text("".join(json.dumps(row) + "\n" for row in self.rows.values()), encoding="utf-8")
            os.replace(partial, self.path)
            if self.tell is not None:
                shown = ("n_epoch", "last", "crystals_per_second", "skipped", "culprit")
                self.tell({**row, **{name: record[name] for name in shown}})

        return report


def train_model(
    config: TrainConfig, dataset: Dataset, label: str, out: Path, tell: Epoch | None = None, saving: Saving | None = None
) -> Trained:
    """Trains an ensemble and its trust, measures both, and writes `model.safetensors`.

    A run that was interrupted goes on where it last saved its state, to the same model.

    Args:
      config: Settings.
      dataset: Crystals that have the label.
      label: Its name.
      out: Folder of the run; it holds the state of both fits and `history.jsonl`.
      tell: Called with a record per epoch of either fit.
      saving: How often to save within an epoch.

    Raises:
      ValueError: If the data do not suffice for a part.
      FloatingPointError: If losses are not finite.
    """
    split, key = config.split(dataset), config.key
    visible, learner = split.visible(), dataclasses.replace(config.learner, label=label)
    history = History(out / "history.jsonl", tell)
    unit, saving = validation_unit(dataset, label), saving or Saving()
    predictor = Resumable(learner, out / ENSEMBLE, saving).fit(visible, child(key, "fit"), report=history.of(ENSEMBLE, unit))
    cross, column = None, config.column(split.train)
    if column is not None:
        cross = _cross_fit(
            config, Resumable(learner, out / LEAVE_DOMAIN_OUT, saving), visible, column, label, history.of(LEAVE_DOMAIN_OUT, unit)
        )
    calibration = predictor(split.calibration.crystals)
    error = calibration.mean - target_per_atom(split.calibration, label)
    trust = config.trust.fit(predictor(split.train.crystals), calibration, error, split.train, cross)
    measured = {**_measured(predictor, trust, split, label, child(key, "baseline")), "leave_out": column}
    path = out / "model.safetensors"
    save_model(path, predictor, trust.evidence, {"train": to_dict(config), "measured": measured})
    return Trained(predictor, trust, measured, path)


def label_to_learn(dataset: Dataset, learner: GraphLearner) -> str:
    """The label to learn where none is named: none of the labels of heads.

    Raises:
      ValueError: If the choice is not clear, or the data have labels of heads alone.
    """
    label = default_label(dataset, tuple(head.name for head in heads_of(learner.model)))
    if not label:
        raise ValueError("the data label heads alone; a model of heads alone is trained in Python: GraphLearner.fit")
    return label


def validation_unit(dataset: Dataset, label: str) -> str:
    """Unit of the validation error: with forces it is the sum of two errors."""
    unit = "eV/atom" if label == "energy" else dataset.metadata.units.get(label, "")
    return f"{unit} + eV/Å" if label == "energy" and "forces" in dataset.labels else unit


def _cross_fit(config: TrainConfig, learner: Resumable, visible: Visible, column: str, label: str, report: Epoch) -> CrossFit:
    key = child(config.key, "cross")
    return cross_fit(learner, visible, column=column, label=label, key=key, novelty=config.trust.novelty, report=report)


def _measured(predictor: GraphPredictor, trust: FittedTrust, split: Split, label: str, key: jax.Array) -> dict[str, Any]:
    """Errors of the model and of the composition baseline, coverage and width of intervals, share of flags."""
    baseline = CompositionTrees().fit(split.train.crystals, target_per_atom(split.train, label), key)
    measured: dict[str, Any] = {"unit": predictor.supervision.unit, "level": float(trust.settings.level), "n_train": len(split.train)}
    for name, part in (("validation", split.validation), ("calibration", split.calibration), ("test", split.test_outside)):
        target = target_per_atom(part, label)
        error, plain = predictor(part.crystals).mean - target, baseline(part.crystals) - target
        measured |= {f"n_{name}": len(part), f"mae_{name}": _mae(error), f"rmse_{name}": float(np.sqrt((error**2).mean()))}
        measured[f"baseline_mae_{name}"] = _mae(plain)
    test = split.test_outside
    said = predictor(test.crystals, derivatives=("forces",) if predictor.supervision.allows("forces") else ())
    judged, size = trust(said, test.crystals), np.abs(said.mean - target_per_atom(test, label))
    measured |= {"coverage": float((size <= judged.half_width).mean()), "half_width": _median(judged.half_width)}
    measured |= {"guarantee": trust.interval.guarantee, "flagged": float(judged.flag.mean())}
    if judged.half_width_outside is not None and trust.interval_outside is not None:
        measured |= {
            "coverage_ldo": float((size <= judged.half_width_outside).mean()),
            "half_width_ldo": _median(judged.half_width_outside),
        }
        measured["guarantee_ldo"] = trust.interval_outside.guarantee
    return measured | (_force_errors(said.forces.mean(0), test) if said.forces is not None else {})


def _force_errors(forces: np.ndarray, test: Dataset) -> dict[str, float]:
    """Mean absolute error of force components beside their mean size; nothing where no test crystal has forces."""
    labels = np.concatenate(test.labels["forces"])
    known = np.isfinite(labels).all(1)
    return {"mae_forces": _mae((forces - labels)[known]), "size_forces": _mae(labels[known])} if known.any() else {}


def _mae(error: np.ndarray) -> float:
    return float(np.abs(error).mean())


def _median(half_width: np.ndarray) -> float | None:
    value = float(np.median(half_width))
    return value if np.isfinite(value) else None


def _check_elements(learner: GraphLearner, split: Split) -> None:
    """Refuses, before the fit, parts with elements that a table of elements does not learn from the training crystals."""
    if getattr(learner.model, "embedding", "") != "table":
        return
    known = {int(z) for crystal in split.train.crystals for z in crystal.numbers}
    for name, part in (("validation", split.validation), ("calibration", split.calibration), ("test", split.test_outside)):
        strange = [{int(z) for z in crystal.numbers} - known for crystal in part.crystals]
        ids = [record for record, found in zip(part.ids, strange, strict=True) if found]
        if ids:
            symbols = ", ".join(map(symbol, sorted(set.union(*strange))))
            first = ", ".join(ids[:5]) + f" and {len(ids) - 5:,} more" * (len(ids) > 5)
            raise ValueError(
                f"{name} crystals {first} have {symbols}, which no training crystal has and learner.model.embedding='table' cannot "
                "represent: use embedding='network', leave them out, or try another seed"
            )


def _tells_apart(dataset: Dataset, column: str) -> bool:
    """Whether a column has two domains that can be left out: neither tiny nor most of the crystals."""
    sizes = [int(inside.sum()) for inside in memberships(dataset, column).values()]
    return len(sizes) <= MOST_GROUPS and sum(FEWEST <= size <= len(dataset) / 2 for size in sizes) >= 2


def _units(texts: tuple[str, ...]) -> dict[str, str]:
    """{label: unit} of texts such as `energy=Ha`."""
    pairs = [text.partition("=") for text in texts]
    for text, (label, _, unit) in zip(texts, pairs, strict=True):
        if not label or not unit:
            raise ValueError(f"units {text!r} are not of the form label=unit, such as energy=Ha")
    return {label.strip(): unit.strip() for label, _, unit in pairs}
