"""Heads: what a network says beside the energy, per crystal or per atom, as a scalar, vector or tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import spec
from matjax.nn.cartesian import cartesian_basis
from matjax.nn.features import Features, channels

LOG_VARIANCE = (-8.0, 4.0)
"""Bounds of a log variance, in units of the head's scale squared."""


@spec
class Head:
    """A quantity that a network learns beside the energy.

    Attributes:
      name: Name of the label, such as "gap".
      irreps: How it turns: "0e" a scalar, "1o" a vector, "1e" a pseudo-vector, "0e+2e" a symmetric 3x3 tensor; see
        `cartesian_basis` for all. The network's last layer must have the irreps.
      per: "crystal", or "atom" for one answer per atom.
      reduce: How a crystal's answer comes from its atoms: "mean" for what is intensive, "sum" for what is extensive.
      variance: Also learn the variance of the label's noise, by Gaussian likelihood; for a single scalar.
      weight: Weight in the loss.
      unit: Unit of the label.
    """

    name: str
    irreps: str = "0e"
    per: str = "crystal"
    reduce: str = "mean"
    variance: bool = False
    weight: float = dataclasses.field(default=1.0, metadata={"static": True})
    unit: str = ""

    def __post_init__(self) -> None:
        """Checks the words and the irreps."""
        if not self.name or "/" in self.name:
            raise ValueError(f"a head is named {self.name!r}; it needs the name of a label, without a slash")
        for field, allowed in (("per", ("crystal", "atom")), ("reduce", ("mean", "sum"))):
            if (value := getattr(self, field)) not in allowed:
                raise ValueError(f"head {self.name!r}: {field} is {value!r}; allowed: {', '.join(allowed)}")
        if self.variance and channels(self.irreps) != {"0e": 1}:
            raise ValueError(f"head {self.name!r}: a variance is for a single scalar (irreps '0e'), not for {self.irreps!r}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one label."""
        return cartesian_basis(self.irreps).shape[:-1]

    @property
    def extensive(self) -> bool:
        """Whether the label grows with the number of atoms."""
        return self.per == "crystal" and self.reduce == "sum"


Pool = Callable[[jax.Array], jax.Array]


class HeadReadout(nn.Module):
    """Answers of one head: (features, embedding, n_atom, pool) -> label [n, *shape], log variance [n] or None.

    Scalars come from a network with one hidden layer on the atom's scalars and embedding. Every other irrep is a linear map of
    its channels, each gated by a number that the same hidden layer gives. The constants `scale` and `shift`, set from the
    training data by the learner, turn the network's units into the label's; only invariants are shifted.
    """

    head: Head

    @nn.compact
    def __call__(self, features: Features, embedding: jax.Array, n_atom: jax.Array, pool: Pool) -> tuple[jax.Array, jax.Array | None]:
        """Reads out.

        Args:
          features: Of the last layer.
          embedding: [n_node, n_channel].
          n_atom: Atoms per crystal [n_graph], at least one.
          pool: Sum over the atoms of each crystal, [n_node, k] -> [n_graph, k].

        Raises:
          ValueError: If the features lack an irrep that the head needs.
        """
        head, basis = self.head, cartesian_basis(self.head.irreps)
        scale = self.variable("constants", "scale", lambda: jnp.ones(())).value
        shift = self.variable("constants", "shift", lambda: jnp.zeros(head.shape)).value
        hidden = jnp.concatenate([features["0e"][:, 0], embedding], -1)
        hidden = nn.silu(nn.Dense(features["0e"].shape[-1], name="hidden")(hidden))
        atomic = jnp.concatenate([self._component(ir, n, features, hidden) for ir, n in channels(head.irreps).items()], -1)
        size = n_atom[:, None].astype(atomic.dtype)
        collect = lambda x: x if head.per == "atom" else pool(x) if head.reduce == "sum" else pool(x) / size
        components = collect(atomic) @ jnp.asarray(basis.reshape(-1, basis.shape[-1]).T, atomic.dtype)
        offset = shift.reshape(1, -1) * (size if head.extensive else 1.0)
        answer = (scale * components + offset).reshape(-1, *head.shape)
        if not head.variance:
            return answer, None
        mean = hidden if head.per == "atom" else pool(hidden) / size
        return answer, nn.Dense(1, name="log_variance")(nn.silu(nn.Dense(16, name="spread")(mean)))[:, 0]

    def _component(self, irrep: str, n: int, features: Features, hidden: jax.Array) -> jax.Array:
        """[n_atom, n * (2l + 1)], the multiplicity outside, as e3nn has it."""
        if irrep == "0e":
            return nn.Dense(n, name="scalar")(hidden)
        if irrep not in features:
            raise ValueError(
                f"head {self.head.name!r} ({self.head.irreps}) needs {irrep} features, but the last layer has {', '.join(features)} alone; "
                f"add {irrep} to its irreps, and a layer before it where one layer cannot make {irrep} from scalars"
            )
        x = features[irrep]
        gate = nn.Dense(x.shape[-1], name=f"gate_{irrep}")(hidden)
        turned = nn.Dense(n, use_bias=False, name=f"linear_{irrep}")(x * gate[:, None, :])
        return jnp.swapaxes(turned, 1, 2).reshape(len(x), -1)


def noise(head: Head, log_variance: np.ndarray, scale: float, n_atom: np.ndarray) -> np.ndarray:
    """Standard deviation of the label's noise [n] in the label's unit, from the log variances of all members [n_member, n]."""
    size = n_atom if head.extensive else 1.0
    return scale * size * np.sqrt(np.exp(np.clip(log_variance, *LOG_VARIANCE)).mean(0))
