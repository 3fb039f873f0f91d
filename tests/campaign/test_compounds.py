"""Compounds as a problem: truth by thermo's one definition, entropy of mixed orbits, and what an ensemble believes."""

import dataclasses
import functools
import itertools
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy.optimize import linprog

from matjax.campaign.config import DiscoverConfig
from matjax.campaign.crystals.compound_learning import EVERY, learn
from matjax.campaign.crystals.compounds import CompoundProblem
from matjax.campaign.crystals.problem import KnownSet
from matjax.campaign.crystals.rounds import errors_of_candidates
from matjax.campaign.export import exported_name
from matjax.campaign.exported import Entry
from matjax.campaign.outside import _match
from matjax.campaign.problem import Measured
from matjax.nn import Equivariant
from matjax.simulate.cells import ordered
from matjax.simulate.laboratory import Laboratory
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import gibbs_compounds, gibbs_elements, gibbs_mixing
from matjax.thermo.order.entropy import configurational_entropy
from matjax.training import GraphLearner
from matjax.types import Candidate
from matjax.value import Compounds, PriceGoal, PughGoal, StabilityGoal, Utility

PROBLEM = CompoundProblem(
    Compounds("Al Fe Ni", prototypes="L2_1", min_elements=3),
    Utility(goals=(StabilityGoal(), PughGoal(), PriceGoal())),
    temperature=800.0,
    learner=GraphLearner(Equivariant("8x0e+8x1o", n_layer=1, n_basis=4, cutoff=3.6), members=2, n_epoch=2, batch_size=8),
    n_epoch_more=1,
    known_set=KnownSet(binaries=(0.5,), ternaries=0.0, compounds=("B2", "L1_2", "D0_3")),
)
HEUSLER, OTHER = ordered("L2_1", "Ni", "Al", "Fe"), ordered("L2_1", "Fe", "Al", "Ni")
MIXED = Candidate("B2", ((("Ni", 2),), (("Al", 1), ("Fe", 1))))


def measure(*candidates: Candidate) -> dict[str, Measured]:
    crystals = [PROBLEM.cells(c) for c in candidates]
    said = iter(Laboratory().measure([x for part in crystals for x in part], elastic=True, frames=True))
    found = [Measured(c, tuple(next(said) for _ in part)) for c, part in zip(candidates, crystals, strict=True)]
    return {m.candidate.key: m for m in found if m.converged}


@functools.cache
def everything() -> tuple[dict[str, Measured], dict[str, Measured]]:
    return measure(*PROBLEM.known()), measure(HEUSLER, OTHER)


def test_the_space_is_not_measured_before_the_first_round():
    known = {c.key for c in PROBLEM.known()}
    assert not known & {c.key for c in PROBLEM.space.decode(*PROBLEM.space.enumerate())}
    assert {c.prototype for c in PROBLEM.known()} == {*LATTICES, "B2", "L1_2", "D0_3"}


def test_what_is_new_is_counted_and_nothing_new_is_refused():
    assert PROBLEM.n_new() == PROBLEM.space.n_leaf
    listed = DiscoverConfig(space=Compounds("Al Fe Ni", prototypes="B2 L1_2", n_grid=4))
    new = {c.key for c in listed.space.decode(*listed.space.enumerate())} - {c.key for c in listed.problem().known()}
    assert 0 < listed.problem().n_new() == len(new) < listed.space.n_leaf
    listed.check()
    DiscoverConfig(space=Compounds("Al Fe Ni")).check()
    with pytest.raises(ValueError, match="the known set holds all 9 compounds of the space, so there is nothing to propose; open more"):
        dataclasses.replace(listed, space=Compounds("Al Fe Ni", prototypes="B2 L1_2")).check()


def test_without_an_element_on_a_lattice_it_says_what_to_do():
    known, _ = everything()
    lost = {k: m for k, m in known.items() if not (m.candidate.prototype == "hcp" and m.candidate.elements == ("Fe",))}
    with pytest.raises(ValueError, match=r"no reference energy of Fe on hcp: .*`matjax campaign retry` makes it anew"):
        PROBLEM.ground(lost)


