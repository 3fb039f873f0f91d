"""Conformal intervals for a new domain, from errors of models to which the calibration domains were new."""

from __future__ import annotations

import math

import numpy as np

from matjax.config import spec
from matjax.uncertainty.conformal import ROUND, Interval, check_level, conformal_quantile, n_domain_needed, scores, too_few

BOUNDS = ("marginal", "asymptotic", "domain")


@spec
class LeaveDomainOut:
    """Interval for a crystal of a *new* domain, calibrated on errors of models that had not seen the error's domain.

    With K calibration domains,

    - `bound="marginal"`: coverage is at least the level on average over new domains and their crystals. The factor is the
      level-quantile of the scores where every domain has the same weight, 1/(K + 1), shared by its crystals, and the new
      domain's own weight sits at infinity (hierarchical conformal prediction). For few domains that is far out: with 16 the
      0.9-quantile is the 0.956-quantile of what was calibrated on.
    - `bound="asymptotic"`: the same quantile with weights 1/K and nothing at infinity. Coverage lies between level K/(K + 1) and
      (level K + 1)/(K + 1), on average over new domains (the upper end but for a crystal's share of its domain):
      about the level, not at least the level.
    - `bound="domain"`: with probability at least the level over new domains, the factor is no smaller than the one that
      the new domain would calibrate for itself. It has rank ceil((K + 1) * level) among the domains' own factors,
      where a domain too small for one counts as infinite.

    "marginal" and "domain" need ceil(1/(1 - level)) - 1 domains (9 for 90%). With fewer the largest of the domains' own factors is
    taken (never below the pooled one), and `guarantee` says what little that promises. Condition: the new domain is drawn
    like the calibration domains. A domain of another type (a laboratory where anions were calibrated) is outside it.
    Errors come from models that were refitted without the domain, the interval is used with the final model; the theorem
    is for a single model, so the statement is approximate: conservative in that a refitted member saw less data than the
    ensemble, not in that its scale (a latent distance in its own space) need not be comparable.

    Attributes:
      level: Wanted coverage, in (0, 1).
      bound: "marginal", "asymptotic" or "domain".
      floor: Smallest scale as a share of the median calibration scale.

    Source:
      Lee, Barber & Willett (2023), arXiv 2306.06342, hierarchical conformal prediction (marginal; without the mass at infinity it
      is theirs at level K/(K + 1), and exchangeability of K + 1 domains bounds it from above); Dunn, Wasserman & Ramdas (2022),
      arXiv 1809.07441 (sets for two-layer models). Changed: leave-domain-out errors, not a held-out set.
    """

    level: float = 0.9
    bound: str = "marginal"
    floor: float = 0.1

    def __post_init__(self) -> None:
        """Checks level, bound and floor."""
        check_level(self.level, self.floor)
        if self.bound not in BOUNDS:
            raise ValueError(f"bound is {self.bound!r}; allowed: {', '.join(map(repr, BOUNDS))}")

    def fit(self, error: np.ndarray, domain: np.ndarray, scale: np.ndarray | None = None) -> Interval:
        """Calibrates on leave-domain-out errors.

        Args:
          error: Errors [n] of models that were not fitted on the domain of the crystal, in the label's unit. A
            crystal that belongs to several domains (elements) is one row per domain.
          domain: Domain of each error [n].
          scale: Positive scale per crystal [n]; one where left out.

        Returns:
          The interval; its `guarantee` says which bound holds and for how many domains.

        Raises:
          ValueError: If shapes differ, a number is not finite, or all domains together are too few for the level.
        """
        score, floor = scores(error, scale, self.floor)
        names, member = domain_index(domain, len(score))
        own = np.array([conformal_quantile(score[member == d], self.level) for d in range(len(names))])
        factor, guarantee = self._factor(score, member, own)
        return Interval(self.level, float(factor), floor, len(score), guarantee, tuple(zip(names, own.tolist(), strict=True)))

    def _factor(self, score: np.ndarray, member: np.ndarray, own: np.ndarray) -> tuple[float, str]:
        percent, n = f"{100 * self.level:g}%", len(own)
        like = f"new domains drawn like the {n} calibration domains"
        if self.bound == "asymptotic" and n > 1:
            lower, upper = (100 * (self.level * n + one) / (n + 1) for one in (0, 1))
            said = f"about {percent} of crystals of {like}, on average over domains (between {lower:.3g}% and {upper:.3g}%)"
            return domain_quantile(score, member, self.level), said
        if n < n_domain_needed(self.level):
            return self._fallback(score, own)
        if self.bound == "marginal":
            said = f"{percent} of crystals of {like}, on average over domains"
            return domain_quantile(score, member, self.level, at_infinity=1), said
        return conformal_quantile(own, self.level), f"{percent} coverage inside {percent} of {like}"

    def _fallback(self, score: np.ndarray, own: np.ndarray) -> tuple[float, str]:
        """The largest factor of a domain that is large enough, never below the pooled one.

        For the K domains with a finite factor of their own, a new domain's factor is larger than all of theirs with
        probability at most 1/(K + 1); hence coverage of at least level - 1/(K + 1).
        """
        pooled, finite = conformal_quantile(score, self.level), own[np.isfinite(own)]
        if math.isinf(pooled):
            raise ValueError(too_few(len(score), self.level))
        promised = max(self.level - 1 / (len(finite) + 1), 0.0)
        guarantee = (
            f"{len(own)} calibration domains are fewer than the {n_domain_needed(self.level)} that a {100 * self.level:g}% bound over "
            f"domains needs: conservative pooled quantile, only {100 * promised:.3g}% promised for a new domain drawn like them"
        )
        return max([pooled, *finite.tolist()]), guarantee


def domain_index(domain: np.ndarray, n: int) -> tuple[list[str], np.ndarray]:
    """Names of the domains, and the number of each of n errors' domain [n].

    Raises:
      ValueError: If there is not one domain per error.
    """
    names, member = np.unique(np.asarray(domain).astype(str), return_inverse=True)
    if len(member) != n:
        raise ValueError(f"{len(member)} domains for {n} errors; there must be one domain per error")
    return names.tolist(), member


def domain_quantile(score: np.ndarray, member: np.ndarray, level: float, at_infinity: int = 0) -> float:
    """Level-quantile of scores where every domain has the same weight, shared by its crystals, and so many more are infinite.

    Args:
      score: Scores [n].
      member: Number of each score's domain [n].
      level: In (0, 1).
      at_infinity: Domains whose scores are infinite.
    """
    count = np.bincount(member)
    order = np.argsort(score)
    mass = np.cumsum((1 / count[member])[order]) / ((count > 0).sum() + at_infinity)
    return float(np.append(score[order], np.inf)[np.searchsorted(mass, level - ROUND)])
