"""Properties refuse what would become a silent number, and compositions become mass, density and price."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymatgen.core import Composition, Element

from matjax.value.price import atomic_fractions, density, masses, price_per_kg, price_table, weight_fractions
from matjax.value.properties import UNITS, Properties

ELEMENTS = ("Al", "Cu", "Ni")


def properties(**changes):
    samples = {"stability": np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]), "born": np.array([[9.0, 8.0, 7.0], [9.0, 8.0, 7.0]])}
    return Properties(samples | changes, novelty=np.arange(3.0), notes=({"n": 0}, {"n": 1}, {"n": 2}))


def test_mean_spread_and_selection():
    found = properties()
    assert (len(found), found.n_sample) == (3, 2)
    np.testing.assert_allclose(found.mean("stability"), [0.2, 0.2, 0.2])
    np.testing.assert_allclose(found.std("stability"), np.array([0.2, 0.0, 0.2]) / np.sqrt(2), atol=1e-15)
    for rows in ([2, 0], np.array([2, 0])):
        part = found.select(rows)
        np.testing.assert_array_equal(part.samples["stability"], [[0.3, 0.1], [0.1, 0.3]])
        np.testing.assert_array_equal(part.novelty, [2.0, 0.0])
        assert [note["n"] for note in part.notes] == [2, 0]
    assert len(found.select(np.array([True, False, True]))) == 2 and len(found.select([])) == 0
    assert Properties({"price": np.ones((1, 4))}).std("price").tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"stability": np.array([[0.1, np.nan, 0.3], [0.3, 0.2, np.inf]])},
            r"stability is not finite for 2 of 3 candidates \(first: number 1\)",
        ),
        ({"hardness": np.ones((2, 3))}, "'hardness' is not a property; known: stability"),
        ({"price": np.ones((2, 4))}, r"price has shape \(2, 4\); it must be \(2, 3\)"),
        ({"stability": np.ones(3)}, r"must be \[n_sample, n\]"),
    ],
)
def test_bad_samples_are_named(changes, said):
    with pytest.raises(ValueError, match=said):
        properties(**changes)


def test_bad_novelty_and_notes_are_named():
    one = {"price": np.ones((1, 2))}
    with pytest.raises(ValueError, match="novelty is not finite for 1 of 2"):
        Properties(one, np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="3 notes for 2 candidates"):
        Properties(one, notes=({}, {}, {}))
    with pytest.raises(ValueError, match="without any property"):
        Properties({})


def test_samples_cannot_be_replaced():
    with pytest.raises(TypeError):
        properties().samples["price"] = np.ones((2, 3))  # type: ignore[index]
    assert UNITS["stability"] == "eV/atom"


def test_weight_fractions_agree_with_pymatgen_and_come_back():
    x = np.random.default_rng(0).dirichlet(np.ones(3), (4, 5))
    w = weight_fractions(ELEMENTS, x)
    expected = [Composition(dict(zip(ELEMENTS, x[0, 0], strict=True))).get_wt_fraction(symbol) for symbol in ELEMENTS]
    np.testing.assert_allclose(w[0, 0], expected, rtol=1e-4)
    np.testing.assert_allclose(atomic_fractions(ELEMENTS, w), x, atol=1e-14)


def test_price_is_the_mean_by_weight():
    table = price_table()
    x = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.5, 0.25, 0.25]])
    mass = masses(ELEMENTS)
    by_hand = sum(0.5 * 2**-k * m * table[s] for k, m, s in zip((0, 1, 1), mass, ELEMENTS, strict=True)) / (x[2] @ mass)
    np.testing.assert_allclose(price_per_kg(ELEMENTS, x), [table["Al"], table["Cu"], by_hand])


def test_density_of_copper_and_its_gradient():
    assert density(("Cu",), np.array([1.0]), 3.6149**3 / 4) == pytest.approx(float(Element("Cu").density_of_solid) / 1e3, rel=0.01)
    slope = jax.grad(lambda v: density(("Al", "Cu"), jnp.array([0.5, 0.5]), v))(12.0)
    assert slope == pytest.approx(-density(("Al", "Cu"), np.array([0.5, 0.5]), 12.0) / 12.0, rel=1e-5)


def test_unknown_elements_are_named():
    with pytest.raises(ValueError, match="no price is known for Tc, Po"):
        price_per_kg(("Cu", "Tc", "Po"), np.full(3, 1 / 3))
    with pytest.raises(ValueError, match="'Cx' is no element symbol"):
        weight_fractions(("Cx",), np.ones(1))


def test_prices_are_of_elements_and_positive():
    assert all(price > 0 and Element(symbol) for symbol, price in price_table().items())
    assert price_table()["Pd"] > 1000 * price_table()["Ni"] > 1000 * price_table()["Fe"]