def test_a_space_with_known_crystals_under_another_name_is_refused():
    with pytest.raises(ValueError, match=r"L2_1 with equal orbits is a structure of the known set \(B2 L1_2 D0_3\)"):
        dataclasses.replace(PROBLEM, space=Compounds("Al Fe Ni", prototypes="L2_1"))
    dataclasses.replace(PROBLEM, space=Compounds("Al Fe Ni", prototypes="L2_1 B2 D0_3"))


def test_truth_is_stability_on_the_oracles_landscape_and_does_not_change():
    known, new = everything()
    truth = PROBLEM.truth({**known, **new})
    assert set(truth) == set(new), "the known set is not scored"
    alone = PROBLEM.truth({**known, HEUSLER.key: new[HEUSLER.key]})[HEUSLER.key]
    assert alone["stability"] == pytest.approx(truth[HEUSLER.key]["stability"], abs=1e-9), "discoveries do not compete with each other"
    for key, m in new.items():
        assert truth[key]["stability"] == pytest.approx(truth[key]["gibbs_mixing"] - lowest_mixture(known, m.candidate), abs=2e-3)


def lowest_mixture(known, candidate: Candidate, n_grid: int = 24) -> float:
    """The definition written out: a linear programme over a dense grid of all known phases, eV/atom relative to the elements."""
    ground, x = PROBLEM.ground(known), PROBLEM.compositions([candidate])[0]
    grid = np.array([c for c in itertools.product(range(n_grid + 1), repeat=len(x)) if sum(c) == n_grid]) / n_grid
    at = np.asarray(ground.compound_x)
    pure = np.asarray(gibbs_elements(ground, PROBLEM.temperature, PROBLEM.terms))[0]
    ordered_phases = np.asarray(gibbs_compounds(ground, PROBLEM.temperature, PROBLEM.terms))[0] - at @ pure
    mixing = [np.asarray(gibbs_mixing(ground, i, grid, PROBLEM.temperature, PROBLEM.terms))[0] for i in range(len(LATTICES))]
    points, energy = np.concatenate([grid] * len(LATTICES) + [at]), np.concatenate([*mixing, ordered_phases])
    found = linprog(energy, A_eq=points.T, b_eq=x)
    assert found.success
    return float(found.fun)


def test_random_occupation_of_an_orbit_adds_its_entropy():
    known, _ = everything()
    new = measure(MIXED)
    assert len(new[MIXED.key].results) == PROBLEM.n_decoration, "several decorations of a mixture"
    cold = dataclasses.replace(PROBLEM, terms=dataclasses.replace(PROBLEM.terms, configurational=False))
    gibbs = [p.truth({**known, **new})[MIXED.key]["gibbs_mixing"] for p in (PROBLEM, cold)]
    assert gibbs[1] - gibbs[0] == pytest.approx(PROBLEM.temperature * float(configurational_entropy([0.5, 0.5])) / 2, rel=1e-6)


def test_a_compound_that_does_not_resist_a_strain_gains_nothing_by_vibrations():
    known, new = everything()
    table, ground = PROBLEM.table({HEUSLER.key: new[HEUSLER.key]}), PROBLEM.ground(known)
    stiff = float(PROBLEM.weighed(ground, [HEUSLER], table).value[0, 0])
    soft = dataclasses.replace(table, shear=table.shear * 1e-3, born=-table.born)
    assert float(PROBLEM.weighed(ground, [HEUSLER], soft).value[0, 0]) > stiff - 0.05


@pytest.mark.slow
def test_new_compounds_are_imported_by_name():
    oracle, result = Laboratory(), everything()[1][HEUSLER.key].results[0]
    entry = lambda name: Entry(name, "", f"{oracle.name} {oracle.version}", lambda _: result, True)
    (new,), skipped = _match(Path("told.csv"), [entry(exported_name(HEUSLER))], [], PROBLEM, oracle)
    assert new.candidate == HEUSLER and new.converged and not skipped
    with pytest.raises(ValueError, match=r"told.csv: 1 of 1 candidates .*\n  C15_Al-Ni: C15_Al-Ni begins with none of the structures"):
        _match(Path("told.csv"), [entry("C15_Al-Ni")], [], PROBLEM, oracle)


