"""The pessimistic reward: what a utility that is only known by samples is worth to a search that will exploit its errors.

A search finds the candidates about which the model is wrong in their favour. So the reward is a certainty equivalent: at most
the mean of the samples, lower where the members disagree; and leaving the training density costs. Members agree where they are
all wrong together, which no certainty equivalent sees: that is what the density price and the audit picks are for.

A failed calculation is never a reward value: it has no samples, and non-finite samples are refused.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from matjax.config import spec
from matjax.risk.protocol import check_range

Array = Any  # NumPy or JAX


class Certainty(Protocol):
    """Turns samples into the sure value that is worth as much."""

    def certainty_equivalent(self, samples: Array) -> Array:
        """[n] of samples [n_sample, n]."""
        ...


@spec
class Mean:
    """The mean of the samples: no pessimism."""

    def certainty_equivalent(self, samples: Array) -> Array:
        """Mean over the samples [n]."""
        return samples.mean(0)


@spec
class Entropic:
    """-beta log mean exp(-u / beta): the worst mean over all reweightings of the members, less their distance from uniform.

    By duality it is min_q sum_m q_m u_m + beta KL(q, uniform). Large beta is the mean, less the variance / (2 beta); beta -> 0 is
    the worst member.

    Attributes:
      beta: Tolerance of disagreement, in the unit of the samples.

    Source:
      Foellmer & Schied (2002), Convex measures of risk and trading constraints (the entropic risk measure).
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a tolerance that is not positive."""
        check_range(self, beta=(1e-6, 1e12))

    def certainty_equivalent(self, samples: Array) -> Array:
        """Entropic mean over the samples [n]; between the minimum and the mean."""
        xp = jnp if isinstance(samples, jax.Array) else np
        worst = samples.min(0, keepdims=True)
        excess = xp.expm1(-(samples - worst) / self.beta).mean(0)  # expm1 and log1p: exact for large beta too
        return worst[0] - self.beta * xp.log1p(excess)


@spec
class LowerBound:
    """Mean less kappa standard deviations (ddof 1; of a single sample, the sample).

    Attributes:
      kappa: Standard deviations taken off; 0 is the mean.
    """

    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Refuses optimism."""
        check_range(self, kappa=(0.0, 100.0))

    def certainty_equivalent(self, samples: Array) -> Array:
        """Mean less kappa std over the samples [n]."""
        xp = jnp if isinstance(samples, jax.Array) else np
        variance = ((samples - samples.mean(0, keepdims=True)) ** 2).sum(0) / max(len(samples) - 1, 1)
        positive = variance > 0  # the slope of the root at zero is infinite: members that agree have none
        return samples.mean(0) - self.kappa * xp.where(positive, xp.where(positive, variance, 1.0) ** 0.5, 0.0)


@spec
class Pessimism:
    """How doubt lowers the reward: reward = certainty equivalent - density_price softplus((novelty - q99) / scale).

    `spread` widens the samples of the properties before the utility is taken of them (`inflate`): raw ensembles are overconfident
    by factors of 2 to 4 on alloys of more elements than they were trained on.

    Attributes:
      certainty: The certainty equivalent over the samples of the log utility.
      density_price: Log utility lost per `scale` of novelty beyond the 99th percentile of known crystals; 0 to ignore novelty.
      spread: Factor on the deviations of the members, or None to calibrate it on what was measured.
      prior: Weight of "the spread is right" in the calibration, in measurements.
    """

    certainty: Entropic | LowerBound | Mean | Certainty = Entropic()
    density_price: float = 1.0
    spread: float | None = None
    prior: float = 5.0

    def __post_init__(self) -> None:
        """Refuses negative prices and a spread that narrows to nothing."""
        check_range(self, density_price=(0.0, 1e6), prior=(0.0, 1e6))
        if self.spread is not None:
            check_range(self, spread=(0.1, 100.0))

    def spread_factor(self, z: np.ndarray) -> float:
        """The factor for `inflate`: the fixed one, or the calibrated one of these standardised errors [n]."""
        return calibrate(z, self.prior) if self.spread is None else float(self.spread)

    def stricter(self, factor: float) -> Pessimism:
        """With the tolerance of disagreement multiplied by a factor below 1: beta, or 1 / kappa; a mean has none and stays."""
        certainty = self.certainty
        if isinstance(certainty, Entropic):
            certainty = dataclasses.replace(certainty, beta=certainty.beta * factor)
        elif isinstance(certainty, LowerBound):
            certainty = dataclasses.replace(certainty, kappa=certainty.kappa / factor)
        return dataclasses.replace(self, certainty=certainty)

    def reward(self, log_utility: Array, novelty: Array | None = None, limit: tuple[float, float] | None = None) -> Array:
        """Pessimistic reward [n].

        Args:
          log_utility: Samples [n_sample, n], finite.
          novelty: Distance from the training crystals [n], or None where it is not known.
          limit: (q99, scale) of the novelty of known crystals, from `novelty_limit`; needed with `novelty`.

        Raises:
          ValueError: If samples or novelties are not finite, shapes do not fit, or the limit is missing.
        """
        _check_finite(log_utility, "log utility", 2)
        value = self.certainty.certainty_equivalent(log_utility)
        if novelty is None:
            return value
        if limit is None or np.shape(novelty) != np.shape(value):
            raise ValueError(
                f"novelty of shape {np.shape(novelty)} for {len(value)} candidates needs that many values and a limit (q99, scale)"
            )
        _check_finite(novelty, "novelty", 1)
        xp = jnp if isinstance(novelty, jax.Array) else np
        return value - self.density_price * xp.logaddexp(0.0, (novelty - limit[0]) / limit[1])


