"""An ensemble as an ASE calculator: held against EMT, whose members are known, and against a network's own differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE

from matjax.data.convert import from_ase, to_ase
from matjax.graph import Shape, batches, to_graph
from matjax.nn import Equivariant
from matjax.simulate import EnsembleCalculator, batch_relax, hessian
from matjax.thermo import References
from matjax.training.predictor import GraphPredictor
from matjax.training.step import init_params, predict_step
from matjax.training.supervision import Supervision
from matjax.types import Crystal, Dataset, Prediction
from matjax.uncertainty import Trust

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


@pytest.fixture
def warm(shaken):
    """Atoms under way."""
    speeds = np.random.default_rng(0).normal(size=(len(shaken), 3)) * np.sqrt(600 * units.kB / shaken.get_masses())[:, None]
    shaken.set_velocities(speeds)
    return shaken


def test_fifty_steps_of_dynamics_compile_once(network, warm) -> None:
    warm.calc = EnsembleCalculator(network, derivatives=("forces",))
    before = predict_step._cache_size()
    with Langevin(warm, 2 * units.fs, temperature_K=600, friction=0.02, fixcm=False, rng=np.random.default_rng(1)) as dynamics:
        dynamics.run(50)
    assert predict_step._cache_size() == before + 1
    assert warm.calc.room.shape.n_node == 16, "its own room, not that of a training batch"


def test_room_grows_when_atoms_come_nearer_and_says_so(morse, caplog) -> None:
    calc = EnsembleCalculator(morse.predictor())
    atoms = to_ase(morse.alloy(0, (2, 2, 1)))
    wide, shapes = atoms.cell.array.copy(), []
    with caplog.at_level("INFO", logger="matjax.simulate.room"):
        for scale in np.linspace(1, 0.75, 11):
            atoms.set_cell(wide * scale, scale_atoms=True)
            calc.get_potential_energy(atoms)
            shapes.append(calc.room.shape)
            fresh = morse.predictor()([from_ase(atoms)])
            np.testing.assert_allclose(calc.results["energy_members"] / 16, fresh.samples[:, 0], rtol=1e-5)
    assert 2 <= len(set(shapes)) <= 4 and caplog.text.count("compiling") == len(set(shapes))
    assert "16 atoms with" in caplog.text and str(shapes[-1]) in caplog.text
    calc.get_potential_energy(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]))
    assert calc.room.shape.n_edge == 256, "a small molecule does not pay for the large crystal before it"


@pytest.mark.parametrize("name", ["atom", "far apart", "molecule", "slab", "chain"])
def test_open_directions(morse, name) -> None:
    """Against the same atoms in a periodic cell so wide that it does not matter."""
    atoms = {
        "atom": Atoms("Cu"),
        "far apart": Atoms("CuNi", [[0, 0, 0], [0, 0, 30]]),
        "molecule": Atoms("CuNiAl", [[0, 0, 0], [0, 0.3, 2.5], [2.2, 0, 0.4]]),
        "slab": fcc111("Cu", (2, 2, 3)),
        "chain": Atoms("CuNi", [[0, 0, 0], [0.4, 0, 2.6]], cell=[0, 0, 5.1], pbc=[0, 0, 1]),
    }[name]
    atoms.calc = EnsembleCalculator(morse.predictor())
    wide = atoms.copy()
    wide.center(vacuum=20, axis=[k for k in range(3) if not atoms.pbc[k]])
    wide.pbc = True
    wide.calc = EnsembleCalculator(morse.predictor())
    np.testing.assert_allclose(atoms.get_potential_energy(), wide.get_potential_energy(), atol=1e-5)
    np.testing.assert_allclose(atoms.get_forces(), wide.get_forces(), atol=1e-5)
    if atoms.cell.rank < 3:
        assert "stress" not in atoms.calc.results
        with pytest.raises(PropertyNotImplementedError, match="no volume"):
            atoms.get_stress()
    if "a" in name and len(atoms) < 3 and atoms.cell.rank == 0:
        assert np.abs(atoms.get_forces()).max() == 0
        np.testing.assert_allclose(atoms.get_potential_energy(), -atoms.numbers.sum() / 10)


def test_positions_and_cell_move_together(morse) -> None:
    atoms = to_ase(morse.alloy(1))
    atoms.calc = EnsembleCalculator(morse.predictor())
    begin, volume = atoms.get_potential_energy(), atoms.get_volume()
    FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=4)
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=4)
    assert atoms.get_potential_energy() < begin - 0.1 and abs(atoms.get_volume() / volume - 1) > 1e-3


def test_elements_that_training_did_not_have(morse) -> None:
    strange = Atoms("CuZr", [[0, 0, 0], [0, 0, 2.8]])
    calc = EnsembleCalculator(morse.predictor())
    assert abs(calc.get_potential_energy(strange)) < 100
    assert calc.results["flag"] is True and calc.results["reason"] == "contains Zr, never seen in training"
    calc.get_potential_energy(Atoms("Cu"))
    assert calc.results["flag"] is False and calc.results["reason"] == ""
    with pytest.raises(ValueError, match="Zr refused: no training crystal had it; the model knows Al, Ni, Cu"):
        EnsembleCalculator(morse.predictor(), unknown="refuse").get_potential_energy(strange)
    with pytest.raises(ValueError, match="neither predictor nor trust says them"):
        EnsembleCalculator(EmtEnsemble(), unknown="refuse")
    with pytest.raises(ValueError, match="allowed: flag, refuse"):
        EnsembleCalculator(morse.predictor(), unknown="ignore")


def test_a_trust_adds_score_interval_and_flag(morse, tmp_path) -> None:
    crystals = [morse.alloy(seed) for seed in range(40)]
    predictor = morse.predictor()
    said = predictor(crystals)
    said = replace(said, features=np.random.default_rng(0).normal(size=(40, 1)))
    rows = lambda a: replace(said, samples=said.samples[:, a], features=said.features[a])
    data = Dataset(tuple(crystals[:20]), tuple(map(str, range(20))))
    trust = Trust().fit(rows(slice(20)), rows(slice(20, 40)), np.random.default_rng(1).normal(size=20), data)
    atoms = to_ase(crystals[30])
    atoms.calc = EnsembleCalculator(predictor, trust=trust)
    energy = atoms.get_potential_energy()
    judged = trust(predictor([crystals[30]]), [crystals[30]])
    assert atoms.calc.results["shift_score"] == pytest.approx(judged.score[0], rel=1e-4)
    assert atoms.calc.results["energy_half_width"] == pytest.approx(judged.half_width[0] * len(atoms), rel=1e-4)
    assert atoms.calc.results["energy_uncertainty"] == pytest.approx(judged.std[0] * len(atoms), rel=1e-4)
    assert atoms.calc.results["flag"] == judged.flag[0]
    write(tmp_path / "judged.extxyz", atoms)
    assert read(tmp_path / "judged.extxyz").get_potential_energy() == pytest.approx(energy)
    atoms.symbols[0] = "Zr"
    atoms.get_potential_energy()
    assert atoms.calc.results["flag"] is True and "Zr" in atoms.calc.results["reason"]


def test_atoms_that_are_none_or_nowhere_are_refused(morse) -> None:
    calc = EnsembleCalculator(morse.predictor())
    with pytest.raises(ValueError, match="no atoms"):
        calc.get_potential_energy(Atoms())
    with pytest.raises(ValueError, match="not finite; .* exploded"):
        calc.get_potential_energy(Atoms("Cu", [[np.nan, 0, 0]]))


def test_phonopy_finds_the_frequencies_of_the_hessian(morse) -> None:
    phonopy = pytest.importorskip("phonopy", reason="phonopy is not installed")
    from phonopy.structure.atoms import PhonopyAtoms  # pyright: ignore[reportMissingImports]

    rest = batch_relax(morse.predictor(), [morse.alloy(2, (1, 1, 1))], max_force=1e-3, max_stress=1e-5)[0].crystal
    unit = PhonopyAtoms(numbers=rest.numbers, cell=rest.lattice, positions=rest.positions)
    phonon = phonopy.Phonopy(unit, np.eye(3), primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=0.01)
    forces = []
    for cell in phonon.supercells_with_displacements:
        atoms = Atoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)
        forces.append(EnsembleCalculator(morse.predictor()).get_forces(atoms))
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    root = np.sqrt(np.repeat(Atoms(numbers=rest.numbers).get_masses(), 3))
    dynamical = hessian(morse.predictor(), rest).reshape(12, 12) / np.outer(root, root)
    ours = np.sort(np.linalg.eigvalsh(dynamical))[3:]
    np.testing.assert_allclose(np.sort(phonon.run_qpoints([[0, 0, 0]]).frequencies[0])[3:], 15.633302 * np.sqrt(ours), rtol=1e-2)
