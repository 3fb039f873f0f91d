"""Terms of parameters against the textbook's formulas, written out naively, and the partition of ordered phases against its definition."""

import numpy as np
import pytest

from matjax.thermo.calphad.function import constant
from matjax.thermo.calphad.phase import Parameter, Phase, disordering, missing, terms

TERNARY = (("A", "B", "C", "D"), ("Va",))


def total(phase: Phase, y: np.ndarray) -> float:
    """The sum of terms, from site fractions in the phase's order."""
    z = y, disordering(phase) @ y, (1.0, 0.0)
    value = lambda site: z[site[0]][site[1]]
    return sum(t.weight * t.parameter.value(1.0) * np.prod([value(a) - value(b) for a, b in t.factors]) for t in terms(phase))


def phase(*entries, constituents=TERNARY, sites=(1.0, 1.0), **settings) -> Phase:
    parameters = tuple(Parameter(names, constant(value), order) for names, order, value in entries)
    return Phase("P", sites, constituents, parameters, **settings)


def fractions(*sizes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.dirichlet(np.ones(n)) for n in sizes])


def test_redlich_kister_keeps_the_order_in_which_a_pair_is_written():
    a, b, _, d, _ = y = fractions(4, 1)
    made = phase(((("A", "B"), ("Va",)), 0, 2.0), ((("A", "B"), ("Va",)), 2, 3.0), ((("D", "A"), ("Va",)), 3, 5.0))
    np.testing.assert_allclose(total(made, y), a * b * (2 + 3 * (a - b) ** 2) + 5 * a * d * (d - a) ** 3, rtol=1e-13)


def test_muggianu_ternary():
    a, b, c, _, _ = y = fractions(4, 1)
    names, rest = (("A", "B", "C"), ("Va",)), (1 - a - b - c) / 3
    three = phase((names, 0, 2.0), (names, 1, 3.0), (names, 2, 5.0))
    np.testing.assert_allclose(total(three, y), a * b * c * (2 * (a + rest) + 3 * (b + rest) + 5 * (c + rest)), rtol=1e-13)
    np.testing.assert_allclose(total(phase((names, 0, 2.0)), y), a * b * c * 2, rtol=1e-13)
    np.testing.assert_allclose(total(phase((names, 1, 3.0)), y), a * b * c * 3 * (b + rest), rtol=1e-13)


def test_reciprocal_parameters_and_wildcards():
    a, b, c, d, _ = y = fractions(2, 2, 1)
    form = {"constituents": (("A", "B"), ("C", "D"), ("Va",)), "sites": (1.0, 2.0, 3.0)}
    names = (("A", "B"), ("C", "D"), ("*",))
    made = phase((names, 0, 2.0), (names, 1, 3.0), (names, 2, 5.0), ((("*",), ("C", "D"), ("*",)), 1, 7.0), **form)
    expected = a * b * c * d * (2 + 3 * (c - d) + 5 * (a - b)) + 7 * c * d * (c - d)
    np.testing.assert_allclose(total(made, y), expected, rtol=1e-13)


@pytest.mark.parametrize("names, order", [((("A", "B", "C"), ("Va",)), 3), ((("A", "B", "C", "D"), ("Va",)), 1), ((("A",), ("Va",)), 1)])
def test_forms_that_are_not_known_are_refused_with_the_parameter(names, order):
    with pytest.raises(ValueError, match=rf"phase P: parameter G\(.*;{order}\)"):
        terms(phase((names, order, 1.0)))


def ordered(can_disorder: bool) -> Phase:
    """An ordered phase with an interstitial sublattice, 4 substitutional sites, on a disordered one of one site."""
    below = phase(((("A", "B"), ("Va",)), 0, 2.0), ((("A",), ("C",)), 0, 11.0), constituents=(("A", "B"), ("C", "Va")), sites=(1.0, 3.0))
    groups = (("A", "B"), ("A", "B"), ("C", "Va"))
    return phase(
        ((("A",), ("B",), ("*",)), 0, 5.0), constituents=groups, sites=(1.0, 3.0, 12.0), disordered=below, can_disorder=can_disorder
    )


@pytest.mark.parametrize("can_disorder", [True, False])
def test_partition_adds_the_disordered_phase_at_the_mean_composition(can_disorder):
    made = ordered(can_disorder)
    y = fractions(2, 2, 2)
    a, c = (y[0] + 3 * y[2]) / 4, y[4]
    own = 5 * y[0] * y[3] - can_disorder * 5 * a * (1 - a)
    np.testing.assert_allclose(total(made, y), own + 4 * (2 * a * (1 - a) * (1 - c) + 11 * a * c), rtol=1e-13)


def test_ordered_phases_that_do_not_match_are_refused():
    made = ordered(True)
    with pytest.raises(ValueError, match="do not match those of its disordered phase"):
        terms(Phase("P", made.sites, (("A", "B"), ("A", "B"), ("Va",)), (), disordered=made.disordered))
    with pytest.raises(ValueError, match="interstitial sites per atom"):
        terms(Phase("P", (1.0, 3.0, 1.0), made.constituents, (), disordered=made.disordered))


def test_missing_end_members_are_named():
    groups = (("A", "B"), ("C", "Va"))
    made = phase(((("A",), ("*",)), 0, 1.0), ((("A", "B"), ("C",)), 0, 1.0), ((("*",), ("Va",)), 0, 1.0), constituents=groups)
    assert missing(made) == ["P:B:C"]
    assert missing(ordered(True)) == ["P:A:Va", "P:B:C", "P:B:Va"]
