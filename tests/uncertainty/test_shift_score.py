"""Shift scores: written out, and better than each of their parts where each is blind to something."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from matjax.stress_test.metrics import auroc
from matjax.uncertainty.shift_score import Combination, ErrorProbability


def test_combination_is_the_sum_of_z_scores_and_takes_the_best_of_both():
    """Near the data only the spread knows the error, far out only the distance does."""
    rng = np.random.default_rng(0)
    distance, spread = rng.gamma(4.0, size=2000), rng.gamma(2.0, size=2000)
    fitted = Combination(quantile=0.9).fit(distance, spread)
    z = lambda x: (x - np.median(x)) / (np.quantile(x, 0.9) - np.median(x))
    np.testing.assert_allclose(fitted.score(distance, spread), z(distance) + z(spread), rtol=1e-12)
    far = np.arange(2000) >= 1000
    distance, spread = np.where(far, distance + 20, distance), np.where(far, np.median(spread), spread)
    error = np.where(far, 5.0, spread * np.abs(rng.normal(size=2000)))
    bad = error > 2.0
    combined = auroc(fitted.score(distance, spread), bad)
    assert combined > auroc(distance, bad) + 0.02
    assert combined > auroc(spread, bad) + 0.1


def test_a_single_model_has_no_spread_and_the_distance_stays():
    distance = np.random.default_rng(0).gamma(4.0, size=100)
    fitted = Combination().fit(distance, np.zeros(100))
    assert (np.argsort(fitted.score(distance, np.zeros(100))) == np.argsort(distance)).all()


def blind_spots(rng, n_domain, shift=0.0):
    """Errors that grow with distance and with spread, a third part that knows nothing, and domains of very different sizes."""
    size = rng.integers(20, 120, size=n_domain)
    domain = np.repeat(np.arange(n_domain), size)
    far = np.repeat(rng.gamma(2.0, size=n_domain) + shift, size)
    distance, spread = far * rng.gamma(20.0, 0.05, size=len(far)), rng.gamma(2.0, 0.5, size=len(far))
    error = (0.2 + 0.5 * distance) * spread * rng.normal(size=len(far))
    return error, domain, {"distance": distance, "spread": spread, "noise": rng.gamma(2.0, size=len(far))}


def test_error_probability_learned_on_left_out_domains_beats_its_parts_on_new_ones():
    rng = np.random.default_rng(0)
    error, domain, parts = blind_spots(rng, 15)
    inside = 0.5 * rng.normal(size=500)
    fitted = ErrorProbability().fit(parts, error, domain, inside)
    new, _, seen = blind_spots(rng, 30, shift=1.0)
    large = np.abs(new) > np.quantile(np.abs(inside), 0.9)
    found = auroc(fitted.score(seen), large)
    assert found > max(auroc(column, large) for column in seen.values()) + 0.03
    assert found > auroc(Combination().fit(parts["distance"], parts["spread"]).score(seen["distance"], seen["spread"]), large)
    assert abs(fitted.probability(seen).mean() - large.mean()) < 0.1
    assert fitted.coefficient[2] < 0.2 * fitted.coefficient[:2].min()


def test_error_probability_is_scikit_learns_where_no_sign_is_forced():
    rng = np.random.default_rng(1)
    error, _, parts = blind_spots(rng, 12)
    parts = {name: parts[name] for name in ("distance", "spread")}
    domain, inside = np.arange(len(error)) % 2, 0.5 * rng.normal(size=500)  # two domains of like size: weights about one
    error, parts = error[: len(error) // 2 * 2], {name: column[: len(error) // 2 * 2] for name, column in parts.items()}
    fitted = ErrorProbability(strength=1e-6).fit(parts, error, domain[: len(error)], inside)
    design = np.stack([np.log1p(c / np.median(c)) for c in parts.values()], 1)
    oracle = LogisticRegression(C=1e8, tol=1e-8, max_iter=1000).fit(design, np.abs(error) > np.quantile(np.abs(inside), 0.9))
    np.testing.assert_allclose(fitted.coefficient, oracle.coef_[0], rtol=1e-2)
    np.testing.assert_allclose(fitted.score(parts), oracle.decision_function(design), atol=0.02)


def test_further_is_never_safer_and_never_saturates():
    rng = np.random.default_rng(2)
    error, domain, parts = blind_spots(rng, 12)
    parts["wrong way"] = 1 / (0.1 + np.abs(error))  # high where errors are small
    fitted = ErrorProbability().fit(parts, error, domain, 0.5 * rng.normal(size=200))
    assert fitted.coefficient[-1] == 0.0 and (fitted.coefficient >= 0).all()
    far = [fitted.score({name: np.full(1, 10.0**k * (name == "distance") + 1) for name in parts})[0] for k in range(1, 7)]
    assert (np.diff(far) > 0.1).all()


def test_a_part_that_is_zero_everywhere_says_nothing():
    rng = np.random.default_rng(3)
    error, domain, parts = blind_spots(rng, 12)
    inside = 0.5 * rng.normal(size=200)
    without, silent = ErrorProbability().fit(parts, error, domain, inside), parts | {"spread of one model": np.zeros(len(error))}
    np.testing.assert_allclose(ErrorProbability().fit(silent, error, domain, inside).score(silent), without.score(parts), atol=1e-3)


def test_errors_say_what_came():
    rng = np.random.default_rng(0)
    error, domain, parts = blind_spots(rng, 12)
    fit = ErrorProbability().fit
    with pytest.raises(ValueError, match="errors are large; to tell them apart both kinds are needed"):
        fit(parts, error, domain, np.full(20, 1e9))
    with pytest.raises(ValueError, match="errors contain NaN"):
        fit(parts, np.full(len(error), np.nan), domain, np.ones(20))
    with pytest.raises(ValueError, match="part 'distance' must be"):
        fit(parts | {"distance": -parts["distance"]}, error, domain, np.ones(20))
    with pytest.raises(ValueError, match="missing: noise"):
        fit(parts, error, domain, 0.1 * np.ones(20)).score({name: parts[name] for name in ("distance", "spread")})
    with pytest.raises(ValueError, match="no parts were given"):
        fit({}, error, domain, np.ones(20))
    with pytest.raises(ValueError, match="both must be"):
        Combination().fit(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="quantile is 2"):
        Combination(quantile=2.0)
