"""Reference energies: exact in the limit, finite and sensible for elements never seen, float64."""

import numpy as np
import pytest

from matjax.data.elements import physical_features
from matjax.thermo import fit_references
from matjax.thermo.references import FREE, PHYSICAL
from matjax.types import Crystal, Dataset


def linear(flla: Dataset, n: int):
    """Crystals whose label is the mean of a constant per element."""
    truth = np.random.default_rng(0).normal(size=119)
    crystals = flla.crystals[:n]
    return truth, crystals, np.array([truth[c.numbers].mean() for c in crystals])


def test_exact_on_composition_linear_data_in_the_limit_of_many_crystals(flla: Dataset) -> None:
    truth, crystals, labels = linear(flla, 400)
    errors = []
    for copies in (1, 100):  # the prior is fixed per crystal: strength per crystal counts, not their number
        found = fit_references(crystals * copies, np.tile(labels, copies))
        errors.append(np.abs(found.per_atom(crystals) - labels).max())
    assert errors[0] == pytest.approx(errors[1], rel=1e-6), "copies of the data change nothing"
    pure = tuple(Crystal(3 * np.eye(3), np.zeros((1, 3)), np.array([z])) for z in (3, 8, 11, 17, 26))
    exact = fit_references(pure, truth[[3, 8, 11, 17, 26]], physical=False)
    centred = truth[[3, 8, 11, 17, 26]] - truth[[3, 8, 11, 17, 26]].mean()
    shrunk = truth[[3, 8, 11, 17, 26]].mean() + centred / (1 + 5 * FREE)  # ridge on an orthogonal design, written out
    np.testing.assert_allclose(exact.energies[[3, 8, 11, 17, 26]], shrunk, rtol=1e-10)


def test_is_the_ridge_regression_it_says(flla: Dataset) -> None:
    _, crystals, labels = linear(flla, 120)
    labels = labels + np.random.default_rng(1).normal(size=len(labels))
    table = np.hstack([physical_features().astype(float) / np.sqrt(PHYSICAL), np.eye(len(physical_features())) / np.sqrt(FREE)])
    x = np.stack([table[c.numbers].mean(0) for c in crystals])
    centre = x.mean(0)
    stacked = np.vstack([x - centre, np.sqrt(len(x)) * np.eye(x.shape[1])])
    weights, *_ = np.linalg.lstsq(stacked, np.concatenate([labels - labels.mean(), np.zeros(x.shape[1])]), rcond=None)
    found = fit_references(crystals, labels)
    np.testing.assert_allclose(found.energies, labels.mean() + (table - centre) @ weights, rtol=1e-6, atol=1e-8)
    assert found.energies.dtype == np.float64 and found.per_atom(crystals).dtype == np.float64


def test_real_labels_are_mostly_explained(flla: Dataset) -> None:
    labels = flla.labels["formation_energy_per_atom"]
    found = fit_references(flla.crystals[:1000], labels[:1000])
    rest = labels[1000:] - found.per_atom(flla.crystals[1000:])
    assert np.abs(rest).mean() < 0.6 * np.abs(labels[1000:] - labels[:1000].mean()).mean()


def test_an_unseen_element_is_placed_near_its_neighbours(flla: Dataset) -> None:
    labels = flla.labels["formation_energy_per_atom"]
    seen = fit_references(flla.crystals, labels).energies
    physics, mean = [], []
    for unseen in (3, 9, 12, 27, 34, 44):  # lithium and selenium fare worse than the mean, the others far better
        keep = [i for i, c in enumerate(flla.crystals) if unseen not in c.numbers]
        energies = fit_references([flla.crystals[i] for i in keep], labels[keep]).energies
        assert np.isfinite(energies).all()
        physics.append(abs(energies[unseen] - seen[unseen]))
        mean.append(abs(labels[keep].mean() - seen[unseen]))
    assert np.mean(physics) < 0.5 * np.mean(mean)
    without = fit_references([flla.crystals[i] for i in keep], labels[keep], physical=False).energies
    assert without[44] == pytest.approx(without[118]), "without physics all unseen elements are one"


def test_absent_labels_are_ignored(flla: Dataset) -> None:
    _, crystals, labels = linear(flla, 60)
    holes = np.where(np.arange(60) % 3 == 0, np.nan, labels)
    keep = np.isfinite(holes)
    expected = fit_references([c for c, ok in zip(crystals, keep, strict=True) if ok], labels[keep])
    np.testing.assert_array_equal(fit_references(crystals, holes).energies, expected.energies)
    with pytest.raises(ValueError, match="none of the 60 labels is finite"):
        fit_references(crystals, np.full(60, np.nan))


def test_all_electron_totals_are_taken_off_whole(flla: Dataset) -> None:
    """Thousands of eV per atom that composition explains: the fixed strengths would leave hundreds for the network."""
    truth = -14.0 * np.arange(119.0) ** 2.39
    labels = np.array([truth[c.numbers].mean() for c in flla.crystals[:2000]])
    left = fit_references(flla.crystals[:2000], labels).per_atom(flla.crystals[:2000]) - labels
    assert np.abs(left).max() < 0.1