def test_an_error_is_that_of_a_candidate_whatever_its_cells():
    new = SimpleNamespace(keys=("a", "b", "a", "b"), energy=np.array([1.0, 5.0, 3.0, 5.0]))
    guess = np.array([[1.5, 4.0, 9.0, 4.0], [0.5, 6.0, 9.0, 8.0]])
    errors, spread = errors_of_candidates(new, guess, 1)  # type: ignore[arg-type]
    np.testing.assert_allclose(errors, [2.0 - 1.0, 0.0])
    np.testing.assert_allclose(spread, [np.std([1.5, 0.5], ddof=1), np.std([4.0, 6.0], ddof=1)])
    np.testing.assert_allclose(errors_of_candidates(new, guess, 2)[0], [2.0 - 5.0, 5.0 - 5.5])  # type: ignore[arg-type]


def test_rounds_of_learning(tmp_path):
    known, new = everything()
    key = jax.random.key(0)
    first = learn(PROBLEM, known, 0, tmp_path, key)
    n_back = sum(c.prototype not in LATTICES and int(c.key, 16) % EVERY == 0 for c in (m.candidate for m in known.values()))
    assert first.facts["n_calibration"] == n_back > 0 and first.facts["spread_factor"] >= 1
    said = first.properties([HEUSLER, OTHER])
    assert set(said.samples) >= {"stability", "pugh_ratio", "price", "density"} and said.samples["stability"].shape == (2, 2)
    assert np.isfinite(first.reward([HEUSLER, OTHER])).all() and (first.single([HEUSLER]) <= 0).all()
    mixed = first.properties([MIXED]).samples["stability"]
    assert mixed.shape == (2, 1) and np.isfinite(mixed).all(), "a supercell of a mixture goes through the networks too"
    assert sum(row["fraction"] for row in first.competitors(HEUSLER)) == pytest.approx(1, abs=2e-3)
    again = learn(PROBLEM, known, 0, tmp_path, key)
    np.testing.assert_array_equal(again.foresee([OTHER])[0]["stability"], first.properties([OTHER]).samples["stability"])
    second = learn(PROBLEM, {**known, **new}, 1, tmp_path, jax.random.key(1))
    assert second.facts["n_calibration"] == n_back + 2, "what it had predicted before it was measured joins the evidence"
    (trend,) = PROBLEM.views(second, known, [new[HEUSLER.key]])["trends"]
    truth = PROBLEM.truth({**known, **new})[HEUSLER.key]["stability"]
    assert len(trend["T"]) == len(trend["truth"]) and min(trend["truth"]) - 0.05 <= truth <= max(trend["truth"]) + 0.05
    with pytest.raises(ValueError, match="belongs to another campaign"):
        learn(PROBLEM, known, 1, tmp_path, jax.random.key(2))


def test_without_elastic_constants_only_energies_count():
    known, new = everything()
    plain = dataclasses.replace(PROBLEM.utility, goals=(StabilityGoal(), PriceGoal()))
    bare = dataclasses.replace(PROBLEM, utility=plain, terms=dataclasses.replace(PROBLEM.terms, vibrational=False), has_moduli=False)
    truth = bare.truth({**known, **new})[HEUSLER.key]
    assert not {"bulk_modulus", "pugh_ratio", "born"} & set(truth) and np.isfinite(truth["stability"])
    with_moduli = dataclasses.replace(bare, has_moduli=True).truth({**known, **new})[HEUSLER.key]
    assert with_moduli["stability"] == pytest.approx(truth["stability"], abs=1e-9) and "pugh_ratio" in with_moduli
    with pytest.raises(ValueError, match=r"vibrations are unknown; set terms\.vibrational = false"):
        dataclasses.replace(PROBLEM, utility=plain, has_moduli=False)
    with pytest.raises(ValueError, match="which the goal pugh needs"):
        dataclasses.replace(bare, utility=PROBLEM.utility)
