"""The certificate: each measure against a naive one, and its class on real splits."""

import jax
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from matjax.stress_test.certificate import (
    EXTRAPOLATIVE_BEYOND,
    INTERPOLATIVE_AUC,
    INTERPOLATIVE_BEYOND,
    beyond_p99,
    certify,
    certify_latent,
    classify,
    composition_similarity,
    label_shift,
    two_sample,
)
from matjax.types import Crystal


def triclinic(seed=0, n_atom=4):
    rng = np.random.default_rng(seed)
    lattice = 4.0 * np.eye(3) + rng.normal(scale=0.4, size=(3, 3))
    return Crystal(lattice, rng.random((n_atom, 3)) @ lattice, np.array([26, 8, 8, 3])[:n_atom])


def test_beyond_is_a_naive_loop():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(80, 3)), 1.5 * rng.normal(size=(40, 3))
    within = [min(np.linalg.norm(a - b) for j, b in enumerate(train) if j != i) for i, a in enumerate(train)]
    outside = [min(np.linalg.norm(a - b) for b in train) for a in test]
    assert beyond_p99(train, test) == np.mean(outside > np.quantile(within, 0.99))


def test_nothing_shifted_gives_one_percent_and_half():
    rng = np.random.default_rng(0)
    beyond = [beyond_p99(rng.normal(size=(400, 5)), rng.normal(size=(400, 5))) for _ in range(40)]
    assert np.mean(beyond) == pytest.approx(0.01, abs=0.004)
    auc, ess = two_sample(rng.normal(size=(500, 5)), rng.normal(size=(500, 5)))
    assert auc == pytest.approx(0.5, abs=0.04)
    assert ess > 0.8


def test_two_sample_separates_what_is_separate_and_leaves_no_sample():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(300, 5))
    aucs, sizes = zip(
        *[two_sample(train, rng.normal(size=(300, 5)) + np.array([shift, 0, 0, 0, 0])) for shift in (0.0, 1.0, 6.0)], strict=True
    )
    assert aucs[0] < aucs[1] < aucs[2]
    assert aucs[2] > 0.99
    assert sizes[0] > sizes[1]
    assert sizes[1] == pytest.approx(np.exp(-1.0), abs=0.2)  # of a Gaussian shifted by one: 1 / E[w^2] = exp(-shift^2)


def test_similarity_is_the_largest_shared_fraction():
    rng = np.random.default_rng(0)
    train, test = rng.dirichlet(np.ones(6), 30), rng.dirichlet(np.ones(6), 10)
    naive = [max(sum(min(a, b) for a, b in zip(f, g, strict=True)) for g in train) for f in test]
    np.testing.assert_allclose(composition_similarity(train, test), naive)


def test_label_shift_is_in_units_of_the_training_spread():
    train = np.random.default_rng(0).normal(size=300)
    assert label_shift(train, train + 2.5 * train.std()) == pytest.approx(2.5)
    assert label_shift(train, train[:100]) == pytest.approx(wasserstein_distance(train, train[:100]) / np.std(train))


def test_classes_by_their_thresholds():
    assert classify(0.5, 0.01) == "interpolative"
    assert classify(INTERPOLATIVE_AUC, 0.01) == "partial"
    assert classify(0.5, INTERPOLATIVE_BEYOND) == "partial"
    assert classify(1.0, 0.01) == "partial"
    assert classify(0.5, EXTRAPOLATIVE_BEYOND) == "extrapolative"


@pytest.fixture(scope="module")
def certificates(flla):
    """Real splits, up to 1,000 training and 400 test crystals each."""
    target = flla.labels["formation_energy_per_atom"]
    order = np.random.default_rng(0).permutation(len(flla))
    has = lambda z: np.array([z in crystal.numbers for crystal in flla.crystals])[order]
    outside = {"random": np.arange(len(flla)) < 400, "fluorine": has(9), "oxygen": has(8), "iron": has(26)}

    def one(mask):
        train, test = order[~mask][:1000], order[mask][:400]
        pick = lambda rows: [flla.crystals[i] for i in rows]
        return certify(pick(train), pick(test), train_target=target[train], test_target=target[test], key=jax.random.key(0))

    return {name: one(mask) for name, mask in outside.items()}


def test_real_splits_are_classed_as_their_errors_say(certificates):
    """Matched degradation of composition trees: random 1.0, iron 1.2, oxygen 3.0, fluorine 4.1."""
    assert {name: c.certificate for name, c in certificates.items()} == {
        "random": "interpolative",
        "iron": "partial",
        "oxygen": "extrapolative",
        "fluorine": "extrapolative",
    }


def test_real_measures_are_ordered(certificates):
    random, iron, fluorine = certificates["random"], certificates["iron"], certificates["fluorine"]
    assert random.two_sample_auc < 0.6 < 0.9 < iron.two_sample_auc <= fluorine.two_sample_auc
    assert random.beyond_p99 < iron.beyond_p99 < fluorine.beyond_p99
    assert random.label_shift < 0.15 < 1.0 < fluorine.label_shift
    assert random.similarity > iron.similarity > fluorine.similarity
    assert random.ess > iron.ess > fluorine.ess
    assert all(c.beyond_p99 == max(c.beyond_composition, c.beyond_structure) for c in certificates.values())


def test_held_out_element_is_never_similar(certificates, flla):
    """A compound with a fraction f of an unseen element shares at most 1 - f with any training composition."""
    fraction = np.array([np.mean(c.numbers == 9) for c in flla.crystals])
    assert certificates["fluorine"].similarity <= 1 - fraction[fraction > 0].min()


def test_same_key_same_certificate_and_too_few_is_said():
    crystals = [triclinic(seed) for seed in range(40)]
    assert certify(crystals[:25], crystals[25:], key=jax.random.key(1)) == certify(crystals[:25], crystals[25:], key=jax.random.key(1))
    assert certify(crystals[:25], crystals[25:], key=jax.random.key(1)).label_shift is None
    with pytest.raises(ValueError, match="5 training and 35 test crystals"):
        certify(crystals[:5], crystals[5:], key=jax.random.key(1))


def test_absent_labels_take_no_part_in_the_label_shift():
    train, test = np.array([0.0, 2.0, np.nan]), np.array([1.0, 3.0])
    assert label_shift(train, test) == label_shift(train[:2], test) == 1.0
    assert label_shift(train, np.full(4, np.nan)) is None and label_shift(np.full(3, np.nan), test) is None


def test_latent_measures_follow_the_distance_and_no_scale():
    rng, scale = np.random.default_rng(0), np.array([1.0, 1e-3, 1e3])
    train, alike = scale * rng.normal(size=(200, 3)), scale * rng.normal(size=(100, 3))
    far, collapsed = alike + 8 * scale, np.repeat(train[:1], 100, 0)
    same, away = (certify_latent(train, test, key=jax.random.key(0)) for test in (alike, far))
    assert abs(same.two_sample_auc_latent - 0.5) < 0.1 and same.beyond_latent < 0.05 and same.ess_latent > 0.7
    assert away.two_sample_auc_latent > 0.99 and away.beyond_latent == 1.0 and away.ess_latent < same.ess_latent
    assert certify_latent(train, collapsed, key=jax.random.key(0)).beyond_latent == 0.0


def test_latent_features_that_cannot_be_compared_are_refused():
    train, test = np.zeros((30, 4)), np.zeros((30, 3))
    for sides, message in (((train, test), "of one model"), ((train[:5], train), "5 training"), ((train, train * np.nan), "not finite")):
        with pytest.raises(ValueError, match=message):
            certify_latent(*sides, key=jax.random.key(0))
