"""What is fitted: the training rows of every fit of the ladder, and the rows it is tested on."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import jax
import numpy as np
from sklearn.model_selection import KFold

from matjax.config import spec
from matjax.data.domains import domain_labels
from matjax.data.group_folds import GroupFolds
from matjax.data.read import read
from matjax.data.shifts import LeaveOut, PropertyTail
from matjax.data.split import Sizes
from matjax.keys import child, generator
from matjax.stress_test.leave_cluster_out import LeaveClusterOut
from matjax.types import Dataset

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "matbench" / "log_gvrh.json.gz"
LABEL = "log_gvrh"
SIZES = Sizes(validation=0.0, calibration=0.1, test_inside=0.0, target=0.0)
FEWEST_LEFT = 0.1  # share of the crystals that must be left without two domains: periods 4 and 6 together are nearly everything
COLUMNS = ("composition", "chemical_system", "space_group", "prototype", "crystal_system")


@spec
class Family:
    """One rung of the ladder.

    Attributes:
      split: Its name.
      shifts: What is held out.
      pairs: Fit without every pair of its domains too, for errors of models that saw neither.
    """

    split: str
    shifts: tuple[LeaveOut | GroupFolds | PropertyTail | LeaveClusterOut, ...]
    pairs: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """A domain held out: rows [n_row] of the data set.

    Attributes:
      split: Family.
      name: What is held out.
      train: Rows to fit.
      calibration: Rows inside that take no part in the fit.
      test: Rows outside.
      pairs: Whether its family is fitted without pairs of domains.
    """

    split: str
    name: str
    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    pairs: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """One fit.

    Attributes:
      name: Unique, such as `element|Fe` or `element|Fe|O`.
      train: Rows to fit.
      asked: Rows whose predictions are wanted.
    """

    name: str
    train: np.ndarray
    asked: np.ndarray

    @property
    def split(self) -> str:
        """The family it belongs to."""
        return self.name.split("|")[0]


def load_data(first: int | None, seed: int, cache: Path) -> Dataset:
    """The crystals with their domain columns; space groups take a minute and are kept in a file.

    Args:
      first: Only so many crystals, drawn at random; None for all.
      seed: Of that draw and of the random parts.
      cache: Folder of the file.
    """
    data = read(str(DATA), units={LABEL: "log10(GPa)"})
    draw = generator(child(jax.random.key(seed), "log_gvrh"))
    order = draw.permutation(len(data))
    data = data if first is None else data.select(np.sort(order[:first]))
    data = data.with_domains(random=np.array([f"part {i % 5 + 1}" for i in draw.permutation(len(data))]))
    kept = cache / f"space_groups_{len(data)}.npy"
    if not kept.exists():
        np.save(kept, domain_labels(data, "space_group"))
    data = data.with_domains(space_group=np.load(kept))
    return data.with_domains(**{column: domain_labels(data, column) for column in COLUMNS})


def domains(data: Dataset, families: tuple[Family, ...], seed: int) -> list[Domain]:
    """Every domain of every family, cut by the shifts."""
    row, found = {name: i for i, name in enumerate(data.ids)}, []
    rows = lambda part: np.array(sorted(row[name] for name in part.ids), int)
    for family in families:
        for shift in family.shifts:
            for s in dataclasses.replace(shift, sizes=SIZES)(data, jax.random.key(seed)):
                found.append(Domain(family.split, s.domain, rows(s.train), rows(s.calibration), rows(s.test_outside), family.pairs))
    return found


def reference_fits(n: int, folds: int, shares: tuple[float, ...], seed: int) -> list[Fit]:
    """Cross-validation on all crystals, trained on shares of them: the error inside on any crystals, at any size of training."""
    fits = []
    for fold, (train, test) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(np.arange(n))):
        order = generator(child(jax.random.key(seed), "reference", fold)).permutation(train)
        fits += [Fit(f"reference|{share:g}|{fold}", np.sort(order[: round(share * n)]), test) for share in shares]
    return fits


def pair_name(first: Domain, second: Domain) -> str:
    """Name of the fit without two domains, whichever comes first."""
    return "|".join([first.split, *sorted([first.name, second.name])])


def domain_fits(found: list[Domain], n: int, seed: int) -> list[Fit]:
    """A fit without each domain, and without each pair of domains of a family.

    One fit without domains d and e serves two purposes: its errors on e say what an unseen domain costs where d is outside, and
    the other way round. It is trained on nine tenths of what both leave, like the fit without one.
    """
    fits = [Fit(f"{d.split}|{d.name}", d.train, np.concatenate([d.test, d.calibration])) for d in found]
    for d, e in itertools.combinations(found, 2):
        if d.split != e.split or not d.pairs:
            continue
        held = np.zeros(n, bool)
        held[d.test] = held[e.test] = True
        draw = generator(child(jax.random.key(seed), "pair", pair_name(d, e)))
        kept = draw.permutation(np.flatnonzero(~held))
        if len(kept) < FEWEST_LEFT * n:
            continue
        fits.append(Fit(pair_name(d, e), np.sort(kept[: round((1 - SIZES.calibration) * len(kept))]), np.flatnonzero(held)))
    return fits
