"""What a reward has said so far: every material is asked about once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from matjax.value.space import Space

Reward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Structure [n] and counts [n, n_element * n_orbit] (see `space.Space`; of alloys, the index in LATTICES and a count per element) of
distinct materials -> reward [n], finite; larger is better."""


class Memory:
    """A reward with everything it was asked, so that only what is new costs a call.

    Attributes:
      space: The materials.
      reward: The reward.
      actions: Trajectories asked about, in the order of asking [n_call, n_step].
      rewards: What came back [n_call].
    """

    def __init__(self, space: Space, reward: Reward) -> None:
        self.space, self.reward = space, reward
        self.actions = np.zeros((0, space.tree.n_step), np.int32)
        self.rewards = np.zeros(0)
        self._rows: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Number of materials asked about."""
        return len(self.rewards)

    def new(self, actions: np.ndarray) -> np.ndarray:
        """The rows of trajectories [n, n_step] that were never asked about, each once, in order."""
        fresh = {row.tobytes(): i for i, row in reversed(list(enumerate(_rows(actions)))) if row.tobytes() not in self._rows}
        return np.asarray(actions, np.int32)[sorted(fresh.values())]

    def ask(self, actions: np.ndarray) -> np.ndarray:
        """Rewards [n] of trajectories [n, n_step]; the reward is called on those that are new.

        Raises:
          ValueError: If the reward returns another number of values than it was given materials.
          FloatingPointError: If it returns what is not finite; the message names the first such material.
        """
        fresh = self.new(actions)
        if len(fresh):
            lattice, counts = fresh[:, 0], fresh[:, 1:]
            answer = np.asarray(self.reward(lattice, counts), float)
            if answer.shape != (len(fresh),):
                raise ValueError(f"the reward returned shape {answer.shape} for {len(fresh)} materials; it must be ({len(fresh)},)")
            if not np.isfinite(answer).all():
                worst = int(np.argmin(np.isfinite(answer)))
                name = self.space.decode(lattice[worst : worst + 1], counts[worst : worst + 1])[0].formula
                raise FloatingPointError(f"the reward of {name} is {answer[worst]}; a failed calculation must not become a reward")
            self._rows.update({row.tobytes(): len(self) + i for i, row in enumerate(_rows(fresh))})
            self.actions, self.rewards = np.concatenate([self.actions, fresh]), np.concatenate([self.rewards, answer])
        return self.rewards[[self._rows[row.tobytes()] for row in _rows(actions)]]

    def best(self, n: int) -> np.ndarray:
        """Rows of the n largest rewards, best first (the earlier one where they tie)."""
        return np.argsort(-self.rewards, kind="stable")[:n]


def _rows(actions: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(actions, np.int32)
