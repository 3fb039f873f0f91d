"""Spaces of compounds: what brute force and a structure matcher find, no crystal twice, and a policy that agrees with enumeration."""

import itertools

import ase
import ase.build
import ase.io
import jax
import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher

from matjax.simulate.cells import compound_candidates, ordered
from matjax.simulate.prototypes import COMPOUNDS, prototype
from matjax.types import Candidate
from matjax.value import Compounds, Policy, ValueLearner, exactness, pair_values, partial_values

MATCHER = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1.0)


def crystal(candidate):
    cell = prototype(candidate.prototype)
    return Structure(Lattice(cell.vectors * 3), [candidate.occupancy[k][0][0] for k in cell.orbit], cell.frac_coords)


@pytest.mark.parametrize("prototypes", [("L2_1", "D0_3", "B2"), ("C1_b",), ("perovskite", "L1_2"), ("L1_0", "B2", "C14")])
def test_every_crystal_is_there_once(prototypes):
    """A structure matcher, which knows nothing of orbits, says which of all decorations are the same crystal."""
    space = Compounds("Al Ni Ti", prototypes=prototypes)
    everything = []
    for name in prototypes:
        for symbols in itertools.product(space.elements, repeat=len(prototype(name).multiplicities)):
            if len(set(symbols)) > 1:
                everything.append(crystal(ordered(name, *symbols)))
    groups = MATCHER.group_structures(everything)
    found = [crystal(c) for c in space.decode(*space.enumerate())]
    assert len(found) == space.n_leaf == len(groups)
    assert len(MATCHER.group_structures(found)) == len(found)


def test_end_members_are_those_of_the_competitors():
    space = Compounds("Al Co Ni Ti", prototypes=COMPOUNDS, max_elements=2)
    competitors = compound_candidates(space.elements, COMPOUNDS)
    assert space.contains(competitors).all()
    there = {c.key for c in space.decode(*space.encode(competitors))}
    assert there == {c.key for c in space.decode(*space.enumerate())} and len(there) == len(competitors)


@pytest.mark.parametrize("n_grid", [1, 2, 4])
def test_mixtures_come_back_and_are_counted_right(n_grid):
    space = Compounds("Al Co Ni", prototypes="B2 L1_2", n_grid=n_grid, max_elements=3)
    structure, counts = space.enumerate()
    candidates = space.decode(structure, counts)
    assert len({c.key for c in candidates}) == len(candidates) == space.n_leaf
    again = space.encode(candidates)
    np.testing.assert_array_equal(again[0], structure)
    np.testing.assert_array_equal(again[1], counts)
    assert space.is_legal(structure, counts).all()
    ways = [w for w in itertools.product(range(n_grid + 1), repeat=3) if sum(w) == n_grid]
    expected = set()
    for name in space.prototypes:
        for one, two in itertools.product(ways, repeat=2):
            if one != two and (np.add(one, two) > 0).sum() >= 2:
                expected.add((name, *sorted((one, two))) if name == "B2" else (name, one, two))
    assert len(expected) == space.n_leaf


def test_a_mixture_is_the_same_candidate_on_any_grid_that_has_it():
    coarse, fine = (Compounds("Al Co Ni", prototypes="D0_3", n_grid=n, max_elements=3) for n in (1, 4))
    candidates = coarse.decode(*coarse.enumerate())
    assert fine.contains(candidates).all()
    assert [c.key for c in fine.decode(*fine.encode(candidates))] == [c.key for c in candidates]
    half = Candidate("D0_3", ((("Al", 6), ("Co", 6)), (("Ni", 4),)))
    assert "other steps than 1/1" in coarse.why_outside(half) and not fine.why_outside(half)


def test_neutral_compounds_are_those_with_oxidation_states_that_sum_to_zero():
    elements = "Ca Ti O F Na La Al"
    every, neutral = (Compounds(elements, prototypes="perovskite C15", max_elements=3, neutral=n) for n in (False, True))
    there = {c.key for c in neutral.decode(*neutral.enumerate())}
    assert 0 < len(there) < every.n_leaf
    for candidate in every.decode(*every.enumerate()):
        counts = {}
        for symbol, n in (pair for orbit in candidate.occupancy for pair in orbit):
            counts[symbol] = counts.get(symbol, 0) + n
        is_neutral = bool(Composition(counts).oxi_state_guesses(all_oxi_states=False, oxi_states_override=_common(counts)))
        assert (candidate.key in there) == is_neutral == (not neutral.why_outside(candidate)), candidate.formula
    assert ordered("perovskite", "O", "Ca", "Ti").key in there


def _common(symbols):
    from pymatgen.core import Element

    return {s: list(Element(s).common_oxidation_states) for s in symbols}


def test_required_and_forbidden_elements_hold():
    space = Compounds("Al Co Ni Ti", prototypes="L2_1 B2", required="Ti", forbidden="Co", max_elements=3)
    found = space.decode(*space.enumerate())
    assert found and all("Ti" in c.elements and "Co" not in c.elements for c in found)
    assert "required Ti" in space.why_outside(ordered("B2", "Ni", "Al"))
    assert "Co is not among" in space.why_outside(ordered("B2", "Co", "Ti"))


def test_a_cif_file_is_a_prototype(tmp_path):
    file = str(tmp_path / "blende.cif")
    ase.io.write(file, ase.build.bulk("ZnS", "zincblende", 5.41, cubic=True))
    space = Compounds("Zn S Se Cd", prototypes=file, neutral=True, max_elements=2)
    assert prototype(file).multiplicities == (1, 1)
    assert {"-".join(c.elements) for c in space.decode(*space.enumerate())} >= {"S-Zn", "Se-Zn", "Cd-S", "Cd-Se"}
    made = MATCHER.fit(crystal(ordered(file, "S", "Zn")), Structure.from_file(file))
    assert made


