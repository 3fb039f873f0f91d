"""Selection shift: what is picked is the top of the model's own ranking, and there its errors favour what it overrates."""

import dataclasses

import jax
import numpy as np
import pytest

from matjax.data import Sizes
from matjax.stress_test import CompositionForest, CompositionRidge, SelectionShift
from matjax.types import Dataset, Split

LABEL = "formation_energy_per_atom"
ALL = Sizes(validation=0.0, calibration=0.0, target=0.0)


def split_of(flla: Dataset, side: str, seed: int = 0) -> Split:
    return next(SelectionShift(LABEL, side=side, selector=CompositionRidge(), sizes=ALL)(flla, jax.random.key(seed)))


@pytest.mark.parametrize(("side", "sign"), [("low", 1), ("high", -1)])
def test_the_optimisers_curse_shows(flla: Dataset, side: str, sign: int) -> None:
    """Labels of pure noise: picked by prediction, they are as any others, so that predictions of the picks are all bias."""
    some = flla.select(np.arange(800))
    noise = dataclasses.replace(some, labels={LABEL: np.random.default_rng(0).normal(size=800)})
    split = next(SelectionShift(LABEL, side=side, selector=CompositionForest(n_tree=20), sizes=ALL)(noise, jax.random.key(0)))
    known, target = [*split.train.crystals, *split.test_inside.crystals], np.r_[split.train.labels[LABEL], split.test_inside.labels[LABEL]]
    bias = float(
        (
            split.test_outside.labels[LABEL]
            - CompositionForest(n_tree=20).fit(known, target, jax.random.key(1))(split.test_outside.crystals)
        ).mean()
    )
    assert abs(split.test_outside.labels[LABEL].mean()) < 0.4 < sign * bias


def test_picks_are_a_tenth_of_the_pool_and_disjoint_from_what_is_known(flla: Dataset) -> None:
    split = split_of(flla, "low")
    assert len(split.test_outside) == round(0.1 * round(0.5 * len(flla)))
    assert len(split.train) + len(split.test_inside) == len(flla) - round(0.5 * len(flla))
    assert not {*split.train.ids, *split.test_inside.ids} & set(split.test_outside.ids)
    assert set(split.test_outside.ids) == set(split_of(flla, "low").test_outside.ids) != set(split_of(flla, "low", 1).test_outside.ids)
    assert split.test_outside.labels[LABEL].mean() < split.train.labels[LABEL].mean() - 0.5


def test_what_cannot_be_picked_is_refused(flla: Dataset) -> None:
    with pytest.raises(ValueError, match="no label 'volume'"):
        next(SelectionShift("volume")(flla, jax.random.key(0)))
    with pytest.raises(ValueError, match="allowed: high, low"):
        SelectionShift(LABEL, side="top")
    with pytest.raises(ValueError, match="pool=1"):
        SelectionShift(LABEL, pool=1.0)
