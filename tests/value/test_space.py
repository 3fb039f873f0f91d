"""The space of alloys against brute force: counts, enumeration, uniform draws, replay, and refusals."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from matjax.types import Candidate
from matjax.value import Alloys, Compounds

SMALL = Alloys("Al Co Cr Ni", lattices="bcc fcc", n_site=6, min_elements=2, max_elements=3, max_count=4)
SPACES = [
    SMALL,
    Alloys("Al Co Cr Ni Fe", n_site=8, min_elements=3, max_elements=5, min_count=2, max_count=4),
    Alloys("Al Co Cr Ni Fe", lattices="hcp", n_site=7, min_elements=2, max_elements=4, required="Cr", forbidden="Al W"),
    Alloys("Fe", lattices="bcc", n_site=3, min_elements=1, max_elements=1),
]


def brute_force(space: Alloys) -> set[tuple[int, ...]]:
    """All count tuples, by trying everything."""
    found = set()
    for counts in itertools.product(range(space.n_site + 1), repeat=len(space.elements)):
        present = [e for e, n in zip(space.elements, counts, strict=True) if n]
        if (
            sum(counts) == space.n_site
            and space.min_elements <= len(present) <= space.max_elements
            and all(n == 0 or space.min_count <= n <= space.max_count for n in counts)
            and set(space.required) <= set(present)
            and not set(space.forbidden) & set(present)
        ):
            found.add(counts)
    return found


@pytest.mark.parametrize("space", SPACES)
def test_leaves_are_those_of_brute_force(space):
    lattice, counts = space.enumerate()
    expected = brute_force(space)
    assert space.n_leaf == len(lattice) == len(expected) * len(space.lattices)
    assert {(int(l), *map(int, c)) for l, c in zip(lattice, counts, strict=True)} == {
        (int(i), *c) for i in np.flatnonzero(space.open_structures) for c in expected
    }
    assert space.is_legal(lattice, counts).all() and space.contains(space.decode(lattice, counts)).all()


@pytest.mark.parametrize("space", SPACES[1:3])
def test_legal_agrees_with_brute_force_everywhere(space):
    rng = np.random.default_rng(0)
    counts = rng.integers(-1, 6, (4000, len(space.elements)))
    lattice = rng.integers(-1, 4, 4000)
    expected = brute_force(space)
    open_lattices = set(np.flatnonzero(space.open_structures))
    brute = [l in open_lattices and tuple(map(int, c)) in expected for l, c in zip(lattice, counts, strict=True)]
    np.testing.assert_array_equal(space.is_legal(lattice, counts), brute)
    assert any(brute)


def test_the_count_is_exact_where_it_exceeds_floats():
    # free counts on 60 sites among 40 elements: stars and bars, C(99, 39) > 2^53
    space = Alloys(" ".join(ELEMENTS[:40]), lattices="fcc", n_site=60, min_elements=1, max_elements=40, max_count=60)
    from math import comb

    assert space.n_leaf == comb(99, 39)


ELEMENTS = "Li Be Na Mg Al Si K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Cs Ba La Hf Ta W".split()


def test_eight_point_nine_eight_million():
    space = Alloys(" ".join(ELEMENTS[:17]), lattices="fcc", min_elements=5, max_elements=5)
    counts = [p for p in itertools.product(range(1, 8), repeat=5) if sum(p) == 20]
    assert space.n_leaf == 6188 * len(counts) == 8_978_788


def test_uniform_draws_are_uniform():
    lattice, counts = SMALL.sample_uniform(20_000, jax.random.key(0))
    names, n = np.unique(np.column_stack([lattice, counts]), axis=0, return_counts=True)
    assert len(names) == SMALL.n_leaf
    assert chisquare(n).pvalue > 0.01
    again = SMALL.sample_uniform(20_000, jax.random.key(0))
    np.testing.assert_array_equal(counts, again[1])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_choice_leads_to_a_dead_end(data):
    n_element = data.draw(st.integers(1, 6), "n_element")
    bounds = dict(
        n_site=data.draw(st.integers(1, 12), "n_site"),
        min_elements=data.draw(st.integers(1, 4), "min_elements"),
        max_elements=data.draw(st.integers(1, 6), "max_elements"),
        min_count=data.draw(st.integers(1, 3), "min_count"),
        max_count=data.draw(st.integers(1, 12), "max_count"),
        required=tuple(data.draw(st.sets(st.sampled_from(ELEMENTS[:n_element]), max_size=2), "required")),
        forbidden=tuple(data.draw(st.sets(st.sampled_from(ELEMENTS[:n_element]), max_size=2), "forbidden")),
    )
    try:
        space = Alloys(tuple(ELEMENTS[:n_element]), **bounds)
    except ValueError:
        return
    log_prior, rng = space.tree.log_prior, np.random.default_rng(0)
    actions, node = np.zeros((20, space.tree.n_step), int), np.zeros(20, int)
    for t in range(space.tree.n_step):
        is_open = np.isfinite(log_prior[t, node])
        assert is_open.any(1).all(), "dead end"
        actions[:, t] = np.argmax(np.where(is_open, rng.random(is_open.shape), -1), 1)
        node = space.tree.next_node[t, node, actions[:, t]]
    assert space.is_legal(actions[:, 0], actions[:, 1:]).all()


def test_candidates_come_back():
    lattice, counts = SMALL.enumerate()
    candidates = SMALL.decode(lattice, counts)
    assert len({c.key for c in candidates}) == SMALL.n_leaf
    found = SMALL.encode(candidates)
    np.testing.assert_array_equal(found[0], lattice)
    np.testing.assert_array_equal(found[1], counts)


@pytest.mark.parametrize(
    "candidate, word",
    [
        (Candidate("hcp", ((("Al", 3), ("Co", 3)),)), "hcp"),
        (Candidate("fcc", ((("Al", 3), ("Co", 4)),)), "sum"),
        (Candidate("fcc", ((("Al", 3), ("W", 3)),)), "W"),
        (Candidate("fcc", ((("Al", 1), ("Co", 5)),)), "5 sites of Co"),
        (Candidate("fcc", ((("Al", 2), ("Co", 1), ("Cr", 1), ("Ni", 2)),)), "4 elements"),
        (Candidate("B2", ((("Al", 1),), (("Co", 1),))), "B2"),
    ],
)
def test_a_candidate_outside_says_why(candidate, word):
    assert not SMALL.contains([candidate])[0]
    with pytest.raises(ValueError, match=word):
        SMALL.encode([candidate])


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(elements="Al Xx"), "Xx"),
        (dict(elements="Al Al Co Cr Fe"), "twice"),
        (dict(lattices="fcc diamond"), "diamond"),
        (dict(lattices=()), "no lattice"),
        (dict(required="W"), "W is not among"),
        (dict(required="Al", forbidden="Al"), "both required and forbidden"),
        (dict(min_count=6), "4 elements of at least 6 sites each need 24 sites; there are 20"),
        (dict(max_count=3), "5 elements of at most 3 sites each fill 15 of 20"),
        (dict(forbidden="Al Co"), "only 3 elements may be chosen"),
        (dict(min_elements=5, max_elements=4), "more than max_elements"),
        (dict(min_count=8), "more than max_count"),
        (dict(required="Al Co Cr", min_elements=1, max_elements=2), "3 elements are required"),
        (dict(n_site=0), "n_site is 0"),
        (dict(n_site=7, min_elements=1, max_elements=2, min_count=5, max_count=5), "no alloy has"),
    ],
)
def test_contradictions_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Alloys(**{"elements": "Al Co Cr Fe Ni", **settings})


def test_a_large_space_is_not_enumerated():
    with pytest.raises(ValueError, match="more than the limit of 10"):
        SMALL.enumerate(limit=10)


def test_a_space_says_what_it_holds():
    alloys = Alloys("Al Co Cu Ni", lattices="fcc bcc", min_elements=3, max_elements=4)
    assert alloys.describe() == f"{alloys.n_leaf:,} alloys of 3 to 4 elements on fcc, bcc, in steps of 5 at.%"
    compounds = Compounds("Al Ni Ti", prototypes="B2 L1_2", max_elements=2)
    assert compounds.describe() == f"{compounds.n_leaf} compounds of 2 elements on B2, L1_2"
    mixed = Compounds("Al Ni Ti", prototypes="B2", n_grid=4)
    assert mixed.describe().endswith("on B2, orbits shared out in steps of 1/4")