def test_orbits_of_a_file_are_majority_first_then_heavy_first(tmp_path):
    file = str(tmp_path / "cato.cif")
    fractions = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    ase.io.write(file, ase.Atoms("CaTiO3", scaled_positions=fractions, cell=[3.9] * 3, pbc=True))
    cell = prototype(file)
    assert cell.multiplicities == (3, 1, 1)
    made, given = crystal(ordered(file, "O", "Ti", "Ca")), crystal(ordered("perovskite", "O", "Ca", "Ti"))
    assert MATCHER.fit(made, given) and not MATCHER.fit(crystal(ordered(file, "O", "Ca", "Ti")), given)


def test_files_that_are_no_prototype_are_refused(tmp_path):
    broken = tmp_path / "broken.cif"
    broken.write_text("data_x\n_cell_length_a 3\n")
    with pytest.raises(ValueError, match="cannot be read as a CIF"):
        prototype(str(broken))
    with pytest.raises(ValueError, match="no such file"):
        prototype(str(tmp_path / "nowhere.cif"))
    single = str(tmp_path / "cu.cif")
    ase.io.write(single, ase.build.bulk("Cu", cubic=True))
    with pytest.raises(ValueError, match="one site per primitive cell"):
        prototype(single)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"elements": "Al Ni", "prototypes": "fcc"}, "a lattice of solutions"),
        ({"elements": "Al Ni", "prototypes": "B3"}, "not known"),
        ({"elements": "Al Ni", "prototypes": ""}, "at least one"),
        ({"elements": "Al Ni", "required": "Fe"}, "required Fe is not among"),
        ({"elements": "Al Ni", "min_elements": 3}, "no compound on"),
        ({"elements": "Al Al"}, "twice"),
        ({"elements": "Al Ni", "n_grid": 0}, "at least 1"),
        ({"elements": "Na K", "neutral": True, "prototypes": "B2"}, "and is neutral"),
    ],
)
def test_contradictions_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Compounds(**settings)


def like_neighbours(space):
    """A reward from physics that is cheap: unlike electronegativities on unlike orbits."""
    from matjax.data.elements import electronegativity, number

    chi = electronegativity()[[number(e) for e in space.elements]]

    def reward(structure, counts):
        grid = counts.reshape(len(counts), len(space.elements), -1) / space.n_grid
        at = np.einsum("neo,e->no", grid, chi)
        return 2.0 * np.abs(at[:, 0] - at[:, 1]) - 0.1 * structure

    return reward


@pytest.fixture(scope="module")
def learned():
    space = Compounds("Al Co Cu Fe Ni Ti", prototypes="B2 L1_2 L2_1", max_elements=3)
    learner = ValueLearner(tau=0.3, batch=64, n_iteration=6, width=64, inner_steps=64)
    return space, like_neighbours(space), learner(space, like_neighbours(space), jax.random.key(0))


@pytest.mark.slow
def test_a_policy_over_compounds_is_that_of_enumeration(learned):
    space, reward, policy = learned
    structure, counts = space.enumerate()
    scaled = reward(structure, counts) / policy.tau
    exact = np.exp(scaled - scaled.max()) / np.exp(scaled - scaled.max()).sum()
    found = np.exp(policy.log_prob(space.decode(structure, counts)))
    assert 0.5 * np.abs(found - exact).sum() < 0.05
    assert abs(policy.value([(None, {})])[0] / policy.tau - (scaled.max() + np.log(np.exp(scaled - scaled.max()).mean()))) < 0.05
    assert len({c.key for c in policy.sample(40, jax.random.key(1))}) == 40


@pytest.mark.slow
def test_facts_about_compounds_agree_with_enumeration(learned):
    space, reward, policy = learned
    structure, counts = space.enumerate()
    r, grid = policy.tau * policy.log_ratio(np.column_stack([structure, counts])), counts.reshape(len(counts), 6, 3)
    r = r + policy.value([(None, {})])[0]
    mean = lambda mask: policy.tau * np.log(np.exp(r[mask] / policy.tau).mean())
    found = partial_values(policy, [("L2_1", {}), (None, {"Ti": (0, 1, 0)})], jax.random.key(2), 2048)
    exact = [mean(structure == 2), mean((grid[:, 5] == (0, 1, 0)).all(1))]
    np.testing.assert_allclose(found.value, exact, atol=0.03)
    pairs = pair_values(policy, jax.random.key(3), 2048)
    np.testing.assert_allclose(pairs[0, 5], mean(grid[:, 0].any(1) & grid[:, 5].any(1)), atol=0.03)
    with pytest.raises(ValueError, match="one count for each"):
        partial_values(policy, [(None, {"Ti": 1})], jax.random.key(2))


@pytest.mark.slow
def test_a_saved_policy_of_compounds_comes_back(learned):
    space, _, policy = learned
    again = Policy.from_bytes(policy.to_bytes())
    assert again.space == space
    np.testing.assert_array_equal(again.log_prob(policy.sample(5, jax.random.key(0))), policy.log_prob(policy.sample(5, jax.random.key(0))))


@pytest.mark.slow
def test_exactness_speaks_of_compounds_too():
    space = Compounds("Al Co Ni Ti", prototypes="B2 L1_2 D0_3")
    told = exactness(space, like_neighbours(space), ValueLearner(tau=0.3, batch=32, n_iteration=4, width=32), jax.random.key(0))
    assert told.n_leaf == space.n_leaf and told.total_variation < 0.2
