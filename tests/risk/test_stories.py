"""Small worlds with a known law, where each robust risk must beat ERM on the domain it was made for."""

import numpy as np
import pytest

from matjax.risk import DANN, IRM, MMD, RSD, Balance, ConditionalDANN, Coral, DareGram, GroupDRO, LowDensity, Risk, VREx


def mean_square_error(predict, x, y):
    return float(np.mean((predict(x)[0] - y) ** 2))


@pytest.mark.parametrize("risk", [Risk(GroupDRO(0.05)), Risk(weights=Balance())], ids=["GroupDRO", "Balance"])
def test_the_minority_domain_is_heard(train, risk):
    """A line through a parabola must choose a side: ERM chooses that of 190 crystals, against the 10 on the other."""
    random = np.random.default_rng(0)

    def draw(n, centre):
        x = random.normal(size=(n, 1)) + centre
        return x, x[:, 0] ** 2 / 2

    (x0, y0), (x1, y1), minority = draw(190, -1.0), draw(10, 1.5), draw(1000, 1.5)
    data = np.concatenate([x0, x1]), np.concatenate([y0, y1]), np.repeat([0, 1], [190, 10])
    plain, robust = (train(r, *data, steps=500, rate=0.03) for r in (Risk(), risk))
    assert mean_square_error(robust, *minority) < 0.5 * mean_square_error(plain, *minority)


@pytest.mark.parametrize("base", [VREx(30.0), IRM(30.0, warmup=100.0)], ids=["VREx", "IRM"])
def test_invariance_lets_go_of_a_spurious_feature(train, base):
    """One feature causes y; the other is y plus noise that differs by domain, and turns its sign in the unseen one."""
    random = np.random.default_rng(0)

    def draw(n, noise, sign=1.0):
        cause = random.normal(size=n)
        y = cause + 0.7 * random.normal(size=n)
        return np.stack([cause, sign * y + noise * random.normal(size=n)], 1), y

    (x0, y0), (x1, y1), unseen = draw(300, 0.2), draw(300, 1.0), draw(2000, 1.0, -1.0)
    data = np.concatenate([x0, x1]), np.concatenate([y0, y1]), np.repeat([0, 1], 300)
    plain, robust = (train(r, *data, steps=500, rate=0.03) for r in (Risk(), Risk(base)))
    assert mean_square_error(robust, *unseen) < 0.7 * mean_square_error(plain, *unseen)


def nuisance(shift):
    """A nuisance tells y in the source and sits elsewhere in the unlabelled target, whose labels are higher by the shift."""
    random = np.random.default_rng(1)

    def draw(n, target):
        cause = random.normal(size=n) + shift * target
        y = cause + 0.5 * random.normal(size=n)
        return np.stack([cause, 0.3 * random.normal(size=n) + (3.0 if target else y)], 1), y

    (x0, y0), (x1, _), unseen = draw(200, False), draw(200, True), draw(1000, True)
    domain = np.repeat([0, 1], 200)
    data = {"x": np.concatenate([x0, x1]), "y": np.concatenate([y0, np.full(200, 1e3)]), "domain": domain, "labelled": domain == 0}
    return {**data, "widths": (8,)}, unseen


