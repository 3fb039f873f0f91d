"""Statistics of a stress test: the domain is the unit, ratios of errors are compared in the logarithm.

Several seeds on one domain say how much training scatters; only several domains say what another domain would give. Every
function therefore takes one number per domain: the log-ratio of two methods' errors on the same crystals, averaged over
seeds that were paired (same split, same seed). Below zero the first method is better.
"""

from __future__ import annotations

import math
import warnings

import jax
import numpy as np
from scipy import optimize, stats

from matjax.keys import generator

BATCH = 500
"""Draws of `crossed_interval` at a time: bounds the memory."""


def wilcoxon(log_ratios: np.ndarray) -> float:
    """Two-sided p of the Wilcoxon signed-rank test that the log-ratios [n_domain] are symmetric about zero.

    Zeros (a search that chose strength 0 gives the reference itself) count as such: they are ranked, and say nothing for
    either side. With n domains p cannot fall below 2^(1 - n): five domains never reach 0.05.

    Source:
      Wilcoxon (1945); Pratt (1959) for zeros; by `scipy.stats.wilcoxon`.
    """
    values = _domains(log_ratios)
    if not np.any(values):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few domains with ties: the normal approximation is what there is
        return float(np.asarray(stats.wilcoxon(values, zero_method="pratt"))[1])


def fewest_domains(level: float = 0.95) -> int:
    """Domains from which on the signed-rank test can reject at all: the smallest n with 2^(1 - n) < 1 - level."""
    return math.floor(1 - math.log2(1 - level)) + 1


def equivalence(log_ratios: np.ndarray, margin: float = 0.03) -> float:
    """P of two one-sided t-tests that the mean log-ratio lies outside (-log(1 + margin), log(1 + margin)).

    Small where two methods are equal for practical purposes: "no better" is then a finding, not a failure to find.

    Args:
      log_ratios: One per domain [n_domain], two or more.
      margin: Largest relative difference that counts as none.

    Source:
      Schuirmann (1987), J. Pharmacokin. Biopharm. 15, 657 (TOST).
    """
    if not margin > 0:
        raise ValueError(f"margin={margin} of an equivalence test; give a positive one, such as 0.03")
    values, bound = _domains(log_ratios), math.log1p(margin)
    if np.ptp(values) < 1e-12:
        return 0.0 if abs(values.mean()) < bound else 1.0
    error, df = values.std(ddof=1) / math.sqrt(len(values)), len(values) - 1
    return float(max(stats.t.sf((values.mean() + bound) / error, df), stats.t.cdf((values.mean() - bound) / error, df)))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values [n] adjusted for n tests: the chance of one false finding among them all stays below the level.

    Source:
      Holm (1979), Scand. J. Stat. 6, 65: max over the smaller ones of (n - rank) p, rank from 0, at most 1.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    return np.minimum(adjusted, 1.0)[np.argsort(order)]


def detectable_effect(spread: float, n_domain: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest mean log-ratio that n domains of this spread would find with the given power, by a two-sided t-test.

    With spread 0.10: 0.060 at 24 domains, 0.072 at 17, 0.127 at 7. Fewer domains than a claim needs cannot support it.

    Args:
      spread: Standard deviation of the log-ratios over domains.
      n_domain: Domains, two or more.
      level: 1 - the chance of a false finding.
      power: Chance of finding an effect of this size.
    """
    if n_domain < 2:
        raise ValueError(f"{n_domain} domains have no spread; an effect over domains needs two or more")
    if not spread > 0:
        return 0.0
    df = n_domain - 1
    critical = stats.t.ppf(0.5 + level / 2, df)
    missed = lambda shift: stats.nct.sf(critical, df, shift) - power
    shift = optimize.root_scalar(missed, bracket=(0.0, 2 * critical + 20)).root
    return float(shift) * spread / math.sqrt(n_domain)


def crossed_interval(
    error: np.ndarray,
    reference: np.ndarray,
    unit: np.ndarray,
    domain: np.ndarray,
    cluster: np.ndarray,
    *,
    level: float = 0.95,
    n_draw: int = 10_000,
    key: jax.Array,
) -> tuple[float, float, float]:
    """exp(mean log-ratio of mean absolute errors) over domains that share materials, with its interval.

    Elements held out in turn are not independent: every crystal of Fe and Co is in both tests. Domains *and* clusters
    (chemical systems) are therefore drawn again, each with its own counts, and every error is weighted by their product.
    Conservative where the two factors do not interact.

    Args:
      error: Absolute errors [n], one per crystal, domain and seed.
      reference: Of the other method, on the same [n].
      unit: Which fit an error belongs to: domain and seed [n].
      domain: The domain [n]; one per unit.
      cluster: The chemical system [n].
      level: Of the interval.
      n_draw: Bootstrap draws.
      key: Random key.

    Returns:
      The ratio and both ends.

    Source:
      Owen (2007), The pigeonhole bootstrap, Ann. Appl. Stat. 1, 386; percentile interval.
    """
    units, unit = np.unique(unit, return_inverse=True)
    clusters, cluster = np.unique(cluster, return_inverse=True)
    place, n_cluster = unit * len(clusters) + cluster, len(clusters)
    sums = [np.bincount(place, e, len(units) * n_cluster).reshape(len(units), n_cluster) for e in (error, reference)]
    of_unit = np.asarray(domain)[np.unique(unit, return_index=True)[1]]
    domains, of_unit, n_seed = np.unique(of_unit, return_inverse=True, return_counts=True)
    share = 1.0 / n_seed[of_unit]
    draw, found = generator(key), []
    for _ in range(math.ceil(n_draw / BATCH)):
        by_cluster = draw.multinomial(n_cluster, np.full(n_cluster, 1 / n_cluster), BATCH)
        by_domain = draw.multinomial(len(domains), np.full(len(domains), 1 / len(domains)), BATCH)
        ours, theirs = (by_cluster @ s.T for s in sums)
        weight = by_domain[:, of_unit] * share * (theirs > 0) * (ours > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio = np.where(weight > 0, np.log(ours / theirs), 0.0)
            found.append((weight * log_ratio).sum(1) / weight.sum(1))
    draws = np.concatenate(found)[:n_draw]
    centre = np.average(np.log(sums[0].sum(1) / sums[1].sum(1)), weights=share)
    low, high = np.nanquantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return float(np.exp(centre)), float(np.exp(low)), float(np.exp(high))


def _domains(log_ratios: np.ndarray) -> np.ndarray:
    values = np.asarray(log_ratios, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"log-ratios of shape {values.shape}; a test over domains needs two or more finite ones")
    return values
