"""Many crystals relaxed side by side: against ASE, against each alone, and with one program however many there are."""

import jax
import numpy as np
import pytest
from ase.filters import UnitCellFilter
from ase.optimize import BFGS

from matjax.data.convert import to_ase
from matjax.simulate import EnsembleCalculator, batch_relax
from matjax.simulate.relax_round import relax_round
from matjax.types import Crystal

TIGHT = {"max_force": 5e-3, "max_stress": 5e-5, "batch_size": 4}


@pytest.fixture(scope="module")
def crystals(morse) -> list[Crystal]:
    """Eleven alloys of 4 to 12 atoms."""
    return [morse.alloy(seed, (1 + seed % 3, 1, 1)) for seed in range(11)]


@pytest.fixture(scope="module")
def relaxed(morse, crystals):
    before = relax_round._cache_size()
    results = batch_relax(morse.predictor(), crystals, **TIGHT)
    return results, relax_round._cache_size() - before


def test_all_come_to_rest_in_one_program(morse, crystals, relaxed) -> None:
    results, n_compiled = relaxed
    assert n_compiled == 1
    assert [r.status for r in results] == ["converged"] * len(crystals)
    said = morse.predictor()([r.crystal for r in results], derivatives=("forces", "stress"))
    np.testing.assert_allclose(said.samples.mean(0), [r.labels["energy_per_atom"] for r in results], atol=2e-6)
    ends = np.cumsum(said.n_atom)
    for i, result in enumerate(results):
        forces = said.forces.mean(0)[ends[i] - said.n_atom[i] : ends[i]]
        assert np.linalg.norm(forces, axis=1).max() < 1.1 * TIGHT["max_force"]
        assert np.linalg.norm(forces, axis=1).max() == pytest.approx(result.evidence["max_force"], abs=1e-4)
        assert np.abs(said.stress.mean(0)[i]).max() < 1.2 * TIGHT["max_stress"]
        assert np.array_equal(result.crystal.numbers, crystals[i].numbers)
        assert 3 < result.evidence["n_step"] < 60 and result.evidence["min_distance"] > 2
        assert result.labels["volume_per_atom"] == pytest.approx(result.crystal.volume / len(result.crystal))
        assert result.evidence["volume_ratio"] == pytest.approx(result.crystal.volume / crystals[i].volume)


@pytest.mark.parametrize("row", [0, 1])
def test_it_finds_what_ase_finds(morse, crystals, relaxed, row) -> None:
    ours, atoms = relaxed[0][row], to_ase(crystals[row])
    atoms.calc = EnsembleCalculator(morse.predictor())
    optimiser = BFGS(UnitCellFilter(atoms), logfile=None)
    assert optimiser.run(fmax=5e-3, steps=300)
    assert atoms.get_potential_energy() / len(atoms) == pytest.approx(ours.labels["energy_per_atom"], abs=1e-4)
    assert atoms.get_volume() == pytest.approx(ours.crystal.volume, rel=1e-3)
    assert ours.evidence["n_step"] < optimiser.nsteps


def test_a_crystal_relaxes_alike_alone(morse, crystals, relaxed) -> None:
    (alone,) = batch_relax(morse.predictor(), crystals[5:6], **TIGHT)
    together = relaxed[0][5]
    assert alone.labels["energy_per_atom"] == pytest.approx(together.labels["energy_per_atom"], abs=1e-5)
    np.testing.assert_allclose(alone.crystal.lattice, together.crystal.lattice, atol=5e-3)


@pytest.mark.parametrize("cell", ["fixed", "volume"])
def test_what_is_held_is_held(morse, crystals, cell) -> None:
    result = batch_relax(morse.predictor(), crystals[1:2], cell=cell, **TIGHT)[0]
    assert result.converged
    shape = result.crystal.lattice @ np.linalg.inv(crystals[1].lattice)
    np.testing.assert_allclose(shape, shape[0, 0] * np.eye(3), atol=1e-6)
    said = morse.predictor()([result.crystal], derivatives=("forces", "stress"))
    assert np.linalg.norm(said.forces.mean(0), axis=1).max() < 1.1 * TIGHT["max_force"]
    pressure = abs(np.trace(said.stress.mean(0)[0])) / 3
    assert (shape[0, 0] == pytest.approx(1) and pressure > 1e-3) if cell == "fixed" else pressure < 1.2 * TIGHT["max_stress"]


