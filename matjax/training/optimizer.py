"""Optimizers as specs: numbers are leaves, so that a sweep over learning rates compiles once."""

from __future__ import annotations

import jax
import optax

from matjax.config import spec
from matjax.training.schedule import Constant, Cosine, Exponential, Linear
from matjax.training.selection import Rate, selective

NS_STEPS = 3
"""Newton-Schulz iterations of Muon."""


@spec
class AdamW:
    """Adam with decoupled weight decay on a schedule, gradients clipped by their global norm.

    Source:
      Loshchilov & Hutter (2019), Decoupled weight decay regularization.

    Attributes:
      learning_rate: Peak step size.
      weight_decay: Decoupled decay.
      clip: Largest global norm of a gradient.
      schedule: How the step size moves over the run.
      frozen: Patterns of parameters that keep their values (see `selection`), such as "element" or "interaction_*/skip/*".
      rates: Factors on the step size of the parameters that a pattern names; the first that fits counts.
    """

    kind = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    clip: float = 5.0
    schedule: Cosine | Linear | Exponential | Constant = Cosine()
    frozen: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()

    def build(self, n_step: float | jax.Array) -> optax.GradientTransformation:
        """The optax transformation for a run of n_step updates."""
        adamw = optax.adamw(self.schedule.build(self.learning_rate, n_step), weight_decay=self.weight_decay)
        return selective(optax.chain(optax.clip_by_global_norm(self.clip), adamw), self.frozen, self.rates)


@spec
class Muon:
    """Orthogonalised momentum for matrices, Adam for everything else, on a schedule, with clipping.

    Source:
      Jordan et al. (2024), Muon: an optimizer for hidden layers (optax.contrib.muon).

    Attributes:
      learning_rate: Peak step size for matrices.
      adam_learning_rate: Peak step size for everything else.
      weight_decay: Decoupled decay of matrices.
      clip: Largest global norm of a gradient.
      schedule: How both step sizes move over the run.
      frozen: Patterns of parameters that keep their values (see `selection`), such as "element" or "interaction_*/skip/*".
      rates: Factors on the step size of the parameters that a pattern names; the first that fits counts.
    """

    learning_rate: float = 1e-2
    adam_learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    clip: float = 5.0
    schedule: Cosine | Linear | Exponential | Constant = Cosine()
    frozen: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()

    def build(self, n_step: float | jax.Array) -> optax.GradientTransformation:
        """The optax transformation for a run of n_step updates."""
        muon = optax.contrib.muon(
            self.schedule.build(self.learning_rate, n_step),
            adam_learning_rate=self.schedule.build(self.adam_learning_rate, n_step),
            weight_decay=self.weight_decay,
            ns_steps=NS_STEPS,
        )
        return selective(optax.chain(optax.clip_by_global_norm(self.clip), muon), self.frozen, self.rates)
