"""Each kind of wrong label is named with its crystal, and sound labels are left alone."""

import dataclasses
import re

import numpy as np
import pytest

from matjax.training.outliers import suspects
from matjax.types import Crystal, Dataset


@pytest.fixture(scope="module")
def frames() -> Dataset:
    """Fifty sound frames of a made-up crystal: total energies, balanced forces, symmetric stresses."""
    random = np.random.default_rng(0)
    crystals, forces, stress = [], [], []
    for _ in range(50):
        n = int(random.integers(2, 6))
        crystals.append(Crystal(4 * np.eye(3), random.uniform(0, 4, (n, 3)), random.choice([13, 28], n)))
        force = random.normal(size=(n, 3))
        forces.append(force - force.mean(0))
        strain = 0.01 * random.normal(size=(3, 3))
        stress.append(strain + strain.T)
    energy = np.array([sum({13: -3.0, 28: -5.0}[int(z)] for z in c.numbers) + 0.05 * len(c) * random.normal() for c in crystals])
    labels = {"energy": energy, "forces": tuple(forces), "stress": np.array(stress)}
    return Dataset(tuple(crystals), tuple(f"frame-{i}" for i in range(50)), labels)


def with_label(dataset: Dataset, name: str, row: int, value) -> Dataset:
    column = list(dataset.labels[name])
    column[row] = value
    kept = tuple(column) if name == "forces" else np.array(column)
    return dataclasses.replace(dataset, labels={**dataset.labels, name: kept})


def test_sound_labels_are_left_alone(frames, flla) -> None:
    assert suspects(frames, "energy") == []
    assert len(suspects(flla, "formation_energy_per_atom")) < 0.01 * len(flla)


def test_absent_labels_are_no_fault(frames) -> None:
    absent = with_label(with_label(frames, "energy", 3, np.nan), "stress", 3, np.full((3, 3), np.nan))
    absent = with_label(absent, "forces", 3, np.full_like(frames.labels["forces"][3], np.nan))
    assert suspects(absent, "energy") == []


def balanced(frames, row: int, size: float) -> np.ndarray:
    forces = np.array(frames.labels["forces"][row])
    forces[0, 0] += size
    forces[1, 0] -= size
    return forces


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("energy", lambda f: f.labels["energy"][7] + 60.0, "is far from all others"),
        ("energy", lambda f: np.inf, "energy is inf"),
        ("forces", lambda f: balanced(f, 7, 80.0), "a force of .* is far from all others"),
        ("forces", lambda f: f.labels["forces"][7] + 0.4, "forces sum to 0.69.* per atom, not to zero"),
        ("forces", lambda f: np.where(np.arange(3) == 1, np.nan, f.labels["forces"][7]), "forces is NaN or infinite in places"),
        ("stress", lambda f: f.labels["stress"][7] + 2.0, "a stress of .* is far from all others"),
        ("stress", lambda f: f.labels["stress"][7] + 0.01 * np.triu(np.ones((3, 3)), 1), "the stress is not symmetric"),
    ],
    ids=["far energy", "infinite energy", "far force", "net force", "gap", "far stress", "asymmetric stress"],
)
def test_what_is_wrong_is_named(frames, name, change, says) -> None:
    found = suspects(with_label(frames, name, 7, change(frames)), "energy")
    assert {who for who, _ in found} == {"frame-7"}
    assert any(re.search(says, why) for _, why in found), found


def test_one_crystal_with_two_labels_is_named_with_its_twin(frames) -> None:
    twin = dataclasses.replace(frames, crystals=(*frames.crystals[:9], frames.crystals[2], *frames.crystals[10:]))
    twin = with_label(with_label(twin, "forces", 9, frames.labels["forces"][2]), "energy", 9, frames.labels["energy"][2] + 0.1)
    ((who, why),) = suspects(twin, "energy")
    assert who == "frame-9" and "the same crystal has" in why and "'frame-2'" in why
    assert suspects(with_label(twin, "energy", 9, frames.labels["energy"][2]), "energy") == []