def test_a_molecule_relaxes_in_a_fixed_cell(morse) -> None:
    free = np.zeros(3, bool)
    pair = Crystal(np.eye(3), [[0, 0, 0], [0, 0, 2.2]], [29, 28], free)
    single = Crystal(np.eye(3), [[0, 0, 0]], [29], free)
    ours, alone = batch_relax(morse.predictor(), [pair, single], cell="fixed", **TIGHT)
    assert ours.converged and alone.converged and alone.evidence["n_step"] == 1
    lengths = np.linspace(2.5, 3.0, 501)
    said = morse.predictor()([Crystal(np.eye(3), [[0, 0, 0], [0, 0, x]], [29, 28], free) for x in lengths]).samples.mean(0)
    assert np.linalg.norm(np.diff(ours.crystal.positions, axis=0)) == pytest.approx(lengths[said.argmin()], abs=5e-3)
    assert alone.labels["energy_per_atom"] == pytest.approx(-2.9) and alone.evidence["min_distance"] == np.inf


def test_one_bad_crystal_is_named_and_set_aside(morse, crystals) -> None:
    good = crystals[0]
    slab = Crystal(good.lattice, good.positions, good.numbers, [True, True, False])
    nowhere = Crystal(good.lattice, good.positions * np.nan, good.numbers)
    thin = Crystal(good.lattice * 2.2, good.positions * 2.2, good.numbers)
    slab_said, nowhere_said, good_said, thin_said = batch_relax(morse.predictor(), [slab, nowhere, good, thin], n_step=40, **TIGHT)
    assert good_said.converged
    assert slab_said.status == "failed" and "cell='fixed'" in slab_said.error
    assert nowhere_said.status == "failed" and "not finite" in nowhere_said.error
    assert thin_said.status in ("transformed", "unconverged", "converged") and (thin_said.converged or thin_said.error)


def test_steps_are_capped_and_said_to_be_too_few(morse, crystals) -> None:
    for result in batch_relax(morse.predictor(), crystals[:4], n_step=3, **TIGHT):
        assert result.status == "unconverged" and result.evidence["n_step"] == 3
        assert "are left after 3 steps; wanted 0.005" in result.error


def test_a_collapse_is_stopped(morse, crystals) -> None:
    class Falling(morse.Morse):
        """Attraction without end."""

        def apply(self, variables, graph):
            output = super().apply(variables, graph)
            return output._replace(energy=50.0 * output.energy + 0.3 * graph.globals.volume)

    known = (Falling(), {"params": {"depth": np.float32(-0.3)}, "constants": {}})
    result = batch_relax(known, crystals[:1], **TIGHT)[0]
    assert not result.converged and result.error


@pytest.mark.parametrize("cell", ["volume", "full"])
def test_the_stress_is_that_of_the_point_wherever_neighbours_were_looked_up(morse, cell) -> None:
    given = morse.alloy(0, (1, 1, 1), strain=0.0)
    stretched = Crystal(given.lattice @ np.diag([1.2, 1.1, 1.0]), given.positions @ np.diag([1.2, 1.1, 1.0]), given.numbers)
    ends = []
    with jax.enable_x64(True):
        for skin in (0.05, 3.0):  # looked up at nearly every step, or once
            (result,) = batch_relax(morse.predictor(), [stretched], cell=cell, n_step=5, skin=skin, batch_size=4)
            ends.append((result.crystal.lattice, result.evidence["max_stress"]))
            stress = morse.predictor()([result.crystal], derivatives=("stress",)).stress.mean(0)[0]
            wanted = np.abs(np.trace(stress) / 3 if cell == "volume" else stress).max()
            assert result.evidence["max_stress"] == pytest.approx(wanted, rel=1e-4)
            assert result.evidence["volume_ratio"] < 0.95
    np.testing.assert_allclose(ends[0][0], ends[1][0], atol=1e-4)
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-3)


def test_settings_out_of_range_are_refused(morse, crystals) -> None:
    with pytest.raises(ValueError, match="fixed, volume, full"):
        batch_relax(morse.predictor(), crystals, cell="shape")
    with pytest.raises(ValueError, match="all must be positive"):
        batch_relax(morse.predictor(), crystals, skin=0.0)
    assert batch_relax(morse.predictor(), []) == []


def test_double_precision_goes_deeper(morse, crystals) -> None:
    with jax.enable_x64(True):
        result = batch_relax(morse.predictor(), crystals[:1], max_force=1e-6, max_stress=1e-7, batch_size=4)[0]
    assert result.converged and result.evidence["max_force"] < 1e-6
