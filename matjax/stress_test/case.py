"""What all methods share on one split: is it a shift at all, and what does composition alone say?"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from matjax.data.domains import domain_labels
from matjax.keys import child, generator
from matjax.stress_test import metrics
from matjax.stress_test.baselines import Baseline
from matjax.stress_test.certificate import Certificate, certify
from matjax.training.supervision import target_per_atom
from matjax.types import Split

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the training crystals, for baselines of varying strength."""


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Certificate and baselines of a split.

    Attributes:
      certificate: How far the outside crystals are, measured before any training.
      baseline_inside: Predictions of the baseline on test_inside [n].
      baseline_outside: On test_outside [n].
      second_in: Mean absolute error of the second baseline on test_inside.
      second_out: On test_outside.
      ladder: Mean absolute errors (inside, outside) of both baselines on shares of the training crystals [n, 2]: how
        models of varying strength do on this split.
      same_composition: Share of outside crystals whose reduced formula a training crystal has.
      duplicates: (outside id, id of the same structure among the crystals that the learner saw), where there are any.
      label: Label that is predicted.
    """

    certificate: Certificate
    baseline_inside: np.ndarray
    baseline_outside: np.ndarray
    second_in: float
    second_out: float
    ladder: np.ndarray
    same_composition: float
    duplicates: tuple[tuple[str, str], ...]
    label: str


def make_case(split: Split, label: str, baseline: Baseline, second: Baseline, key: jax.Array) -> Case:
    """Measures a split and fits both baselines on its training crystals, and on shares of them."""
    crystals, target = split.train.crystals, target_per_atom(split.train, label)
    tests = (split.test_inside, split.test_outside)
    truth = [target_per_atom(test, label) for test in tests]
    certificate = certify(crystals, split.test_outside.crystals, train_target=target, test_target=truth[1], key=child(key, "certificate"))
    order, said, ladder = generator(child(key, "ladder")).permutation(len(crystals)), {}, []
    for name, model in (("baseline", baseline), ("second baseline", second)):
        for share in SHARES:
            rows = order[: max(2, round(share * len(order)))] if share < 1 else np.arange(len(order))
            predict = model.fit([crystals[i] for i in rows], target[rows], child(key, name))
            said[name] = [predict(test.crystals) for test in tests]  # the whole set comes last and stays
            ladder.append([metrics.mae(mean - y) for mean, y in zip(said[name], truth, strict=True)])
    first, (second_in, second_out) = said["baseline"], ladder[-1]
    return Case(certificate, first[0], first[1], second_in, second_out, np.array(ladder), same_composition(split), duplicates(split), label)


def same_composition(split: Split) -> float:
    """Share of outside crystals with the reduced formula of a training crystal: new by name, not by what they are made of."""
    train, test = (domain_labels(part, "composition") for part in (split.train, split.test_outside))
    return float(np.isin(test, train).mean())


def duplicates(split: Split) -> tuple[tuple[str, str], ...]:
    """(outside id, id of its twin) of outside crystals that are, atom by atom, crystals that the learner saw."""
    seen = {
        c.key: name for part in (split.train, split.validation, split.calibration) for c, name in zip(part.crystals, part.ids, strict=True)
    }
    tests = zip(split.test_outside.crystals, split.test_outside.ids, strict=True)
    return tuple((name, seen[c.key]) for c, name in tests if c.key in seen)
