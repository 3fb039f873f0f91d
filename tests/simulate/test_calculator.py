"""An ensemble as an ASE calculator: held against EMT, whose members are known, and against a network's own differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import UnitCellFilter
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from matjax.data.convert import to_ase
from matjax.graph import Shape, batches, to_graph
from matjax.nn import Equivariant
from matjax.simulate import EnsembleCalculator
from matjax.thermo import References
from matjax.training.predictor import GraphPredictor
from matjax.training.step import init_params
from matjax.training.supervision import Supervision
from matjax.types import Crystal, Prediction

FACTORS = (0.8, 1.0, 1.5)


class EmtEnsemble:
    """Members that are EMT times a factor; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, crystals, *, derivatives=()):
        self.asked.append(derivatives)
        atoms = to_ase(*crystals)
        atoms.calc = EMT()
        scaled = lambda value: np.array([factor * value for factor in FACTORS])
        return Prediction(
            samples=scaled(atoms.get_potential_energy() / len(atoms))[:, None],
            forces=scaled(atoms.get_forces()) if "forces" in derivatives else None,
            stress=scaled(atoms.get_stress(voigt=False))[:, None] if "stress" in derivatives else None,
            n_atom=np.array([len(atoms)]),
        )


@pytest.fixture
def shaken():
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[:3] = "Ni"
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.03, 0], [0.01, 0.98, 0.02], [0, 0, 1.01]], scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def test_the_mean_of_members_is_what_ase_gets_in_its_own_order_and_sign(shaken) -> None:
    reference = shaken.copy()
    reference.calc = EMT()
    shaken.calc = EnsembleCalculator(EmtEnsemble())
    mean, spread = np.mean(FACTORS), np.std(FACTORS, ddof=1)
    for ours, theirs in (
        (shaken.get_potential_energy(), reference.get_potential_energy()),
        (shaken.get_potential_energy(force_consistent=True), reference.get_potential_energy()),
        (shaken.get_forces(), reference.get_forces()),
        (shaken.get_stress(), reference.get_stress()),
        (shaken.get_stress(voigt=False), reference.get_stress(voigt=False)),
    ):
        np.testing.assert_allclose(ours, mean * theirs, rtol=1e-12, atol=1e-14)
    results = shaken.calc.results
    np.testing.assert_allclose(results["energy_members"], np.array(FACTORS) * reference.get_potential_energy())
    np.testing.assert_allclose(results["forces_members"][2], FACTORS[2] * reference.get_forces())
    np.testing.assert_allclose(results["stress_members"][0], FACTORS[0] * reference.get_stress(voigt=False))
    np.testing.assert_allclose(results["energy_std"], spread * abs(reference.get_potential_energy()))
    np.testing.assert_allclose(results["forces_std"], spread * np.abs(reference.get_forces()), atol=1e-14)
    np.testing.assert_allclose(results["stress_std"], spread * np.abs(reference.get_stress()), atol=1e-14)


def test_a_step_of_an_optimiser_asks_once(shaken) -> None:
    ensemble = EmtEnsemble()
    shaken.calc = EnsembleCalculator(ensemble)
    relaxation = BFGS(UnitCellFilter(shaken), logfile=None)
    assert relaxation.run(fmax=0.01, steps=100)
    assert len(ensemble.asked) == relaxation.nsteps + 1 and set(ensemble.asked) == {("forces", "stress")}
    reference = shaken.copy()
    reference.calc = EMT()
    assert np.abs(reference.get_forces()).max() < 0.01 and np.abs(reference.get_stress()).max() < 0.01


def test_an_energy_alone_costs_no_derivative(shaken) -> None:
    ensemble = EmtEnsemble()
    shaken.calc = EnsembleCalculator(ensemble)
    shaken.get_potential_energy()
    assert ensemble.asked == [()] and "forces" not in shaken.calc.results
    shaken.get_forces()
    assert ensemble.asked == [(), ("forces", "stress")]


