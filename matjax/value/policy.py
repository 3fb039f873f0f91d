"""A policy over alloys: draws, probabilities, and the value of every partial alloy."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.elements import number
from matjax.simulate.prototypes import LATTICES
from matjax.toml import from_toml, to_toml
from matjax.types import Candidate
from matjax.value.mutation import repair
from matjax.value.network import Params
from matjax.value.rollout import draw_distinct, replay
from matjax.value.space import Alloys
from matjax.value.tree import Tree

Partial = tuple[str | None, Mapping[str, int]]
"""What is fixed of an alloy: its lattice (or None) and the counts of some elements (0: absent)."""

MAX_BATCH = 4096
"""Trajectories per call of the network."""


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """pi(alloy) over a space, and V(partial alloy).

    At the optimum pi(x) = pi0(x) exp((r(x) - V(root)) / tau), pi0 uniform over the alloys, and

      V(s) = tau log( mean of exp(r(x) / tau) over the alloys x that can be reached from s ).

    It is a mean, not a sum: the log of the partition sum over alloys is V(root) / tau + log(n_leaf).

    Attributes:
      space: The alloys.
      params: Parameters of the scorer (`network`).
      tau: Temperature of the policy, in units of the reward; it has nothing to do with kelvin.
      actions: Alloys whose reward is known, best first, as trajectories [n_known, n_step].
      rewards: Their rewards [n_known].
      n_call: Alloys that the reward was asked about to learn this policy.
      consistency: Which values it has learned: "suffix" all of them, "trajectory" V(root) alone.
    """

    space: Alloys
    params: Params
    tau: float
    actions: np.ndarray
    rewards: np.ndarray
    n_call: int
    consistency: str = "suffix"

    @property
    def tree(self) -> Tree:
        """The tree of the space, on the device (float32)."""
        return Tree(jnp.asarray(self.space.tree.log_prior, jnp.float32))

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
        lattice, counts = self.space.encode(candidates)
        return self.log_ratio(np.concatenate([lattice[:, None], counts], 1)) - np.log(float(self.space.n_leaf))

    def log_ratio(self, actions: np.ndarray) -> np.ndarray:
        """How much likelier than chance: log pi(x) - log pi0(x) of trajectories [n, n_step], float64 [n]."""
        log_pi, log_pi0, _ = self._replay(actions)
        return (log_pi - log_pi0).sum(1)

    def value(self, partials: Sequence[Partial]) -> np.ndarray:
        """V of partial alloys [n], in units of the reward, as the network says it; of a finished alloy, the reward that the policy implies.

        Args:
          partials: (lattice, {element: count}). The tree decides the lattice first, then the elements in the order of the space: what
            is fixed must be the beginning of that order. For anything else (two elements, say) see `partial_values`.

        Raises:
          ValueError: If a partial alloy is no beginning, or leads to no alloy of the space, or the policy has not learned its value.
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
        """How many choices a partial alloy fixes, and a trajectory [n_step] that begins with them (the rest is not read)."""
        lattice, counts = partial
        order = [lattice is not None, *(e in counts for e in self.space.elements)]
        length, fixed = (order + [False]).index(False), (lattice is not None) + len(counts)
        if stranger := next((e for e in counts if e not in self.space.elements), None):
            raise ValueError(f"{stranger} is not among the elements of the space ({' '.join(self.space.elements)})")
        if length < fixed:
            open_choice = "the lattice" if length == 0 else self.space.elements[length - 1]
            raise ValueError(f"{partial} is no beginning of an alloy: {open_choice} comes first and is open; ask `partial_values` for it")
        actions = np.zeros(len(order), np.int32)
        remaining, used, log_prior = self.space.n_site, 0, self.space.tree.log_prior
        choices = [LATTICES.index(lattice) if lattice in LATTICES else -1, *(counts.get(e, -1) for e in self.space.elements)]
        for t in range(length):
            actions[t] = choices[t]
            if not (0 <= actions[t] < log_prior.shape[3] and np.isfinite(log_prior[t, remaining, used, actions[t]])):
                raise ValueError(f"no alloy of the space begins with {partial}")
            remaining, used = (remaining - int(actions[t]), used + int(actions[t] > 0)) if t else (remaining, used)
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
        about = {"space": np.array(to_toml(self.space)), "tau": np.array(self.tau), "n_call": np.array(self.n_call)}
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
                space = from_toml(str(file["space"]), Alloys)
                known = (file["actions"], file["rewards"], int(file["n_call"]))
                return Policy(space, params, float(file["tau"]), *known, str(file["consistency"]))
        except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"these bytes are not a saved policy: {error}") from error
