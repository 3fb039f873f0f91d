"""Laves phases, sigma and mu against their space groups, their sites and their coordination; candidates on them."""

import numpy as np
import pytest
import spglib
from scipy.spatial import Voronoi

from matjax.simulate import COMPOUNDS, FRANK_KASPER, prototype
from matjax.simulate.cells import cells, compound_candidates, element_volumes, name_of, ordered

SITES = {
    "C14": (194, {"6h": 12, "4f": 16, "2a": 12}),
    "C15": (227, {"16c": 12, "8b": 16}),  # spglib's choice of origin; Wyckoff letters of the other are d and a
    "sigma": (136, {"8i": 14, "8i'": 12, "8j": 14, "4f": 15, "2a": 12}),
    "mu": (166, {"18h": 12, "6c": 15, "6c'": 16, "6c''": 14, "3a": 12}),
}


def coordination(cell) -> list[int]:
    """Faces of each orbit's Voronoi cell: in these structures every interstice is a tetrahedron, so that none is ambiguous."""
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    points = (cell.frac_coords[None] + shifts).reshape(-1, 3) @ cell.vectors
    faces = np.bincount(Voronoi(points).ridge_points.reshape(-1), minlength=len(points))[13 * len(cell) : 14 * len(cell)]
    found = [set(faces[cell.orbit == k].tolist()) for k in range(len(cell.multiplicities))]
    assert all(len(values) == 1 for values in found)
    return [values.pop() for values in found]


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("name", FRANK_KASPER)
def test_space_group_sites_and_coordination(name: str) -> None:
    cell, (group, sites) = prototype(name), SITES[name]
    found = spglib.get_symmetry_dataset((cell.vectors, cell.frac_coords, cell.orbit + 1), symprec=1e-3)
    assert found is not None and found.number == group
    letters = [found.wyckoffs[int(np.argmax(cell.orbit == k))] for k in range(len(sites))]
    assert letters == [site.strip("'")[-1] for site in sites]
    per_atom = {"C15": 4, "mu": 3}.get(name, 1)  # atoms of the conventional cell per atom of this one
    assert [per_atom * n for n in cell.multiplicities] == [int(site.strip("'")[:-1]) for site in sites]
    assert len(set(found.crystallographic_orbits.tolist())) == len(sites)
    assert coordination(cell) == list(sites.values())


@pytest.mark.parametrize("name", FRANK_KASPER)
def test_lengths_are_in_nearest_neighbour_distances_and_cells_are_right_handed(name: str) -> None:
    cell = prototype(name)
    (crystal,) = cells(ordered(name, *["Cr"] * len(cell.multiplicities)), 1, element_volumes(["Cr"]))
    assert crystal.volume / len(crystal) == pytest.approx(element_volumes(["Cr"])["Cr"])
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 1, 1, 3)
    length = np.linalg.norm((cell.frac_coords[:, None] - cell.frac_coords[None] + shifts) @ cell.vectors, axis=-1)
    assert length[length > 1e-9].min() == pytest.approx(1)
    assert np.linalg.det(cell.vectors) > 0


def test_cells_of_known_compounds_have_their_lattice_constants() -> None:
    for name, symbols, measured in (("C15", ("Cu", "Mg"), 7.02), ("C14", ("Zn", "Mg", "Zn"), 5.22)):  # MgCu2, MgZn2, Å
        (crystal,) = cells(ordered(name, *symbols), 1, element_volumes(sorted(set(symbols))))
        a = np.linalg.norm(crystal.lattice[0]) * (np.sqrt(2) if name == "C15" else 1)
        assert a == pytest.approx(measured, rel=0.04)  # Vegard's volumes


def test_decorations_are_all_of_them_and_each_once() -> None:
    count = lambda name, n, most=2: len(compound_candidates(["Al", "Ni", "Ti", "W"][:n], [name], n_element=most))
    assert [count(name, 2) for name in COMPOUNDS] == [1, 2, 1, 2]
    assert [count(name, 2) for name in FRANK_KASPER] == [6, 2, 30, 30]
    assert count("sigma", 3) == 90 and count("sigma", 3, 3) == 3**5 - 3 and count("B2", 4) == 6
    keys = [c.key for c in compound_candidates(["Al", "Ni", "Ti"], COMPOUNDS + FRANK_KASPER)]
    assert len(set(keys)) == len(keys)
    assert [name_of(c) for c in compound_candidates(["Cr", "Nb"], ["C15"])] == ["C15 Cr2Nb", "C15 Nb2Cr"]


def test_decorations_by_coordination_number() -> None:
    for name, n in (("C14", 2), ("C15", 2), ("sigma", 4), ("mu", 4)):
        chosen = compound_candidates(("Fe", "Cr"), (name,), by_coordination=True)
        assert len(chosen) == n and {c.key for c in chosen} <= {c.key for c in compound_candidates(("Fe", "Cr"), (name,))}
        for c in chosen:
            symbols = [orbit[0][0] for orbit in c.occupancy]
            kinds = list(zip(SITES[name][1].values(), symbols, strict=True))
            small, large = ({s for n, s in kinds if (n == 12) == is_small and n != 14} for is_small in (True, False))
            assert len(small) == len(large) == 1 and small != large
    assert len(compound_candidates(("Ni", "Al"), ("B2", "L1_2"), by_coordination=True)) == 3, "other structures as ever"
