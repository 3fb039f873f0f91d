"""Which energies fit a hull: the embedded set against itself, shifted, relabelled, and against other sets."""

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from matjax.data import domain_labels, load
from matjax.data.hull_fit import FEWEST_SHARED, MAX_OFFSET, formation_label, functionals, hull_fit
from matjax.types import Crystal, Dataset

LABEL = "formation_energy_per_atom"


@pytest.fixture(scope="module")
def some(flla: Dataset) -> Dataset:
    return flla.select(np.arange(0, len(flla), 8))


def relabelled(dataset: Dataset, change: np.ndarray | float) -> Dataset:
    return dataclasses.replace(dataset, labels={LABEL: dataset.labels[LABEL] + change})


def described(dataset: Dataset, **metadata: str) -> Dataset:
    return dataclasses.replace(dataset, metadata=dataclasses.replace(dataset.metadata, **metadata))


def test_a_set_fits_its_own_hull(some: Dataset, flla: Dataset) -> None:
    fit = hull_fit(some, flla)
    assert (fit.verdict, fit.offset, fit.spread, fit.n_shared, fit.n_outside) == ("yes", 0.0, 0.0, len(some), 0)
    assert set(fit.groups) >= {"oxide", "sulfide", "nitride"}


def test_a_shift_of_all_labels_is_named(some: Dataset, flla: Dataset) -> None:
    fit = hull_fit(relabelled(some, 0.3), flla)
    assert fit.verdict == "no" and fit.offset == pytest.approx(0.3) and fit.spread == pytest.approx(0, abs=1e-9)
    assert "+0.300 eV/atom" in fit.reasons[0] and "constant offset" in fit.reasons[0]


def test_a_shift_of_one_anion_class_is_named(some: Dataset, flla: Dataset) -> None:
    oxide = domain_labels(some, "anion") == "oxide"
    fit = hull_fit(relabelled(some, 0.2 * oxide), flla)
    assert fit.verdict == "no" and fit.offset == 0.0
    assert f"oxide +0.200 ({oxide.sum()})" in fit.reasons[0] and "sulfide" not in fit.reasons[0]


def test_scatter_is_another_method(some: Dataset, flla: Dataset) -> None:
    noise = np.random.default_rng(0).normal(scale=0.2, size=len(some))
    fit = hull_fit(relabelled(some, noise - np.median(noise)), flla)
    assert fit.verdict == "no" and fit.spread == pytest.approx(0.2, rel=0.15)
    assert any("scatter by" in reason for reason in fit.reasons)


def test_small_differences_pass(some: Dataset, flla: Dataset) -> None:
    noise = np.random.default_rng(0).normal(scale=MAX_OFFSET / 4, size=len(some))
    assert hull_fit(relabelled(some, noise), flla).verdict == "yes"


def test_another_functional_is_refused_and_an_unknown_one_is_said(some: Dataset, flla: Dataset) -> None:
    fit = hull_fit(described(some, functional="r2SCAN"), flla)
    assert fit.verdict == "no" and "'r2SCAN' is not 'PBE" in fit.reasons[0]
    unknown = hull_fit(described(some, functional="unknown"), flla)
    assert unknown.verdict == "yes" and any("unknown functional" in reason for reason in unknown.reasons)
    assert any("corrections and +U may differ" in reason for reason in hull_fit(described(some, functional="PBE"), flla).reasons)


def test_another_reference_and_another_unit_are_refused(some: Dataset, flla: Dataset) -> None:
    assert hull_fit(described(some, reference="atoms"), flla).verdict == "no"
    fit = hull_fit(dataclasses.replace(some, metadata=dataclasses.replace(some.metadata, units={LABEL: "kJ/mol"})), flla)
    assert fit.verdict == "no" and "in kJ/mol" in fit.reasons[0]