def inflate(samples: Array, factor: Array) -> Array:
    """Samples with their deviations from the mean multiplied; the mean stays.

    Widen properties, not the log utility (which must stay below 0).

    Args:
      samples: [n_sample, n].
      factor: Above 1 to widen.
    """
    mean = samples.mean(0, keepdims=True)
    return mean + factor * (samples - mean)


def calibrate(z: np.ndarray, prior: float = 5.0) -> float:
    """The factor that repairs an overconfident spread, from standardised errors of what was measured; at least 1.

    sqrt((prior + sum z^2) / (prior + n)): the root of the mean square, shrunk towards 1 while there are few (a scaled inverse
    chi-squared prior on the variance with `prior` degrees of freedom). A spread is never narrowed: the measured candidates were
    picked, and those not picked may be worse known.

    Args:
      z: (measured - mean) / std, per measurement [n]; may be empty.
      prior: Weight of the prior, in measurements.

    Raises:
      ValueError: If a z is not finite.
    """
    z = np.asarray(z, np.float64)
    if not np.isfinite(z).all():
        raise ValueError(f"{int((~np.isfinite(z)).sum())} of {z.size} standardised errors are not finite; leave failed calculations out")
    return float(np.sqrt(max((prior + (z**2).sum()) / (prior + z.size), 1.0))) if z.size else 1.0


def novelty_limit(novelty: np.ndarray) -> tuple[float, float]:
    """(q99, scale) of the novelty of known crystals that the model was not fitted on; scale = q99 - median.

    Args:
      novelty: [n], at least two different values.

    Raises:
      ValueError: If there are too few, or they are not finite or all equal.
    """
    novelty = np.asarray(novelty, np.float64)
    _check_finite(novelty, "novelty", 1)
    median, q99 = np.quantile(novelty, [0.5, 0.99]) if novelty.size else (0.0, 0.0)
    if not q99 > median:
        raise ValueError(
            f"{novelty.size} novelties of known crystals have no spread to take a limit from; need at least two different ones"
        )
    return float(q99), float(q99 - median)


def _check_finite(values: Array, name: str, ndim: int) -> None:
    """Refuses a wrong number of axes and, where values are known (not traced), what is not finite."""
    if np.ndim(values) != ndim or ndim == 2 and len(values) < 1:
        raise ValueError(f"{name} has shape {np.shape(values)}; it must be {('[n]', '[n_sample, n]')[ndim - 1]}")
    if isinstance(values, Tracer):
        return
    bad = ~np.isfinite(np.asarray(values)).all(tuple(range(ndim - 1)))
    if bad.any():
        raise ValueError(
            f"{name} is not finite for {int(bad.sum())} of {bad.size} candidates (first: number {int(np.argmax(bad))}); "
            "a failed calculation has no reward: leave it out"
        )
