"""A policy over materials: draws, probabilities, and the value of every partial material."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.elements import number
from matjax.toml import from_toml, to_toml
from matjax.types import Candidate
from matjax.value.alloys import Alloys
from matjax.value.automaton import follow
from matjax.value.compounds import Compounds
from matjax.value.mutation import repair
from matjax.value.network import Params
from matjax.value.rollout import draw_distinct, replay
from matjax.value.space import Space
from matjax.value.tree import Tree

Partial = tuple[str | None, Mapping[str, int | Sequence[int]]]
"""What is fixed: the structure (or None) and the counts of some elements, one per orbit where there are several (0: absent)."""

SPACES = {"Alloys": Alloys, "Compounds": Compounds}
"""Spaces whose policies can be saved."""

MAX_BATCH = 4096
"""Trajectories per call of the network."""


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """pi(material) over a space, and V(partial material).

    At the optimum pi(x) = pi0(x) exp((r(x) - V(root)) / tau), pi0 uniform over the materials, and

      V(s) = tau log( mean of exp(r(x) / tau) over the materials x that can be reached from s ).

    It is a mean, not a sum: the log of the partition sum over materials is V(root) / tau + log(n_leaf).

    Attributes:
      space: The materials.
      params: Parameters of the scorer (`network`).
      tau: Temperature of the policy, in units of the reward; it has nothing to do with kelvin.
      actions: Materials whose reward is known, best first, as trajectories [n_known, n_step].
      rewards: Their rewards [n_known].
      n_call: Materials that the reward was asked about to learn this policy.
      consistency: Which values it has learned: "suffix" all of them, "trajectory" V(root) alone.
    """

    space: Space
    params: Params
    tau: float
    actions: np.ndarray
    rewards: np.ndarray
    n_call: int
    consistency: str = "suffix"

    @property
    def tree(self) -> Tree:
        """The tree of the space, on the device (float32)."""
        return self.space.tree.on_device()

    @property
    def numbers(self) -> jax.Array:
        """Atomic numbers [n_element]."""
        return jnp.array([number(e) for e in self.space.elements], jnp.int32)

    def sample(self, n: int, key: jax.Array) -> list[Candidate]:
        """Distinct candidates [n], each drawn from the policy restricted to those not drawn before; all there are if fewer.

        The first is an exact draw from the policy; a longer sample begins with other draws than a shorter one.
        """
        width = 1 << max(6, (n - 1).bit_length())  # few widths, few compiles
        actions, log_p = draw_distinct(self.params, self.numbers, self.tree, width, 0.0, key)
        found = np.asarray(actions)[np.isfinite(np.asarray(log_p))][:n]
        return self.space.decode(found[:, 0], found[:, 1:])

    def log_prob(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Log probability of candidates [n] under the policy, by exact replay of their one trajectory.

        Raises:
          ValueError: If a candidate is outside the space.
        """
        return self.log_ratio(np.column_stack(self.space.encode(candidates))) - np.log(float(self.space.n_leaf))

    def log_ratio(self, actions: np.ndarray) -> np.ndarray:
        """How much likelier than chance: log pi(x) - log pi0(x) of trajectories [n, n_step], float64 [n]."""
        log_pi, log_pi0, _ = self._replay(actions)
        return (log_pi - log_pi0).sum(1)

    def value(self, partials: Sequence[Partial]) -> np.ndarray:
        """V of partial materials [n], in units of the reward, as the network says it; of a finished one, the reward the policy implies.

        Args:
          partials: (structure, {element: count, or counts by orbit}). The tree decides the structure first, then the elements in the
            order of the space: what is fixed must be the beginning of that order. For anything else (two elements, say) see
            `partial_values`.

        Raises:
          ValueError: If a partial material is no beginning, or leads to no material of the space, or the policy has not learned its value.
        """
        if not partials:
            return np.zeros(0)
        lengths, actions = zip(*(self._beginning(p) for p in partials), strict=True)
        if self.consistency == "trajectory" and (between := [n for n in lengths if 0 < n < self.tree.n_step]):
            raise ValueError(
                f"a policy that was learned from whole trajectories has no values of beginnings; {partials[lengths.index(between[0])]} is "
                'one: learn with consistency="suffix", or ask `partial_values`'
            )
        log_pi, log_pi0, value = self._replay(repair(self.space, np.stack(actions)))  # any completion will do
        finished = value[:, 0] + (log_pi - log_pi0).sum(1)
        return self.tau * np.column_stack([value, finished])[np.arange(len(partials)), lengths]

    def _beginning(self, partial: Partial) -> tuple[int, np.ndarray]:
        """How many choices a partial material fixes, and a trajectory [n_step] that begins with them (the rest is not read)."""
        actions = self.space.choices(*partial)
        length = int(np.argmax(np.append(actions, -1) < 0))
        if length < (actions >= 0).sum():
            open_choice = "the structure" if length == 0 else self.space.elements[(length - 1) // self.tree.n_orbit]
            raise ValueError(f"{partial} is no beginning of a material: {open_choice} comes first and is open; ask `partial_values` for it")
        if follow(self.space.tree, np.where(actions < 0, 0, actions)[None])[0] < length:
            raise ValueError(f"no material of the space begins with {partial}")
        return length, actions

    def _replay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`rollout.replay` in batches of one shape, float64: log pi, log pi0 and value / tau, each [n, n_step]."""
        width = min(MAX_BATCH, 1 << max(6, (len(actions) - 1).bit_length()))
        tree, numbers, parts = self.tree, self.numbers, []
        for start in range(0, len(actions), width):
            rows = actions[start : start + width]
            padded = np.concatenate([rows, np.repeat(rows[:1], width - len(rows), 0)])
            parts.append([np.asarray(x, float)[: len(rows)] for x in replay(self.params, numbers, tree, jnp.asarray(padded))])
        empty = np.zeros((0, tree.n_step))
        return tuple(np.concatenate([empty, *(p[i] for p in parts)]) for i in range(3))  # type: ignore[return-value]

    def to_bytes(self) -> bytes:
        """The policy as an npz file of plain arrays."""
        buffer = io.BytesIO()
        about = {
            "kind": np.array(type(self.space).__name__),
            "space": np.array(to_toml(self.space)),
            "tau": np.array(self.tau),
            "n_call": np.array(self.n_call),
        }
        about |= {"consistency": np.array(self.consistency)}
        known = {"actions": self.actions, "rewards": self.rewards}
        np.savez(buffer, allow_pickle=False, **about, **known, **{f"params.{k}": np.asarray(v) for k, v in self.params.items()})
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Policy:
        """The policy that `to_bytes` wrote.

        Raises:
          ValueError: If this is no such file.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                params = {k.removeprefix("params."): jnp.asarray(file[k]) for k in file.files if k.startswith("params.")}
                space = from_toml(str(file["space"]), SPACES[str(file["kind"])])
                known = (file["actions"], file["rewards"], int(file["n_call"]))
                return Policy(space, params, float(file["tau"]), *known, str(file["consistency"]))
        except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"these bytes are not a saved policy: {error}") from error
