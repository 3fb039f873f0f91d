"""Functions of temperature against plain Python, the rules of exponentials and logarithms, and their tables against themselves."""

import math

import numpy as np
import pytest

from matjax.thermo.calphad.function import LOG_T, ONE, Function, Monomial, T, constant, exp, joined, log, polynomial, power, tabulate

POINTS = (300.0, 699.9, 700.0, 950.0, 2500.0)
GIBBS = joined([(298.15, 700.0, polynomial(-7976.0, 137.0, -24.4, {2: -1.9e-3, -1: 74092})), (700.0, 2900.0, polynomial(-11276.0, 223.0))])


def plain(t: float) -> float:
    return -7976.0 + 137 * t - 24.4 * t * math.log(t) - 1.9e-3 * t**2 + 74092 / t if t < 700 else -11276.0 + 223 * t


def agree(f: Function, reference) -> None:
    np.testing.assert_allclose([f(t) for t in POINTS], [reference(t) for t in POINTS], rtol=1e-12)


def test_sums_and_products_keep_every_break():
    other = joined([(1.0, 900.0, polynomial(1.0, t=2.0)), (900.0, 6000.0, polynomial(powers={-9: 3e20, 0.5: 1.0}))])
    rule = lambda t: 1 + 2 * t if t < 900 else 3e20 * t**-9 + math.sqrt(t)
    agree(GIBBS + other, lambda t: plain(t) + rule(t))
    agree(GIBBS * other, lambda t: plain(t) * rule(t))
    assert (GIBBS + other).breaks == (700.0, 900.0) and ((GIBBS * other).low, (GIBBS * other).high) == (298.15, 2900.0)


def test_limits_of_the_outermost_pieces_hold():
    outer = joined([(1.0, 6000.0, GIBBS)])
    assert (outer.low, outer.high, outer.breaks) == (298.15, 2900.0, (700.0,))


def test_a_gap_between_pieces_is_an_error():
    with pytest.raises(ValueError, match="up to 500 K and from 600 K do not meet"):
        joined([(600.0, 900.0, constant(1.0)), (298.15, 500.0, constant(2.0))])


def test_exponentials_and_logarithms_undo_each_other():
    exponent = polynomial(0.3, t=-1e-4, powers={-1: 20.0}) + Function(({LOG_T: 0.5},))
    f = exp(exponent)
    agree(f, lambda t: math.sqrt(t) * math.exp(0.3 - 1e-4 * t + 20 / t))
    agree(log(f), lambda t: exponent(t))
    agree(f * power(f, -1.0), lambda t: 1.0)
    agree(power(f, 0.5), lambda t: math.sqrt(f(t)))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_einstein_functions_from_both_ways_to_write_them(scale):
    falling, rising = exp(polynomial(powers={-1: -200.0})), exp(polynomial(powers={-1: 200.0}))
    agree(log(constant(scale) + falling * constant(-scale)), lambda t: math.log(scale * (1 - math.exp(-200 / t))))
    agree(log(constant(-scale) + rising * constant(scale)), lambda t: math.log(scale * (math.exp(200 / t) - 1)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: log(constant(-1.0)),
        lambda: log(polynomial(1.0, t=1.0)),
        lambda: log(constant(2.0) + exp(polynomial(powers={-1: -200.0}))),
        lambda: power(polynomial(1.0, t=1.0), 0.5),
        lambda: power(constant(-2.0), 0.5),
        lambda: tabulate([exp(exp(polynomial(t=1e-4)))]),
    ],
)
def test_what_is_no_sum_of_monomials_is_refused(make):
    with pytest.raises(ValueError):
        make()


def test_tables_give_the_functions_back():
    functions = [
        GIBBS,
        constant(3.0),
        exp(polynomial(t=1e-4)) * GIBBS,
        log(constant(1.0) + exp(polynomial(powers={-1: -200.0})) * constant(-1.0)),
    ]
    tables = tabulate(functions)
    assert tables.limits == (298.15, 2900.0) and tables.breaks.tolist() == [700.0]
    for t in POINTS:
        plain = np.array([Monomial(*row)(t) for row in tables.monomials])
        rows = tables.coefficients[np.searchsorted(tables.breaks, t, side="right")]
        np.testing.assert_allclose(
            rows @ (plain * np.exp(tables.exponents @ np.where(tables.monomials[:, 2] > 0, 0, plain))), [f(t) for f in functions]
        )


def test_powers_that_meet_are_added():
    assert polynomial(1.0, t=2.0, powers={0: 3.0, 1: -2.0}).pieces == ({ONE: 4.0},)
    assert (Function(({T: 1.0},)) * Function(({T: 2.0},))).pieces == ({Monomial(2.0): 2.0},)
