"""How the step size moves over a run, as specs: every shape is 1 at its peak and is multiplied by an optimizer's step sizes.

Steps are counted from one and measured in parts of the run, so that a schedule says the same of a short run and a long one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from matjax.config import spec

Share = float | jax.Array


@spec
class Cosine:
    """Linear warm-up, then half a cosine down to `final`.

    Attributes:
      warmup: Share of the run that warms up.
      final: Step size at the end, in parts of the peak.

    Source:
      Loshchilov & Hutter (2017), SGDR: stochastic gradient descent with warm restarts, eq. 5, without restarts.
    """

    warmup: float = dataclasses.field(default=0.05, metadata={"static": True})
    final: float = dataclasses.field(default=0.0, metadata={"static": True})

    def __post_init__(self) -> None:
        """Checks the shares."""
        _check(self)

    def build(self, peak: Share, n_step: Share) -> optax.Schedule:
        """Step size as a function of the number of updates done."""
        fall = lambda done: 0.5 * (1 + jnp.cos(jnp.pi * done))
        return _warmed(peak, n_step, self.warmup, lambda done: fall(done) if not self.final else self.final + (1 - self.final) * fall(done))


@spec
class Linear:
    """Linear warm-up, then linearly down to `final`.

    Attributes:
      warmup: Share of the run that warms up.
      final: Step size at the end, in parts of the peak.
    """

    warmup: float = dataclasses.field(default=0.05, metadata={"static": True})
    final: float = dataclasses.field(default=0.0, metadata={"static": True})

    def __post_init__(self) -> None:
        """Checks the shares."""
        _check(self)

    def build(self, peak: Share, n_step: Share) -> optax.Schedule:
        """Step size as a function of the number of updates done."""
        return _warmed(peak, n_step, self.warmup, lambda done: 1 + (self.final - 1) * done)


@spec
class Exponential:
    """Linear warm-up, then by equal factors down to `final`.

    Attributes:
      warmup: Share of the run that warms up.
      final: Step size at the end, in parts of the peak; above zero.
    """

    warmup: float = dataclasses.field(default=0.05, metadata={"static": True})
    final: float = dataclasses.field(default=0.01, metadata={"static": True})

    def __post_init__(self) -> None:
        """Checks the shares."""
        _check(self)
        if self.final == 0:
            raise ValueError("final is 0 and an exponential never gets there; give a number above 0, such as 0.01")

    def build(self, peak: Share, n_step: Share) -> optax.Schedule:
        """Step size as a function of the number of updates done."""
        return _warmed(peak, n_step, self.warmup, lambda done: jnp.power(self.final, done))


@spec
class Constant:
    """Linear warm-up, then the peak to the end.

    Attributes:
      warmup: Share of the run that warms up; 0 for none.
    """

    warmup: float = dataclasses.field(default=0.0, metadata={"static": True})

    def __post_init__(self) -> None:
        """Checks the share."""
        _check(self)

    def build(self, peak: Share, n_step: Share) -> optax.Schedule:
        """Step size as a function of the number of updates done."""
        return _warmed(peak, n_step, self.warmup, jnp.ones_like)


Schedule = Cosine | Linear | Exponential | Constant


def _warmed(peak: Share, n_step: Share, warmup: float, fall: Callable[[jax.Array], jax.Array]) -> optax.Schedule:
    """Linear warm-up to the peak, then `fall` of the share of the rest that is done."""

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        done = (jnp.asarray(count, jnp.float32) + 1) / n_step
        rest = fall(jnp.clip((done - warmup) / (1 - warmup), 0.0, 1.0))
        return peak * (jnp.where(done < warmup, jnp.minimum(done / warmup, 1.0), rest) if warmup else rest)

    return schedule


def _check(schedule: Schedule) -> None:
    for name, top in (("warmup", "below 1"), ("final", "at most 1")):
        value = getattr(schedule, name, 0.0)
        if not 0 <= value <= 1 or (name == "warmup" and value == 1):
            raise ValueError(f"{name} of the schedule is {value}; it is a share, at least 0 and {top}")
