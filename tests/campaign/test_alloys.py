"""The alloys as a problem: the known set, the truth by thermo's one definition, and what an ensemble believes."""

import dataclasses
import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from matjax.campaign.crystals.alloy_learning import learn
from matjax.campaign.crystals.alloys import AlloyProblem
from matjax.campaign.crystals.cells import SOFT, AlloyCells, compositions
from matjax.campaign.crystals.problem import KnownSet
from matjax.campaign.crystals.rounds import claim
from matjax.campaign.problem import Measured
from matjax.nn import Equivariant
from matjax.simulate.cells import name_of, ordered, solution
from matjax.simulate.laboratory import Laboratory
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import SEPARATION, elasticity, gibbs_compounds, gibbs_elements, gibbs_mixing
from matjax.training import GraphLearner
from matjax.types import Candidate
from matjax.units import PRESSURE
from matjax.value import Alloys, PriceGoal, PughGoal, StabilityGoal, Utility

PROBLEM = AlloyProblem(
    Alloys("Al Co Cu Ni"),
    Utility(goals=(StabilityGoal(), PughGoal(), PriceGoal())),
    temperature=1000.0,
    learner=GraphLearner(Equivariant("8x0e+8x1o", n_layer=1, n_basis=4, cutoff=3.6), members=2, n_epoch=2, batch_size=8),
    n_epoch_more=1,
    known_set=KnownSet(binaries=(0.5,), ternaries=0.5, compounds=("L1_2",)),
    n_decoration=1,
    support=1,
)
EQUAL = solution("fcc", {"Al": 2, "Co": 6, "Cu": 6, "Ni": 6})
OTHER = solution("bcc", {"Al": 7, "Co": 3, "Cu": 3, "Ni": 7})


def measure(*candidates: Candidate) -> dict[str, Measured]:
    crystals = [PROBLEM.cells(c) for c in candidates]
    said = iter(Laboratory().measure([x for part in crystals for x in part], elastic=True, frames=True))
    found = [Measured(c, tuple(next(said) for _ in part)) for c, part in zip(candidates, crystals, strict=True)]
    return {m.candidate.key: m for m in found if m.converged}


@functools.cache
def everything() -> tuple[dict[str, Measured], dict[str, Measured]]:
    return measure(*PROBLEM.known()), measure(EQUAL, OTHER)


def test_the_known_set_has_the_elements_on_every_lattice_and_few_element_alloys():
    known = PROBLEM.known()
    assert len({c.key for c in known}) == len(known)
    pure = {(c.prototype, *c.elements) for c in known if len(c.elements) == 1}
    assert pure == {(lattice, s) for lattice in ("fcc", "bcc", "hcp") for s in PROBLEM.elements}
    assert max(len(c.elements) for c in known) == 3
    assert sum(c.prototype == "L1_2" for c in known) == 12, "both ways round, six pairs"
    assert sum(len(c.elements) == 3 for c in known) == 6, "half of four triples, on three lattices"
    forbidden = dataclasses.replace(PROBLEM, space=Alloys("Al Co Cu Ni Pd", forbidden="Pd"))
    assert all("Pd" not in c.elements for c in forbidden.known()) and forbidden.elements == PROBLEM.elements


def test_names_of_compounds():
    assert name_of(ordered("L1_2", "Ni", "Al")) == "L1_2 Ni3Al"
    assert name_of(ordered("B2", "Ni", "Al")) == "B2 NiAl"
    assert name_of(ordered("D0_3", "Fe", "Al")) == "D0_3 Fe3Al"


def test_measured_cells_as_arrays():
    known, new = everything()
    table = PROBLEM.table({**known, **new})
    np.testing.assert_allclose(table.x, compositions(PROBLEM.elements, table.crystals))
    row = table.keys.index(EQUAL.key)
    result = new[EQUAL.key].results[0]
    with jax.enable_x64(True):
        cubic = elasticity.symmetrise(np.asarray(result.elastic), "cubic")
        assert table.bulk[row] == pytest.approx(float(elasticity.hill(cubic).bulk), rel=1e-9)
        assert table.born[row] == pytest.approx(float(elasticity.born(cubic)), rel=1e-9)
    assert table.energy[row] == result.labels["energy_per_atom"] and table.n_element[row] == 4
    assert set(np.asarray(table.prototypes)[~table.is_solution]) == {"L1_2"}


def test_unstable_lattices_borrow_the_moduli_of_stable_ones():
    known, _ = everything()
    table = PROBLEM.table(known)
    soft = ~(table.born > SOFT * table.bulk)
    pure_bcc_copper = np.flatnonzero((table.x[:, 2] == 1) & (table.lattice == 1))[0]
    assert soft[pure_bcc_copper], "bcc copper does not resist a tetragonal strain"
    fixed = table.with_stable_moduli()
    pure_fcc_copper = np.flatnonzero((table.x[:, 2] == 1) & (table.lattice == 0))[0]
    assert fixed.shear[pure_bcc_copper] == pytest.approx(table.shear[pure_fcc_copper])
    np.testing.assert_array_equal(fixed.shear[~soft], table.shear[~soft])


def test_truth_is_stability_on_the_oracles_landscape_and_does_not_change():
    known, new = everything()
    truth = PROBLEM.truth({**known, **new})
    assert set(truth) == set(new), "the known set is not scored"
    alone = PROBLEM.truth({**known, EQUAL.key: new[EQUAL.key]})[EQUAL.key]
    assert alone["stability"] == pytest.approx(truth[EQUAL.key]["stability"], abs=1e-9)
    table = PROBLEM.table(known)
    ground = PROBLEM.landscape(table, table.energy[None])
    for key, m in new.items():
        wanted = truth[key]["gibbs_mixing"] - lowest_mixture(ground, m.candidate)
        assert truth[key]["stability"] == pytest.approx(wanted, abs=0.008), "its own cells also move its lattice's surface a little"


