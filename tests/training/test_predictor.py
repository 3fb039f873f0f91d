"""A trained ensemble: what it answers does not depend on how it is asked, and what it was not taught it refuses."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.data.read import read
from matjax.nn import Equivariant
from matjax.risk import Coral, Risk
from matjax.training import AdamW, GraphLearner, Loss
from matjax.training.supervision import default_label, supervision, target_per_atom
from matjax.types import Crystal, Dataset, Visible


def test_energies_are_above_the_references(predictor, visible) -> None:
    silent = jax.tree.map(jnp.zeros_like, predictor.params["energy"])
    mute = dataclasses.replace(predictor, params={**predictor.params, "energy": silent})
    crystals = visible.calibration.crystals
    np.testing.assert_array_equal(mute(crystals).samples, np.tile(predictor.references.per_atom(crystals), (2, 1)))


def test_the_batch_does_not_show(predictor, small) -> None:
    together = predictor(small.crystals)
    backwards = predictor(small.crystals[::-1])
    np.testing.assert_allclose(backwards.samples[:, ::-1], together.samples, atol=2e-6)
    np.testing.assert_allclose(backwards.features[::-1], together.features, atol=2e-6)
    alone = np.hstack([predictor([c]).samples for c in small.crystals[:4]])
    np.testing.assert_allclose(alone, together.samples[:, :4], atol=2e-6)
    assert len(together) == 40 and together.label == "formation_energy_per_atom" and together.unit == "eV/atom"
    assert together.noise is None and together.forces is None


def test_a_crystal_larger_than_the_shape_is_answered(predictor, small) -> None:
    crystal = small.crystals[0]
    shifts = np.array(list(np.ndindex(4, 3, 2))) @ crystal.lattice
    positions = (crystal.positions[None] + shifts[:, None]).reshape(-1, 3)
    large = Crystal(np.diag([4, 3, 2]) @ crystal.lattice, positions, np.tile(crystal.numbers, len(shifts)))
    assert len(large) > predictor.shape.n_node
    np.testing.assert_allclose(predictor([large]).samples, predictor([crystal]).samples, atol=1e-5)


def test_answers_come_in_the_order_of_the_questions(predictor, small) -> None:
    crystals = list(small.crystals[:10])
    large = crystals[0]
    for n in (3, 4):  # of several rungs
        shifts = np.array(list(np.ndindex(n, n, 2))) @ large.lattice
        positions = (crystals[0].positions[None] + shifts[:, None]).reshape(-1, 3)
        supercell = Crystal(np.diag([n, n, 2]) @ large.lattice, positions, np.tile(large.numbers, len(shifts)))
        crystals.insert(n, supercell)
    done: list[int] = []
    together = predictor(crystals, report=done.append)
    alone = [predictor([c]) for c in crystals]
    np.testing.assert_allclose(together.samples, np.hstack([p.samples for p in alone]), atol=1e-5)
    np.testing.assert_allclose(together.features, np.concatenate([p.features for p in alone]), atol=1e-5)
    assert done == sorted(done) and done[-1] == len(crystals) and len(done) > 1


def test_a_member_is_its_sample(predictor, small) -> None:
    said = predictor(small.crystals[:6])
    for m in (0, 1):
        alone = predictor.member(m)(small.crystals[:6])
        np.testing.assert_array_equal(alone.samples, said.samples[[m]])
    np.testing.assert_array_equal(predictor.member(0)(small.crystals[:6]).features, said.features)
    assert (predictor.member(1)(small.crystals[:6]).features != said.features).any()


def test_what_was_not_taught_is_refused(predictor, small) -> None:
    for name in ("forces", "stress"):
        with pytest.raises(ValueError, match=f"{name} refused: it needs training on {name}.*energy of relaxed structures .24 crystals"):
            predictor(small.crystals[:1], derivatives=(name,))
    with pytest.raises(ValueError, match="elasticity refused: it needs training on stress"):
        predictor.supervision.require("elasticity")
    with pytest.raises(ValueError, match="unknown quantity 'magmoms'; known: forces"):
        predictor.supervision.require("magmoms")
    with pytest.raises(ValueError, match="no crystals to predict"):
        predictor([])


def test_supervision_says_what_taught_the_model(predictor, visible) -> None:
    said = predictor.supervision
    assert (said.label, said.unit, said.has, said.n_train) == ("formation_energy_per_atom", "eV/atom", ("energy",), 24)
    assert (said.structures, said.reference, said.data) == ("relaxed", "elements", visible.train.key)
    assert said.elements == tuple(sorted({int(z) for c in visible.train.crystals for z in c.numbers}))


def test_labels_are_found_or_asked_for(small: Dataset) -> None:
    assert default_label(small) == "formation_energy_per_atom"
    two = dataclasses.replace(small, labels={"a": np.zeros(40), "b": np.ones(40)})
    with pytest.raises(ValueError, match="which label.*a, b"):
        default_label(two)
    assert default_label(dataclasses.replace(two, labels={"b": two.labels["b"]})) == "b"
    with pytest.raises(ValueError, match="no label 'energy'; they have: a, b"):
        target_per_atom(two, "energy")
    totals = dataclasses.replace(
        small, labels={"energy": np.arange(40.0), "forces": tuple(np.full((len(c), 3), np.nan) for c in small.crystals)}
    )
    np.testing.assert_allclose(target_per_atom(totals, "energy"), np.arange(40.0) / [len(c) for c in small.crystals])
    assert supervision(totals, "energy").has == ("energy",), "forces that are all absent taught nothing"


@pytest.mark.slow
def test_target_crystals_reach_a_risk_that_uses_them(learner, visible, predictor) -> None:
    with_target = dataclasses.replace(learner, risk=Risk() + Coral(1.0), use_target=True)
    said = with_target(visible, jax.random.key(0))
    silent = dataclasses.replace(with_target, use_target=False)(visible, jax.random.key(0))
    other = dataclasses.replace(visible, target=visible.target.select([0]))
    fewer = with_target(other, jax.random.key(0))
    answers = [p(visible.calibration.crystals).mean for p in (said, silent, fewer)]
    assert all(np.isfinite(a).all() for a in answers)
    assert np.abs(answers[0] - answers[1]).max() > 1e-4 and np.abs(answers[0] - answers[2]).max() > 1e-5
    assert said.supervision.n_train == 24, "crystals without a label do not count as training crystals"


@pytest.mark.slow
def test_forces_are_learned_and_are_the_slope_of_the_energy(shared_data: Path) -> None:
    data = read(shared_data / "nbmotaw" / "nbmotaw_pbe.extxyz.gz")
    rows = np.flatnonzero([len(c) <= 16 and np.abs(f).max() > 0.05 for c, f in zip(data.crystals, data.labels["forces"], strict=True)])[
        :300:12
    ]
    some = data.select(rows)
    train, validation = some.select(range(18)), some.select(range(18, len(some)))
    visible = Visible(train, validation, validation, validation)
    model = Equivariant("8x0e+8x1o", n_layer=1, cutoff=4.5, n_basis=6)
    learner = GraphLearner(model, Loss(energy=0.1), optimizer=AdamW(1e-2), members=1, n_epoch=40, batch_size=4, ema=0.9, domain="group")
    predictor = learner(visible, jax.random.key(0))
    assert predictor.supervision.has == ("energy", "forces") and predictor.supervision.allows("relaxation")
    truth = np.concatenate([f for f in train.labels["forces"]])
    said = predictor(train.crystals, derivatives=("forces",))
    assert said.forces.shape == (1, len(truth), 3)
    assert np.abs(said.forces[0] - truth).mean() < 0.7 * np.abs(truth).mean()

    crystal, n, step = train.crystals[0], len(train.crystals[0]), 0.02
    unit = lambda i, k: step * np.eye(3 * n).reshape(n, 3, n, 3)[i, k]
    moved = lambda i, k, sign: Crystal(crystal.lattice, crystal.positions + sign * unit(i, k), crystal.numbers)
    places = [(i, k) for i in range(4) for k in range(3)]
    energies = predictor([moved(i, k, sign) for i, k in places for sign in (1, -1)]).samples[0] * n
    slope = -(energies[::2] - energies[1::2]) / (2 * step)
    expected = np.array([said.forces[0, i, k] for i, k in places])
    np.testing.assert_allclose(slope, expected, atol=0.02 * np.abs(truth).max() + 1e-3)
    with pytest.raises(ValueError, match="stress refused"):
        predictor([crystal], derivatives=("stress",))
