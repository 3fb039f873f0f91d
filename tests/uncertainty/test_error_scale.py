"""The scale of intervals of new domains: powers recovered from a known law, a naive cost, and narrower intervals at equal coverage."""

import numpy as np
import pytest

from matjax.uncertainty import ErrorScale, FittedErrorScale, LeaveDomainOut
from matjax.uncertainty.error_scale import _cost
from matjax.uncertainty.leave_domain_out import domain_quantile


def domains(rng, n_domain, n_crystal=60):
    """|Error| grows as sqrt(distance) times the square root of the local error; domains differ in how far they are."""
    domain = np.repeat(np.arange(n_domain), n_crystal)
    parts = {
        "distance": np.repeat(rng.gamma(3.0, size=n_domain), n_crystal) * rng.gamma(5.0, 0.2, size=len(domain)),
        "local error": rng.gamma(3.0, size=len(domain)),
        "nothing": rng.gamma(3.0, size=len(domain)),
    }
    return np.sqrt(parts["distance"] * parts["local error"]) * rng.normal(size=len(domain)), domain, parts


def test_the_powers_of_the_law_are_found():
    found = ErrorScale().fit(*domains(np.random.default_rng(0), 40))
    assert found.powers == {"distance": 0.5, "local error": 0.5, "nothing": 0.0}


def test_the_cost_is_its_naive_loop():
    error, domain, parts = domains(np.random.default_rng(1), 5, 12)
    scale, level = np.maximum(parts["distance"], 0.3 * np.median(parts["distance"])), 0.9
    naive = []
    for d in range(5):
        mine = domain == d
        factor = domain_quantile(np.abs(error[~mine]) / scale[~mine], np.unique(domain[~mine], return_inverse=True)[1], level)
        half = factor * scale[mine]
        naive.append(np.mean(2 * half + 20 * np.maximum(np.abs(error[mine]) - half, 0)))
    assert _cost(error, domain, parts["distance"], level, 0.3) == pytest.approx(np.mean(naive))


def test_domains_are_covered_alike_with_narrower_intervals():
    """What the scale is for: far domains are covered as well as near ones, and the mean width falls."""
    rng = np.random.default_rng(2)
    error, domain, parts = domains(rng, 40)
    chosen = ErrorScale().fit(error, domain, parts)
    new, new_domain, seen = domains(rng, 200, 400)
    spec, worst, width = LeaveDomainOut(0.9, bound="asymptotic"), {}, {}
    for name, scale in {"none": FittedErrorScale({"distance": 0.0}), "chosen": chosen}.items():
        half = spec.fit(error, domain, scale.scale(parts)).half_width(scale.scale(seen))
        covered = np.bincount(new_domain, np.abs(new) <= half) / 400
        worst[name], width[name] = np.mean(covered < 0.85), half.mean()
        assert covered.mean() == pytest.approx(0.9, abs=0.03)
    assert worst["chosen"] < 0.05 and worst["none"] > 0.2 and width["chosen"] < 0.95 * width["none"]


def test_errors_say_what_came():
    error, domain, parts = domains(np.random.default_rng(0), 4, 12)
    with pytest.raises(ValueError, match="2 calibration domains; choosing a scale leaves one out in turn and needs three"):
        ErrorScale().fit(error, domain // 2, parts)
    with pytest.raises(ValueError, match="values of part 'distance' are negative or NaN"):
        ErrorScale().fit(error, domain, parts | {"distance": -parts["distance"]})
    with pytest.raises(ValueError, match="48 of 48 calibration errors are not finite"):
        ErrorScale().fit(np.full(48, np.nan), domain, parts)
    with pytest.raises(ValueError, match="missing: local error"):
        FittedErrorScale({"distance": 1.0, "local error": 0.5}).scale({"distance": np.ones(3)})
