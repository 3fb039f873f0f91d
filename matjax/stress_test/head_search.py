"""The search of `matjax.stress_test.search` for networks on fixed features: all draws, folds and seeds in a few compiled calls.

A table holds the features and labels of a whole data set; a fold says by row numbers what a fit sees and what it is judged on.
Draws, their order, the rule of choice and what may be seen are those of `search`; what is new is that a fit takes
hundredths of a second, so that twenty settings of ten methods on a hundred domains fit a lunch break.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from matjax.keys import child
from matjax.override import override
from matjax.stress_test.search import Candidates
from matjax.training.head_learner import HeadLearner
from matjax.training.head_network import Heads, errors_of_heads, fit_heads
from matjax.training.head_rows import Rows, shape_of, stacked

CHUNK = 4
"""Fits in one compiled call: calls of any number of fits share one program, and the last is filled up."""


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Features and label of a whole data set, with what its fits share.

    Attributes:
      x: Features [n, n_feature].
      y: Label [n], NaN where absent.
      n_domain: Domains that a risk tells apart, the target's included.
    """

    x: jax.Array
    y: jax.Array
    n_domain: int


@dataclasses.dataclass(frozen=True, eq=False)
class HeadFold:
    """What a fit sees and what it is judged on, by rows of the table.

    Attributes:
      rows: Training, validation and target rows; folds of one search have one padded shape.
      tests: Rows that it is judged on, by name.
      key: Randomness of the fit, the same for all methods.
    """

    rows: Rows
    tests: Mapping[str, np.ndarray]
    key: jax.Array


def drawn(candidates: Candidates, key: jax.Array) -> list[tuple[dict[str, float], HeadLearner]]:
    """(settings, learner) of every draw; the first is switched off."""
    return [(d, override(candidates.learner, [f"{p}={v!r}" for p, v in d.items()])) for d in candidates.draws(key)]


def errors(table: Table, pairs: Sequence[tuple[HeadLearner, HeadFold]]) -> list[dict[str, np.ndarray]]:
    """Signed errors of learners on folds: {test: [n_test]}, and the `validation` error of each fit [], one per pair.

    Args:
      table: Features and labels.
      pairs: Learners that differ in numbers alone, and folds of one shape with tests of the same names.
    """
    found: list[dict[str, np.ndarray]] = []
    joined = [np.concatenate(list(fold.tests.values())) for _, fold in pairs]
    length = shape_of(max(map(len, joined), default=0))
    for start in range(0, len(pairs), CHUNK):
        chosen = [min(start + i, len(pairs) - 1) for i in range(CHUNK)]
        heads = _fitted(table, [pairs[i] for i in chosen])
        rows = np.stack([np.pad(joined[i], (0, length - len(joined[i])), constant_values=-1) for i in chosen])
        error = np.asarray(errors_of_heads(heads, table.x, table.y, rows, network=pairs[start][0].network), np.float64)
        for place, (_, fold) in enumerate(pairs[start : start + CHUNK]):
            cuts = np.cumsum([len(test) for test in fold.tests.values()])
            parts = np.split(error[place, : cuts[-1]], cuts[:-1])
            found.append(dict(zip(fold.tests, parts, strict=True)) | {"validation": np.asarray(heads.error)[place]})
    return found


def best(scores: np.ndarray) -> int:
    """The draw [n_draw, n_fold] of smallest error, a geometric mean over the folds: a domain counts once, however hard it is."""
    return int(np.argmin(np.log(np.maximum(scores, 1e-12)).mean(1)))


def _fitted(table: Table, pairs: Sequence[tuple[HeadLearner, HeadFold]]) -> Heads:
    learners, folds = zip(*pairs, strict=True)
    keys = np.stack([np.asarray(jax.random.key_data(child(fold.key, "fit"))) for fold in folds])
    plans, rows = stacked([learner.plan for learner in learners]), stacked([fold.rows for fold in folds])
    return fit_heads(table.x, table.y, rows, plans, keys, **learners[0].structure, n_domain=table.n_domain)
