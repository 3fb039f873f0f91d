"""Members of a small ensemble, fitted to the laboratory's enthalpies and kept as plain arrays; what a search leans on in an experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.neural_network import MLPRegressor

N_MEMBER = 4
BETA = 0.02
"""eV/atom: how pessimistic a reward is about what the members disagree on (an entropic certainty equivalent)."""


def fit(x: np.ndarray, h: np.ndarray, is_held: np.ndarray, **settings: Any) -> dict[str, np.ndarray]:
    """Weights of the members, each on its own bootstrap sample, in units of the spread of the enthalpies.

    Args:
      x: Features [n, n_feature].
      h: Enthalpies [n], eV/atom.
      is_held: Which rows nobody trains on [n]; the error there is printed.
      settings: Of the networks.
    """
    train, scale, found, rng = np.flatnonzero(~is_held), h[~is_held].std(), dict[str, np.ndarray](), np.random.default_rng(0)
    held = []
    for m in range(N_MEMBER):
        rows = rng.choice(train, len(train))
        network = MLPRegressor(activation="tanh", learning_rate_init=2e-3, tol=0.0, random_state=m, **settings).fit(
            x[rows], h[rows] / scale
        )
        for i, (w, b) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            found |= {f"weight_{m}_{i}": w.astype(np.float32), f"bias_{m}_{i}": b.astype(np.float32)}
        held.append(scale * network.predict(x[is_held]))
    error, spread = np.abs(np.mean(held, 0) - h[is_held]), np.std(held, 0)
    told = f"{len(train)} fitted, {is_held.sum()} held out of spread {h[is_held].std():.4f}"
    print(f"{told}: MAE {error.mean():.4f}, spread {spread.mean():.4f} eV/atom", file=sys.stderr)
    return found | {"scale": np.array(scale), "held_mae": np.array(error.mean()), "n_train": np.array(len(train))}


class Members(NamedTuple):
    """layers: (weights, bias) of each layer of each member; scale: eV/atom of their unit."""

    layers: list[list[tuple[np.ndarray, np.ndarray]]]
    scale: np.ndarray

    @classmethod
    def load(cls, path: Path) -> Members:
        """What `fit` returned, from a file of arrays."""
        with np.load(path) as file:
            kept = dict(file)
        n_layer = sum(name.startswith("weight_0_") for name in kept)
        return cls([[(kept[f"weight_{m}_{i}"], kept[f"bias_{m}_{i}"]) for i in range(n_layer)] for m in range(N_MEMBER)], kept["scale"])

    def enthalpy(self, x: np.ndarray) -> np.ndarray:
        """eV/atom of features [n, n_feature], [n_member, n]."""
        return np.stack([self._member(layers, x) for layers in self.layers])

    def _member(self, layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
        for i, (w, b) in enumerate(layers):
            x = x @ w + b
            x = np.tanh(x) if i + 1 < len(layers) else x
        return self.scale * x[:, 0]


def pessimistic(gibbs: np.ndarray) -> np.ndarray:
    """Rewards [n] of Gibbs energies [n_member, n], eV/atom: entropic over the members."""
    top = gibbs.max(0)
    return -(top + BETA * np.log(np.exp((gibbs - top) / BETA).mean(0)))
