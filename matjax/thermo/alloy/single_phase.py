"""The probability of a single phase, from what the members of an ensemble say of its stability."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.scipy.special import betainc, gammaln, ndtr
from jax.typing import ArrayLike

from matjax.thermo.host import float64


def single_phase_probability(
    stability: ArrayLike, *, widening: ArrayLike = 1.0, form: Literal["student", "normal", "count"] = "student"
) -> Array:
    """Probability that a candidate is stable against every mixture of other phases, relative to the oracle that the members imitate.

    It knows what the members disagree on and nothing else: neither the oracle's own error nor the phases that were not considered.

    - "student": the truth is one more draw of what the members are draws of, with unknown mean m and spread s: Student's distribution with
      n - 1 degrees of freedom at -m / (widening s sqrt(1 + 1/n)). Honest for a handful of members: never 0 or 1.
    - "normal": the same with mean and spread taken as known, Phi(-m / (widening s)).
    - "count": the share of members that call it stable after each has moved away from their mean by the factor `widening`. Free of any
      shape, and no finer than 1/n.

    Args:
      stability: What each member says [n_member, ...], eV/atom, as `Stability.value`.
      widening: Factor on the members' spread that makes their intervals cover what they promise; measured on data that they have not seen.
      form: Which of the three.

    Returns:
      [...]; NaN where a member has no number. Where all members agree to the last digit: 1 below zero, 0 at or above it.

    Raises:
      ValueError: If there are fewer than two members ("count" takes one), the form is not known, or the widening is not positive.

    Source:
      Gelman et al., Bayesian Data Analysis (2013), section 3.2: the posterior predictive distribution of a normal sample.
    """
    n = np.shape(stability)[0] if np.ndim(stability) else 0
    if n < (1 if form == "count" else 2):
        raise ValueError(f"{n} members give no spread; the form {form!r} needs at least {1 if form == 'count' else 2}")
    if form not in ("student", "normal", "count"):
        raise ValueError(f"form is {form!r}; allowed: student, normal, count")
    if not isinstance(widening, Tracer) and not (np.asarray(widening) > 0).all():
        raise ValueError(f"widening is {widening}; it must be positive")
    with float64():
        values, factor = jnp.asarray(stability, jnp.float64), jnp.asarray(widening, jnp.float64)
        mean = values.mean(0)
        if form == "count":
            share = (mean[None] + factor * (values - mean[None]) < 0).mean(0, dtype=jnp.float64)
            return jnp.where(jnp.isfinite(mean), share, jnp.nan)
        variance = jnp.sum((values - mean[None]) ** 2, axis=0) / (n - 1)
        agree = variance <= 0
        spread = factor * jnp.sqrt(jnp.where(agree, 1.0, variance))
        at = -mean / spread
        found = ndtr(at) if form == "normal" else _student(at / np.sqrt(1 + 1 / n), n - 1)
        return jnp.where(agree, jnp.where(mean < 0, 1.0, 0.0), found)


@jax.custom_jvp
def _student(t: Array, freedom: Array | int) -> Array:
    """Cumulative distribution of Student's t."""
    tail = 0.5 * betainc(freedom / 2, 0.5, freedom / (freedom + t**2))
    return jnp.where(t > 0, 1 - tail, tail)


@_student.defjvp
def _student_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    t, freedom = primals  # the incomplete beta function has no derivative at t = 0; the distribution has
    scale = jnp.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2)) / jnp.sqrt(freedom * jnp.pi)
    density = scale * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    return _student(t, freedom), density * tangents[0]
