"""A network that lays crystals into blocks, where it is trained and asked: every batch has room, and the layout does not show."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.calculators.emt import EMT

from matjax.data.convert import to_ase
from matjax.graph import Shape, pack, plan, sizes_of, to_graph
from matjax.graph.pair_matrix import blocks_needed
from matjax.nn import Equivariant, GeometryTensor, evaluate, nequip
from matjax.nn.layout import WIDTHS, planned, unplanned, with_room, without_layout
from matjax.simulate import EnsembleCalculator, batch_relax, energy_fn, hessian
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.training import AdamW, GraphLearner
from matjax.training.checkpoint import load_model, save_model
from matjax.training.economy import Economical
from matjax.types import Crystal, Dataset, Metadata, Visible
from matjax.value.relaxed import relaxed_energies

MODEL = GeometryTensor(n_channel=4, hidden=8, cutoff=4.0, n_basis=4, n_wave=8)


def alloy(seed: int, repeat=(1, 1, 1)) -> Crystal:
    """Shaken fcc copper, nickel and aluminium."""
    random = np.random.default_rng(seed)
    shifts = np.array(list(np.ndindex(*repeat)))
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = 3.8 * (sites[None] + shifts[:, None]).reshape(-1, 3)
    numbers = random.choice([13, 28, 29], len(positions))
    return Crystal(3.8 * np.diag(repeat), positions + random.normal(scale=0.06, size=positions.shape), numbers)


def supercell(crystal: Crystal, repeat: tuple[int, int, int]) -> Crystal:
    shifts = np.array(list(np.ndindex(*repeat))) @ crystal.lattice
    positions = (crystal.positions[None] + shifts[:, None]).reshape(-1, 3)
    return Crystal(np.diag(repeat) @ crystal.lattice, positions, np.tile(crystal.numbers, len(shifts)))


@pytest.fixture(scope="module")
def visible() -> Visible:
    """Thirty alloys of 4 to 12 atoms, labelled by effective medium theory."""
    crystals = tuple(alloy(seed, (1 + seed % 3, 1, 1)) for seed in range(30))
    energy, forces, stress = [], [], []
    for crystal in crystals:
        atoms = to_ase(crystal)
        atoms.calc = EMT()
        energy.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stress.append(atoms.get_stress(voigt=False))
    labels = {"energy": np.array(energy), "forces": tuple(forces), "stress": np.array(stress)}
    data = Dataset(crystals, tuple(f"a{i}" for i in range(30)), labels, {}, Metadata(units={"energy": "eV"}, structures="unrelaxed"))
    return Visible(data.select(range(22)), data.select(range(22, 30)), data.select([]), data.select([]))


LEARNER = GraphLearner(MODEL, optimizer=AdamW(1e-2), members=2, n_epoch=3, batch_size=4)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def predictor(visible: Visible):
    seen: list = []
    found = LEARNER.fit(visible, jax.random.key(0), report=seen.append)
    assert [record["skipped"] for record in seen] == [0, 0, 0]
    return found


def test_training_is_as_wide_as_its_crystals(predictor) -> None:
    assert (predictor.model.width, predictor.model.cutoff) == (16, 4.0)
    assert predictor.model.n_block > 0 and predictor.history[-1]["validation"] < predictor.history[0]["validation"]


def test_a_plan_that_is_too_small_trains_the_same(predictor, visible: Visible, monkeypatch) -> None:
    """Blocks are counted for every batch; one that needs more than were planned gets them."""
    monkeypatch.setattr("matjax.training.learner.planned", lambda model, sizes, shape: model.clone(width=8, n_block=1))
    found = LEARNER.fit(visible, jax.random.key(0))
    np.testing.assert_allclose([r["validation"] for r in found.history], [r["validation"] for r in predictor.history], rtol=2e-3)


def test_a_larger_crystal_is_as_many_small_ones(predictor, visible: Visible) -> None:
    small = list(visible.train.crystals[:5])
    crystals = [*small[:2], supercell(small[0], (5, 2, 1)), *small[2:], supercell(small[1], (1, 2, 3)), supercell(small[0], (4, 4, 4))]
    assert [len(c) for c in crystals] == [4, 8, 40, 12, 4, 8, 48, 256]
    said = predictor(crystals, derivatives=("forces", "stress"))
    assert np.isfinite(said.samples).all() and np.isfinite(said.forces).all() and np.isfinite(said.features).all()
    for large, cell in ((2, 0), (6, 1), (7, 0)):
        np.testing.assert_allclose(said.samples[:, large], said.samples[:, cell], atol=2e-5)
        np.testing.assert_allclose(said.stress[:, large], said.stress[:, cell], atol=1e-5)
    ends = np.cumsum([len(c) for c in crystals])
    np.testing.assert_allclose(said.forces[:, ends[1] : ends[2]], np.tile(said.forces[:, :4], (1, 10, 1)), atol=1e-4)
    alone = np.hstack([predictor([c]).samples for c in crystals[:4]])
    np.testing.assert_allclose(alone, said.samples[:, :4], atol=1e-5)


def test_what_is_too_large_is_refused_by_its_size(predictor) -> None:
    large = alloy(1, (5, 4, 4))
    with pytest.raises(ValueError, match=r"crystal 1 is refused: it has 320 atoms .* at most 256.*nequip"):
        predictor([alloy(0), large])
    wide = dataclasses.replace(predictor, model=predictor.model.clone(width=512))
    small = supercell(alloy(0), (5, 4, 4))
    np.testing.assert_allclose(wide([small]).samples, predictor([alloy(0)]).samples, atol=2e-5)


def test_a_model_file_keeps_the_model(predictor, visible: Visible, tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", predictor, None, {})
    again = load_model(tmp_path / "model.safetensors").predictor
    assert again.model == predictor.model
    crystals = [*visible.train.crystals[:3], alloy(7, (3, 3, 1))]
    np.testing.assert_array_equal(again(crystals).samples, predictor(crystals).samples)


def test_training_goes_on_with_larger_crystals(predictor, visible: Visible) -> None:
    wider = dataclasses.replace(LEARNER, n_epoch=1)
    more = dataclasses.replace(visible.train, crystals=(alloy(50, (5, 1, 1)), *visible.train.crystals[1:]))
    labels = {"energy": np.array([-0.1 * len(c) for c in more.crystals])}
    found = wider.fit(dataclasses.replace(visible, train=dataclasses.replace(more, labels=labels)), jax.random.key(1), start=predictor)
    assert found.model.width == 24 and np.isfinite(found.history[0]["validation"])


def test_it_is_a_potential_for_all_that_moves_atoms(predictor) -> None:
    """A calculator, an energy function and a Hessian of a crystal of twice the width."""
    crystal = alloy(3, (2, 2, 2))
    said = predictor([crystal], derivatives=("forces",))
    atoms = to_ase(crystal)
    atoms.calc = EnsembleCalculator(predictor)
    assert atoms.get_potential_energy() == pytest.approx(float(said.samples.mean()) * len(crystal), rel=1e-5)
    np.testing.assert_allclose(atoms.get_forces(), said.forces.mean(0), atol=1e-5)
    energy = jax.jit(energy_fn(predictor, crystal))
    assert float(energy(crystal.positions)) == pytest.approx(atoms.get_potential_energy(), abs=1e-3)
    found = hessian(predictor, alloy(4, (5, 1, 1)), chunk=60)
    assert np.isfinite(found).all() and np.abs(found - found.transpose(2, 3, 0, 1)).max() < 1e-3 * np.abs(found).max()


def test_it_relaxes_crystals_of_any_size_side_by_side(predictor) -> None:
    crystals = [alloy(0), alloy(1, (5, 4, 4)), alloy(2, (5, 1, 1)), alloy(3, (2, 1, 1))]
    results = batch_relax(predictor, crystals, n_step=5, batch_size=2)
    assert results[1].status == "failed" and "320 atoms" in results[1].error
    kept = [results[i] for i in (0, 2, 3)]
    said = predictor([r.crystal for r in kept])
    np.testing.assert_allclose([r.labels["energy_per_atom"] for r in kept], said.samples.mean(0), atol=1e-4)


def test_the_reward_relaxes_cells_that_are_wider_than_its_crystals(predictor) -> None:
    candidates = [solution("fcc", {"Al": 8, "Cu": 12}), solution("fcc", {"Ni": 20})]
    crystals = [cells(c, 1, element_volumes(("Al", "Cu", "Ni")))[0] for c in candidates]
    assert min(map(len, crystals)) > predictor.model.width
    found = relaxed_energies(predictor, [c.prototype for c in candidates], crystals, np.full(2, 0.8), n_step=1)
    np.testing.assert_allclose(found.enthalpy + found.left, predictor(crystals).samples, atol=2e-5)


def test_every_batch_has_room() -> None:
    """Against the count of blocks itself: the plan nearly always has it, and what lacks it gets one of few further layouts."""
    random = np.random.default_rng(3)
    n_over = n_batch = 0
    for spread in (3, 12, 40):
        sizes = np.stack([2 + random.integers(0, spread, 200), np.full(200, 10)], 1)
        shape = Shape(int(8.8 * sizes[:, 0].mean()) + spread, 10**6, 17)
        model = planned(MODEL, sizes, shape)
        assert sizes[:, 0].max() <= model.width in WIDTHS
        layouts = set()
        for rows in plan(sizes, shape, random.permutation(200)):
            need = blocks_needed([sizes[rows, 0].tolist()], model.width)
            found = with_room(model, _empty(sizes[rows, 0], shape))
            assert need <= found.n_block and found.width == model.width
            layouts.add(found)
            n_over, n_batch = n_over + (found != model), n_batch + 1
        assert len(layouts) <= 2
    assert n_over < 0.02 * n_batch


def test_a_batch_without_room_gets_the_same_energies() -> None:
    graphs = [to_graph(alloy(i, (1 + i % 3, 1, 1)), cutoff=4.0) for i in range(7)]
    batch = pack(graphs, Shape(64, 8192, 9), cutoff=4.0)
    variables = jax.jit(MODEL.init)(jax.random.key(0), batch)
    narrow = MODEL.clone(width=8, n_block=2)
    said = jax.jit(lambda variables, batch, model: evaluate(model, variables, batch, derivatives=()).energy[:7], static_argnums=2)
    energies = [said(variables, batch, m) for m in (MODEL, with_room(narrow, batch), unplanned(narrow, 12))]
    np.testing.assert_allclose(energies[1:], [energies[0]] * 2, rtol=1e-5)
    assert np.isnan(said(variables, batch, narrow)).any()
    stack = jax.tree.map(lambda x: np.stack([x, x]), batch)
    assert with_room(narrow, stack) == with_room(narrow, batch)


def test_other_networks_pass_and_wrappers_stay() -> None:
    batch = pack([to_graph(alloy(0, (3, 1, 1)), cutoff=4.0)], Shape(32, 2048, 3), cutoff=4.0)
    edges = Equivariant("4x0e", n_layer=1)
    assert with_room(edges, batch) is planned(edges, sizes_of([batch]), Shape(32, 2048, 3)) is unplanned(edges, 10**6) is edges
    wrapped = with_room(Economical(MODEL.clone(width=8), "float32"), batch)
    assert isinstance(wrapped, Economical) and wrapped.matmul == "float32" and wrapped.width == 16


def _empty(n_atom: np.ndarray, shape: Shape):
    """A packed batch of crystals of these sizes, as far as a layout looks at it."""
    like = pack([to_graph(alloy(0), cutoff=1.0)], Shape(8, 2, shape.n_graph), cutoff=1.0)
    real = np.arange(shape.n_graph) < len(n_atom)
    counts = np.zeros(shape.n_graph, np.int32)
    counts[: len(n_atom)] = n_atom
    nodes = like.nodes._replace(mask=np.ones(shape.n_node, bool))
    return like._replace(n_node=counts, nodes=nodes, globals=like.globals._replace(mask=real))


def test_a_saved_state_does_not_know_the_layout() -> None:
    flat = lambda model: repr(without_layout(model))
    assert flat(GeometryTensor(width=16, n_block=3)) == flat(GeometryTensor(width=32)) != flat(GeometryTensor(width=16, n_basis=6))
    other = nequip("4x0e+4x1o")
    assert without_layout(other) is other