SLOW = {"rate": 0.003, "steps": 800}
ALIGNMENTS = [
    (Coral(10.0), 0.0, {}),
    (RSD(10.0), 0.0, {}),
    (DANN(10.0, warmup=200.0, hidden=16), 0.0, SLOW),
    pytest.param(MMD(10.0), 0.0, {}, marks=pytest.mark.slow),
    pytest.param(DareGram(30.0), 1.0, {}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("penalty", "shift", "pace"), ALIGNMENTS, ids=["Coral", "RSD", "DANN", "MMD", "DareGram"])
def test_alignment_drops_a_feature_that_moves(train, penalty, shift, pace):
    """The labels are alike in source and target, or nearly so."""
    data, unseen = nuisance(shift)
    plain, robust = (train(r, **data, **pace) for r in (Risk(), Risk() + penalty))
    assert mean_square_error(robust, *unseen) < 0.5 * mean_square_error(plain, *unseen)


@pytest.mark.slow
def test_alignment_by_label_bins_survives_a_shift_of_the_labels(train):
    """Where the target's labels are two deviations higher, DANN forgets the cause with the nuisance; conditional DANN keeps it."""
    data, unseen = nuisance(2.0)
    settings = {"warmup": 200.0, "hidden": 16}
    risks = Risk(), Risk() + DANN(10.0, **settings), Risk() + ConditionalDANN(10.0, **settings)
    plain, blind, conditional = (mean_square_error(train(r, **data, **SLOW), *unseen) for r in risks)
    assert conditional < plain < blind
    assert conditional < 0.6 * blind


def disc(n_target):
    """A disc of labelled points and a ring of target points around it; directions, and crystals inside that nobody saw."""
    random = np.random.default_rng(2)

    def draw(n):
        x = 0.5 * random.normal(size=(n, 2))
        return x, np.sin(2 * x[:, 0]) + 0.2 * random.normal(size=n)

    angle = random.uniform(0, 2 * np.pi, 200)
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    (x, y), inside = draw(400), draw(2000)
    data = {
        "x": np.concatenate([x, (around * random.uniform(2, 4, (200, 1)))[:n_target]]),
        "y": np.concatenate([y, np.full(n_target, 1e3)]),
        "domain": np.repeat([0, 1], [400, n_target]),
        "labelled": np.arange(400 + n_target) < 400,
    }
    return {**data, "widths": (16, 16), "nll": True, "n_domain": 2, "steps": 400, "rate": 0.01, "decay": 0.01}, around, inside


def deviations(predict, around, radii):
    """Median predicted standard deviation at each distance from the centre."""
    return [float(np.median(np.exp(0.5 * predict(radius * around)[1]))) for radius in radii]


def likelihood(predict, inside):
    mean, log_variance, _ = predict(inside[0])
    return float(np.mean(0.5 * ((mean - inside[1]) ** 2 * np.exp(-log_variance) + log_variance)))


@pytest.mark.parametrize("with_target", [True, False], ids=["target crystals", "no target crystals"])
def test_doubt_grows_with_distance_and_costs_nothing_inside(train, with_target):
    """Predicted deviation outside a disc of training data: it must grow, cover the error better, and leave the likelihood inside alone."""
    settings, around, inside = disc(200 * with_target)
    penalty = LowDensity(1.0, decay=0.95) if with_target else LowDensity(10.0, margin=1.0, decay=0.95)
    plain, robust = (train(r, **settings) for r in (Risk(), Risk() + penalty))
    grown = deviations(robust, around, (0.5, 2.0, 3.0, 4.0))
    assert all(a < b for a, b in zip(grown[:-1], grown[1:], strict=True))
    assert grown[-1] > 2 * grown[0]
    assert grown[2] > 1.5 * deviations(plain, around, (3.0,))[0]
    assert likelihood(robust, inside) < likelihood(plain, inside) + 0.05


@pytest.mark.slow
def test_doubt_survives_an_alignment_that_hides_distance(train):
    """CORAL maps far target crystals onto the training features: doubt by features alone is flat, fixed inputs still show the distance."""
    settings, around, inside = disc(200)
    risk = Risk() + Coral(10.0) + LowDensity(1.0, decay=0.95)
    collapsed, protected = (train(risk, **settings, with_inputs=inputs) for inputs in (False, True))
    flat, grown = (deviations(predict, around, (0.5, 1.0, 2.0, 3.0, 4.0, 6.0)) for predict in (collapsed, protected))
    assert max(flat) < 1.3 * flat[0]
    assert all(a < b for a, b in zip(grown[:-1], grown[1:], strict=True))
    assert grown[-2] > 2 * grown[0]
    assert likelihood(protected, inside) < likelihood(collapsed, inside) + 0.05
