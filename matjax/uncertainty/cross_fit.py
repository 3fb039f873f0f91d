"""Errors on domains that a model did not see, from inside the training set: what leave-domain-out conformal calibrates on.

The training domains are dealt to the members of one ensemble; each member is kept from its own share. One fit, at the
price of an ordinary one, so gives errors by members to which the domain was new: its crystals are in neither their
training batches nor their reference energies. (Two numbers are common to all members: the scale of the label and the
mean number of neighbours.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from matjax.data.matched import join
from matjax.data.memberships import memberships
from matjax.keys import child, generator
from matjax.training.supervision import target_per_atom
from matjax.types import Crystal, Prediction, Visible
from matjax.uncertainty.novelty import NearestNeighbours, Novelty

FEWEST = 10  # crystals in a domain that is dealt
MOST = 0.4  # share of the training crystals that one member may be kept from, if that is more than one domain
LARGEST = 0.8  # share of the training crystals in a domain that is dealt: the others must suffice to train on


class TooFewDomains(ValueError):
    """The crystals do not fall into enough domains for one to be left out."""


class MemberPredictor(Protocol):
    """An ensemble whose members can be asked apart."""

    def member(self, number: int) -> Callable[[Sequence[Crystal]], Prediction]:
        """One member as a predictor of its own."""
        ...


class CrossFitter(Protocol):
    """A learner that can keep crystals from some of its members, such as `GraphLearner`."""

    @property
    def members(self) -> int:
        """Ensemble members."""
        ...

    def fit(self, visible: Visible, key: jax.Array, *, held_from: np.ndarray, report: Any = None) -> MemberPredictor:
        """Fits; bit m of held_from [n_train] keeps a training crystal from member m."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class CrossFit:
    """Leave-domain-out errors.

    Attributes:
      error: Signed errors [n] in the label's unit; a crystal of several domains (elements) is several rows.
      domain: Domain that was held out, per row [n].
      distance: Latent distance of the crystal from the training crystals of the member that was asked [n].
    """

    error: np.ndarray
    domain: np.ndarray
    distance: np.ndarray


def deal(groups: Mapping[str, np.ndarray], members: int, key: jax.Array) -> list[tuple[str, ...]]:
    """Domains dealt to members, each kept from at most 40% of the crystals (or from one domain, if that is larger).

    Raises:
      TooFewDomains: If fewer than two domains are large enough.
    """
    large = [name for name, inside in groups.items() if FEWEST <= inside.sum() <= LARGEST * len(inside)]
    if len(large) < 2:
        raise TooFewDomains(f"{len(large)} domains of at least {FEWEST} crystals; leaving domains out needs two or more")
    members = min(members, 31)  # bits of an int32
    order = generator(child(key, "deal")).permutation(sorted(large))
    hands: list[list[str]] = [[] for _ in range(members)]
    held = [np.zeros(len(next(iter(groups.values()))), bool) for _ in range(members)]
    for name in sorted(order, key=lambda n: -int(groups[n].sum())):
        m = min(range(members), key=lambda i: int(held[i].sum()))
        union = held[m] | groups[name]
        if not hands[m] or union.mean() <= MOST:
            hands[m].append(str(name))
            held[m] = union
    return [tuple(hand) for hand in hands]


def cross_fit(
    learner: CrossFitter,
    visible: Visible,
    *,
    column: str,
    label: str,
    key: jax.Array,
    novelty: Novelty | None = None,
    report: Any = None,
) -> CrossFit:
    """One fit whose members leave domains out, and their errors there.

    Args:
      learner: A learner that keeps crystals from members.
      visible: Training, validation and calibration crystals.
      column: Domain column that is dealt, or `elements`.
      label: Label that is predicted.
      key: Randomness.
      novelty: Latent distance; nearest neighbours by default.
      report: Called with a record per epoch.

    Raises:
      TooFewDomains: If fewer than two domains are large enough.
    """
    pool = join(visible.train, visible.calibration)
    n_train = len(visible.train)
    groups = memberships(pool, column)
    hands = deal({name: inside[:n_train] for name, inside in groups.items()}, learner.members, key)
    held = [np.any([groups[name] for name in hand], axis=0) if hand else np.zeros(len(pool), bool) for hand in hands]
    bits = sum(h[:n_train].astype(np.int64) << m for m, h in enumerate(held))
    predictor = learner.fit(visible, key, held_from=np.asarray(bits), report=report)
    target = target_per_atom(pool, label)
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for m, hand in enumerate(hands):
        if not hand:
            continue
        member = predictor.member(m)
        seen = [c for c, h in zip(visible.train.crystals, held[m], strict=False) if not h]
        fitted = (novelty or NearestNeighbours()).fit(_features(member(seen)))
        asked = np.flatnonzero(held[m])
        said = member([pool.crystals[i] for i in asked])
        error, distance = said.mean - target[asked], fitted.score(_features(said))
        for name in hand:
            mine = groups[name][asked] & np.isfinite(error)
            rows.append((error[mine], np.full(int(mine.sum()), name), distance[mine]))
    error, domain, distance = (np.concatenate(column) for column in zip(*rows, strict=True))
    return CrossFit(error, domain, distance)


def _features(prediction: Prediction) -> np.ndarray:
    if prediction.features is None:
        raise ValueError("the model gives no features; a latent distance needs them")
    return prediction.features
