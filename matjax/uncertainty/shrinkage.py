"""Linear regression on few points that decides by itself how far to believe them: shrinkage averaged over its strengths."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp

WIDTHS = (0.0, 0.1, 0.4, 2.0, 10.0)
"""Prior standard deviations of a coefficient that are weighed against each other, in units of the noise; 0 leaves it out."""


class Shrunken(NamedTuple):
    """A regression whose coefficients are averaged over strengths of shrinkage.

    Attributes:
      coefficient: Posterior mean [n_column].
      covariance: Posterior covariance [n_column, n_column].
      noise: Standard deviation of what the columns do not explain.
      left_out: Error at each point (value minus prediction) of the regression on the other points [n].
      weight: {prior width of every group: posterior probability}.
    """

    coefficient: np.ndarray
    covariance: np.ndarray
    noise: float
    left_out: np.ndarray
    weight: dict[tuple[float, ...], float]

    def predict(self, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, noise included, of rows of columns [n, n_column]."""
        return design @ self.coefficient, np.sqrt(self.noise**2 + np.einsum("ij,jk,ik->i", design, self.covariance, design))


class _Fit(NamedTuple):
    """The regression at one prior width per group: all in closed form."""

    coefficient: np.ndarray
    covariance: np.ndarray
    variance: float
    left_out: np.ndarray
    evidence: float
    evidence_left_out: np.ndarray


def shrunken(design: np.ndarray, value: np.ndarray, group: np.ndarray, *, expected: float, prior_count: float = 1.0) -> Shrunken:
    """Regresses values on columns, with coefficients drawn to zero as strongly as the values themselves suggest.

    value = design @ coefficient + noise, coefficient_j ~ N(0, (width[group_j] noise)²), noise² ~ scaled inverse chi-squared
    (prior_count, expected²). Given the widths everything is closed form, and so is the evidence, by which all combinations of
    `WIDTHS` are averaged. One value that is no larger than `expected` moves little; many that agree are followed. Leave-one-out
    errors are exact: the evidence without a point is the evidence divided by its predictive density.

    Args:
      design: Columns [n, n_column].
      value: Values [n].
      group: Group of every column [n_column], 0 to n_group - 1; a group shares its width.
      expected: Size of the noise that is expected before any value is seen, positive.
      prior_count: Number of values that this expectation is worth.

    Source:
      Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., sections 14.2 and 14.8 (conjugate regression); Hoeting et al. (1999),
      Statist. Sci. 14, 382 (averaging over models); Sundararajan & Keerthi (2001), Neural Comput. 13, 1103 (leave-one-out).
    """
    choices = list(product(WIDTHS, repeat=int(group.max()) + 1))
    fits = [_fit(design, value, np.array(choice)[group], expected, prior_count) for choice in choices]
    weight = _normalised(np.array([fit.evidence for fit in fits]))
    weight_left_out = _normalised(np.stack([fit.evidence_left_out for fit in fits]))
    each = np.stack([fit.coefficient for fit in fits])
    mean = weight @ each
    between = (weight[:, None] * (each - mean)).T @ (each - mean)
    return Shrunken(
        coefficient=mean,
        covariance=between + np.einsum("f,fij->ij", weight, np.stack([fit.covariance for fit in fits])),
        noise=float(np.sqrt(weight @ np.array([fit.variance for fit in fits]))),
        left_out=(weight_left_out * np.stack([fit.left_out for fit in fits])).sum(0),
        weight=dict(zip(choices, weight.tolist(), strict=True)),
    )


def _fit(design: np.ndarray, value: np.ndarray, width: np.ndarray, expected: float, prior_count: float) -> _Fit:
    n, used = len(value), (width > 0) & design.any(0)  # a column without a value keeps its prior
    x = design[:, used]
    factor = cho_factor(x.T @ x + np.diag(width[used] ** -2.0), lower=True) if used.any() else (np.zeros((0, 0)), True)
    solve = (lambda b: cho_solve(factor, b)) if used.any() else (lambda b: b)
    coefficient, inverse = solve(x.T @ value), solve(np.eye(int(used.sum())))
    total = prior_count * expected**2 + float(value @ (value - x @ coefficient))
    log_det = 2 * np.log(np.diag(factor[0])).sum() + 2 * np.log(width[used]).sum()
    free = 1 - np.einsum("ij,jk,ik->i", x, inverse, x)  # 1 - leverage
    left_out = (value - x @ coefficient) / free
    total_left_out = total - left_out**2 * free
    every, others = prior_count + n, prior_count + n - 1
    whole, covariance = np.zeros(len(width)), np.diag(total / every * width**2)
    whole[used], covariance[np.ix_(used, used)] = coefficient, total / every * inverse
    return _Fit(
        coefficient=whole,
        covariance=covariance,
        variance=total / every,
        left_out=left_out,
        evidence=-log_det / 2 - every / 2 * np.log(total),
        evidence_left_out=-log_det / 2 - np.log(free) / 2 - others / 2 * np.log(total_left_out),
    )


def _normalised(log_weight: np.ndarray) -> np.ndarray:
    """Weights that sum to one over the first axis."""
    return np.exp(log_weight - logsumexp(log_weight, axis=0, keepdims=True))