def test_too_few_shared_compounds_are_no_evidence(flla: Dataset) -> None:
    known, unknown = flla.select(np.arange(100)), flla.select(np.arange(100 - FEWEST_SHARED + 1, 140))
    fit = hull_fit(unknown, known)
    assert fit.verdict == "unsure" and fit.n_shared == FEWEST_SHARED - 1 and "cannot be compared" in fit.reasons[0]


def test_the_space_group_is_found_where_the_set_does_not_say(some: Dataset, flla: Dataset) -> None:
    silent = dataclasses.replace(some.select(np.arange(60)), domains={})
    assert hull_fit(silent, flla).n_shared >= 58


def test_another_volume_is_another_structure(some: Dataset, flla: Dataset) -> None:
    crystals = tuple(Crystal(1.1 * c.lattice, 1.1 * c.positions, c.numbers) for c in some.crystals)
    fit = hull_fit(dataclasses.replace(some, crystals=crystals), flla)
    assert fit.n_shared < 0.02 * len(some)


def test_elements_that_the_hull_lacks_are_counted(some: Dataset, flla: Dataset) -> None:
    oxygen_free = flla.select(np.array([8 not in crystal.numbers for crystal in flla.crystals]))
    n = sum(8 in crystal.numbers for crystal in some.crystals)
    fit = hull_fit(some, oxygen_free)
    assert fit.verdict == "yes" and fit.n_outside == n > 0 and "cannot be placed" in fit.reasons[-1]
    oxides = some.select(np.array([8 in crystal.numbers for crystal in some.crystals]))
    assert hull_fit(oxides, oxygen_free).verdict == "no"


def test_total_energies_are_refused(flla: Dataset, shared_data: Path) -> None:
    frames = load(shared_data / "nbmotaw" / "nbmotaw_pbe.extxyz.gz").select(np.arange(50))
    fit = hull_fit(frames, flla)
    assert fit.verdict == "no" and fit.label is None and "total energies, not formation energies" in fit.reasons[0]


def test_energies_above_another_hull_are_refused(some: Dataset, flla: Dataset) -> None:
    above = dataclasses.replace(some, labels={"energy_above_hull": some.labels["energy_above_hull"]})
    assert "above another hull" in hull_fit(above, flla).reasons[0]
    with pytest.raises(ValueError, match="spans no hull"):
        hull_fit(some, above)
    with pytest.raises(ValueError, match="have no label 'e_form'"):
        hull_fit(some, flla, label="e_form")


def test_later_corrections_of_the_same_database_are_seen(flla: Dataset, shared_data: Path) -> None:
    """Formation energies of 2018 hold other corrections than those of 2015: the table names both for the same compounds."""
    with gzip.open(shared_data / "materials_project" / "mp_union_compact.json.gz") as stream:
        later = {row["material_id"]: row["e_form"] for row in json.load(stream)}
    values = np.array([np.nan if later.get(i) is None else later[i] for i in flla.ids], float)
    fit = hull_fit(dataclasses.replace(flla, labels={LABEL: values}), flla)
    difference = (values - flla.labels[LABEL])[np.isfinite(values)]
    assert fit.n_shared == len(difference) > 3000
    assert fit.offset == pytest.approx(np.median(difference))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("PBE, GGA and GGA+U mixed (Materials Project 2015)", {"pbe"}),
        ("PBEsol", {"pbesol"}),
        ("r2SCAN", {"r2scan"}),
        ("mixed (HSE06, PBE+U)", {"hse", "pbe"}),
        ("unknown", set()),
    ],
)
def test_functionals_are_told_apart(text: str, named: set[str]) -> None:
    assert functionals(text) == named


def test_formation_labels(some: Dataset) -> None:
    assert formation_label(some) == LABEL
    assert formation_label(dataclasses.replace(some, labels={"energy_above_hull": some.labels["energy_above_hull"]})) is None
    assert formation_label(dataclasses.replace(some, labels={"e_form": some.labels[LABEL]})) == "e_form"