def lowest_mixture(ground, candidate: Candidate, n_grid: int = 15) -> float:
    """The definition written out: a linear programme over a dense grid of all other phases, eV/atom relative to the elements."""
    x = PROBLEM.phases([candidate])[1][0]
    grid = np.array([c for c in itertools.product(range(n_grid + 1), repeat=len(x)) if sum(c) == n_grid]) / n_grid
    phases = []
    for i, lattice in enumerate(LATTICES):
        other = grid if lattice != candidate.prototype else grid[np.abs(grid - x).sum(1) / 2 >= SEPARATION]
        phases.append((other, np.asarray(gibbs_mixing(ground, i, other, PROBLEM.temperature, PROBLEM.terms))[0]))
    pure = np.asarray(gibbs_elements(ground, PROBLEM.temperature, PROBLEM.terms))[0]
    at = np.asarray(ground.compound_x)
    phases.append((at, np.asarray(gibbs_compounds(ground, PROBLEM.temperature, PROBLEM.terms))[0] - at @ pure))
    points, energies = np.concatenate([p for p, _ in phases]), np.concatenate([g for _, g in phases])
    return linprog(energies, A_eq=points.T, b_eq=x, bounds=(0, None), method="highs").fun


def test_truth_in_the_units_of_the_utility():
    known, new = everything()
    row, result = PROBLEM.truth({**known, **new})[EQUAL.key], new[EQUAL.key].results[0]
    with jax.enable_x64(True):
        moduli = elasticity.hill(elasticity.symmetrise(np.asarray(result.elastic), "cubic"))
        assert row["bulk_modulus"] == pytest.approx(float(moduli.bulk) / PRESSURE["GPa"], rel=1e-6)
        assert row["pugh_ratio"] == pytest.approx(float(moduli.bulk / moduli.shear), rel=1e-6)
    assert row["utility"] == pytest.approx(np.exp(row["log_utility"])) and 0 < row["utility"] <= 1
    assert sum(c["fraction"] for c in row["competitors"]) == pytest.approx(1, abs=0.01)
    assert row["density"] == pytest.approx(7.9, abs=1.0), "between aluminium and copper"


def test_a_missing_reference_is_named():
    known, new = everything()
    without = {k: m for k, m in known.items() if m.candidate != solution("hcp", {"Ni": 20})}
    with pytest.raises(ValueError, match="no reference energy of Ni on hcp"):
        PROBLEM.truth({**without, **new})


def test_the_files_of_a_round_belong_to_what_it_was_learned_from(tmp_path: Path):
    cells = AlloyCells.unmeasured(PROBLEM.elements, [EQUAL], PROBLEM.cells(EQUAL))
    claim(tmp_path, PROBLEM, cells, jax.random.key(0))
    claim(tmp_path, PROBLEM, cells, jax.random.key(0))
    assert [path.name for path in tmp_path.iterdir()] == ["learned_from.txt"], "nothing half written is left"
    colder, other = dataclasses.replace(PROBLEM, temperature=900.0), dataclasses.replace(cells, energy=np.array([-4.0]))
    for settings in ((colder, cells, jax.random.key(0)), (PROBLEM, other, jax.random.key(0)), (PROBLEM, cells, jax.random.key(1))):
        with pytest.raises(ValueError, match="learned from other settings or measurements"):
            claim(tmp_path, *settings)


@pytest.mark.slow
def test_a_surrogate_is_corrected_where_it_was_measured_and_doubts_elsewhere(tmp_path: Path):
    known, new = everything()
    first = learn(PROBLEM, known, 0, tmp_path, jax.random.key(0))
    table = PROBLEM.table(known)
    solid = table.select(table.is_solution)
    said = first.relax(solid.prototypes, solid.crystals).enthalpy
    raw = first.network.enthalpy
    assert np.abs(said.mean(0) - solid.energy).mean() < 0.02 < np.abs(raw.mean(0) - solid.energy).mean()
    properties = first.properties([EQUAL, OTHER])
    assert properties.n_sample == 2 and (properties.std("stability") > 0).all() and first.facts["spread_factor"] >= 1
    assert (first.log_utility([EQUAL, OTHER]) <= 0).all()
    assert (first.reward([EQUAL, OTHER]) <= first.log_utility([EQUAL, OTHER]).mean(0) + 1e-9).all(), "pessimistic"
    assert first.competitors(EQUAL) and first.facts["n_calibration"] == 6

    again = learn(PROBLEM, known, 0, tmp_path, jax.random.key(0))  # from the files of the round
    np.testing.assert_allclose(again.properties([EQUAL]).samples["stability"], properties.samples["stability"][:, :1], atol=2e-5)
    second = learn(PROBLEM, {**known, **new}, 1, tmp_path, jax.random.key(1))
    assert second.facts["n_calibration"] == 6 + len(new), "the batch that was predicted joins the evidence"
    assert second.network.predictor.references.energies == pytest.approx(first.network.predictor.references.energies)
    with pytest.raises(ValueError, match="it belongs to another campaign"):
        learn(PROBLEM, {**{k: m for k, m in known.items() if len(m.candidate.elements) < 3}, **new}, 1, tmp_path, jax.random.key(1))


def test_elements_mean_the_same_everywhere():
    x = PROBLEM.phases([EQUAL])[1][0]
    assert dict(zip(PROBLEM.elements, x, strict=True)) == pytest.approx(EQUAL.composition)
    assert jnp.isfinite(x).all()