def test_molecular_dynamics_conserves_energy(shaken) -> None:
    shaken.calc = EnsembleCalculator(EmtEnsemble(), derivatives=("forces",))
    begin = shaken.get_total_energy()
    VelocityVerlet(shaken, 2 * units.fs).run(50)
    assert shaken.get_kinetic_energy() > 0.01
    np.testing.assert_allclose(shaken.get_total_energy(), begin, atol=5e-4)


def test_results_can_be_written_and_read(shaken, tmp_path) -> None:
    shaken.calc = EnsembleCalculator(EmtEnsemble())
    energy, forces = shaken.get_potential_energy(), shaken.get_forces()
    for name in ("atoms.extxyz", "atoms.traj"):
        write(tmp_path / name, shaken)
        found = read(tmp_path / name)
        np.testing.assert_allclose(found.get_potential_energy(), energy)
        np.testing.assert_allclose(found.get_forces(), forces, atol=1e-7)


def test_what_is_no_energy_or_no_derivative_is_refused(shaken) -> None:
    with pytest.raises(ValueError, match="unknown derivatives 'hessian'; known: forces, stress"):
        EnsembleCalculator(EmtEnsemble(), derivatives=("hessian",))
    shaken.calc = EnsembleCalculator(lambda crystals, derivatives=(): Prediction(np.ones((2, 1)), label="band_gap", unit="eV"))
    with pytest.raises(ValueError, match="predicts band_gap in eV; a calculator needs an energy in eV/atom"):
        shaken.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        shaken.get_magnetic_moments()


@pytest.fixture(scope="module")
def network() -> GraphPredictor:
    """Two random members of a small network that claims to have learned forces and stress."""
    model, shape = Equivariant("4x0e+4x1o", n_layer=1, n_basis=4), Shape(16, 512, 2)
    (batch,) = batches(
        [to_graph(Crystal(3 * np.eye(3), np.zeros((1, 3)), np.array([29])), cutoff=model.cutoff)], shape, cutoff=model.cutoff
    )
    keys = jax.random.key_data(jax.random.split(jax.random.key(3), 2))
    taught = Supervision("energy_per_atom", "eV/atom", ("energy", "forces", "stress"), "unrelaxed", "atoms", "EAM", (28, 29), 1, "", "")
    constants = {"average_degree": jnp.float32(20), "scale": jnp.float32(1)}
    references = References(np.full(119, -3.0))
    return GraphPredictor(model, init_params(keys, batch, model=model), constants, references, taught, shape)


def test_a_network_answers_with_the_slopes_of_its_energy(network, shaken) -> None:
    shaken = shaken[:4] * (1, 1, 1)
    shaken.set_cell(shaken.cell.array * [[0.5], [1], [1]])
    shaken.calc = EnsembleCalculator(network)
    forces, stress = shaken.get_forces(), shaken.get_stress()
    assert np.abs(forces).max() > 0.01 and np.abs(stress).max() > 0.001 and shaken.calc.results["energy_std"] > 0
    np.testing.assert_allclose(forces, calculate_numerical_forces(shaken, eps=5e-3), atol=1e-3)
    np.testing.assert_allclose(stress, calculate_numerical_stress(shaken, eps=1e-3), atol=1e-4)


def test_a_network_relaxes(network, shaken) -> None:
    shaken.calc = EnsembleCalculator(network)
    begin = shaken.get_potential_energy()
    relaxation = BFGS(shaken, logfile=None)
    assert relaxation.run(fmax=0.05, steps=200) and relaxation.nsteps > 0
    assert shaken.get_potential_energy() < begin
    assert np.linalg.norm(shaken.get_forces(), axis=1).max() < 0.05


def test_a_network_trained_on_energies_alone_refuses(network, shaken) -> None:
    shaken.calc = EnsembleCalculator(replace(network, supervision=replace(network.supervision, has=("energy",))))
    assert np.isfinite(shaken.get_potential_energy())
    with pytest.raises(ValueError, match="forces refused: it needs training on forces"):
        shaken.get_forces()
