"""The laboratory: what it measures, how it fails, and that chunks and order cannot be felt."""

import pickle

import numpy as np
import pytest

from matjax.simulate import Laboratory, prototype
from matjax.types import Crystal
from matjax.units import PRESSURE

LABORATORY = Laboratory(chunk=4)


def compound(name: str, numbers, volume: float) -> Crystal:
    cell = prototype(name)
    vectors = cell.vectors * cell.scale(volume)
    return Crystal(vectors, cell.frac_coords @ vectors, np.asarray(numbers)[cell.orbit])


COPPER, NICKEL, B2 = compound("fcc", [29], 12.5), compound("fcc", [28], 10.5), compound("B2", [28, 13], 12.0)
CARBIDE, OVERLAP = compound("B2", [22, 6], 11.0), Crystal(3 * np.eye(3), [[0, 0, 0], [0.1, 0, 0]], [29, 29])


@pytest.fixture(scope="module")
def results():
    return LABORATORY.measure([COPPER, CARBIDE, B2, OVERLAP, NICKEL], elastic=True, frames=True)


def test_metals_come_out_as_published(results) -> None:
    for result, a, energy, bulk in ((results[0], 3.613, -3.54, 138), (results[4], 3.52, -4.45, 180)):
        assert result.converged and not result.error
        assert result.labels["volume_per_atom"] == pytest.approx(a**3 / 4, rel=0.01)
        assert result.labels["energy_per_atom"] == pytest.approx(energy, abs=0.02)
        assert result.elastic[:3, :3].mean() / PRESSURE["GPa"] == pytest.approx(bulk, rel=0.03)
        assert result.evidence["max_force"] <= 0.02 and result.evidence["max_stress"] <= 3e-4


def test_chromium_is_bcc_and_as_stiff_as_measured() -> None:
    """Elastic constants of the experiment at low temperature, as Bolef and de Klerk (1963) have them; fcc and hcp lie higher."""
    found = LABORATORY.measure([compound(name, [24], 12.0) for name in ("bcc", "fcc", "hcp")], elastic=True)
    assert all(r.converged for r in found)
    bcc, fcc, hcp = (r.labels["energy_per_atom"] for r in found)
    assert bcc == pytest.approx(-4.10, abs=0.005) and min(fcc, hcp) - bcc > 0.1
    assert (2 * found[0].labels["volume_per_atom"]) ** (1 / 3) == pytest.approx(2.88, abs=0.01)
    c11, c12, c44 = found[0].elastic[[0, 0, 3], [0, 1, 3]] / PRESSURE["GPa"]
    assert (c11, c12, c44) == (pytest.approx(391, rel=0.05), pytest.approx(90, rel=0.05), pytest.approx(103, rel=0.05))


def test_bad_crystals_fail_alone_and_say_why(results) -> None:
    assert [r.status for r in results] == ["converged", "failed", "converged", "failed", "converged"]
    assert results[1].error.startswith("programming: the laboratory has no C; it knows Cu, Ag")
    assert results[3].error.startswith("physical: atoms overlap: the nearest two are 0.10 Å apart")
    broken = Crystal(np.full((3, 3), np.nan), COPPER.positions, COPPER.numbers)
    slab = Crystal(COPPER.lattice, COPPER.positions, COPPER.numbers, np.array([True, True, False]))
    empty = Crystal(np.eye(3), np.zeros((0, 3)), np.zeros(0, int))
    errors = [r.error for r in LABORATORY.measure([broken, slab, empty])]
    assert [e.partition(":")[0] for e in errors] == ["physical"] * 3
    assert "not finite" in errors[0] and "periodic" in errors[1] and "no atoms" in errors[2]


def test_results_do_not_depend_on_company_or_repeat(results) -> None:
    alone = LABORATORY.measure([B2], elastic=True, frames=True)[0]
    assert alone.labels == results[2].labels
    np.testing.assert_array_equal(alone.elastic, results[2].elastic)
    assert alone.frames.key == results[2].frames.key


def test_frames_are_consistent(results) -> None:
    frames = results[2].frames
    assert len(frames) == 5 and frames.ids[0] == f"{B2.key}-relaxed"
    assert frames.labels["energy"][0] == min(frames.labels["energy"])
    assert frames.labels["energy"][0] / len(B2) == pytest.approx(results[2].labels["energy_per_atom"], abs=1e-4)
    assert np.abs(frames.labels["forces"][0]).max() < 0.02 < np.abs(frames.labels["forces"][-1]).max()
    np.testing.assert_array_equal(frames.crystals[1].positions, B2.positions)
    # forces and stress of the last copy, by differences of the energies of its neighbours in configuration space
    copy, step = frames.crystals[-1], 1e-3
    energies = []
    for sign in (step, -step):
        moved = copy.positions.copy()
        moved[0, 0] += sign
        energies.append(_energy(Crystal(copy.lattice, moved, copy.numbers)))
        energies.append(_energy(Crystal(copy.lattice * (1 + sign), copy.positions * (1 + sign), copy.numbers)))
    assert -(energies[0] - energies[2]) / (2 * step) == pytest.approx(frames.labels["forces"][-1][0, 0], abs=2e-3)
    pressure = (energies[1] - energies[3]) / (2 * step) / (3 * copy.volume)
    assert pressure == pytest.approx(np.trace(frames.labels["stress"][-1]) / 3, abs=2e-4)


def _energy(crystal: Crystal) -> float:
    """Total energy of a crystal as it is: that of the first frame of a laboratory which does not relax."""
    return LABORATORY._frames([crystal], [crystal])[0].labels["energy"][0]


def test_volume_is_found_from_far_away(results) -> None:
    near, far = results[0], LABORATORY.measure([compound("fcc", [29], 15.0)])[0]
    assert far.converged and far.evidence["volume_ratio"] < 0.8
    assert far.labels["energy_per_atom"] == pytest.approx(near.labels["energy_per_atom"], abs=2e-4)


def test_lost_and_unfinished_crystals_say_so() -> None:
    assert Laboratory(chunk=4, min_volume=0.99).measure([compound("fcc", [29], 13.0)])[0].status == "transformed"
    unfinished = Laboratory(chunk=4, max_step=2).measure([compound("fcc", [29], 14.0)])[0]
    assert unfinished.status == "unconverged" and unfinished.error.startswith("numerical")


def test_equation_of_state_has_the_relaxed_crystal_at_its_minimum(results) -> None:
    volume = results[2].labels["volume_per_atom"]
    energies = LABORATORY.equation_of_state(B2, volume * np.array([0.96, 1.0, 1.04]))
    assert energies[1] == pytest.approx(results[2].labels["energy_per_atom"], abs=1e-4)
    assert energies[1] < min(energies[0], energies[2])
    with pytest.raises(ValueError, match="no C"):
        LABORATORY.equation_of_state(CARBIDE, [10.0])
    with pytest.raises(ValueError, match="positive"):
        LABORATORY.equation_of_state(B2, [-1.0])


def test_it_says_what_it_is() -> None:
    assert "model system" in LABORATORY.note and len(LABORATORY.elements) == 17
    assert pickle.loads(pickle.dumps(LABORATORY)) == LABORATORY
    assert LABORATORY.measure([]) == []
