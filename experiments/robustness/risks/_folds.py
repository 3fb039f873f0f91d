"""What a fit sees when a domain is held out, as rows of a table: outer splits, and the folds of a search inside them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from _tables import Family
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from matjax.keys import child, generator
from matjax.risk import classifier_ratio
from matjax.stress_test.head_search import HeadFold
from matjax.training.head_rows import padded_rows
from matjax.uncertainty.cross_fit import FEWEST

N_COMPONENT = 8
"""Principal components in which a density ratio is estimated."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How many rows a split has."""

    train: int
    test: int
    target: int

    @property
    def shape(self) -> tuple[int, int]:
        """Padded lengths of training and validation rows."""
        return 1 << (self.train + self.target - 1).bit_length(), 1 << (self.train // 10 - 1).bit_length()


class Cut(NamedTuple):
    """Rows of one outer split; all disjoint."""

    train: np.ndarray
    validation: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    target: np.ndarray


def cut(family: Family, domain: str, size: Size, key: jax.Array) -> Cut:
    """Draws the parts of a split: a tenth of the inside rows each for validation and test, half of the outside at most as target."""
    draw, held = generator(child(key, family.shift, domain)), family.held[domain]
    inside, outside = draw.permutation(np.flatnonzero(family.pool & ~held)), draw.permutation(np.flatnonzero(family.pool & held))
    n, n_target = max(10, len(inside) // 10), min(size.target, len(outside) // 2)
    validation, test, train = inside[:n][: size.train // 10], inside[n : 2 * n][: size.test], inside[2 * n :][: size.train]
    return Cut(train, validation, test, outside[n_target:][: size.test], outside[:n_target])


def inner(family: Family, domain: str, outer: Cut, n_fold: int, key: jax.Array) -> list[tuple[str, Cut]]:
    """Training domains left out in turn, drawn where there are more: their rows are the tests, and the target of the fit."""
    large = {}
    for name, held in family.held.items():
        mine = held[outer.train]
        if name != domain and mine.sum() >= FEWEST and mine.mean() <= 0.5:
            large[name] = mine
    chosen = generator(key).permutation(sorted(large))[:n_fold]
    return [
        (str(name), Cut(outer.train[~large[name]], outer.validation[~family.held[name][outer.validation]], *[outer.train[large[name]]] * 3))
        for name in chosen
    ]


def fold(
    cut: Cut, labels: np.ndarray, n_domain: int, size: Size, key: jax.Array, *, use_target: bool = False, weight: np.ndarray | None = None
) -> HeadFold:
    """What a method sees of a split."""
    names, counts = np.unique(labels[cut.train], return_counts=True)
    place = {name: min(rank, n_domain - 2) for rank, name in enumerate(names[np.argsort(-counts, kind="stable")])}
    rows = padded_rows(
        cut.train,
        cut.validation,
        target=cut.target[: size.target] if use_target else np.zeros(0, int),
        domain=np.array([place[name] for name in labels[cut.train]]),
        n_domain=n_domain,
        weight=weight,
        shape=size.shape,
    )
    return HeadFold(rows, {"inside": cut.inside[: size.test], "outside": cut.outside[: size.test]}, key)


def ratio(x: np.ndarray, cut: Cut, size: Size, key: jax.Array) -> tuple[np.ndarray | None, str]:
    """Importance weights of the training rows, or None and why the estimator refuses."""
    train, target = x[cut.train], x[cut.target[: size.target]]
    scaler = StandardScaler().fit(train)
    pca = PCA(min(N_COMPONENT, *train.shape), random_state=0).fit(scaler.transform(train))
    project = lambda rows: pca.transform(scaler.transform(rows))
    try:
        return classifier_ratio(project(train), project(target), key=key).weights, ""
    except ValueError as error:
        return None, str(error).split(";")[0].split(". ")[0]
