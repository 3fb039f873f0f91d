"""The rules against golden values, sums written out, limits, and finite differences; gaps are named, never zero."""

import math
from itertools import combinations

import jax
import numpy as np
import pytest

from matjax.thermo.alloy.rules import features, guo_phase, packing_entropy, yang_zhang
from matjax.thermo.alloy.table import alloy_table
from matjax.units import BOLTZMANN, energy_to_ev

CANTOR = ("Co", "Cr", "Fe", "Mn", "Ni")
R = 1e3 * BOLTZMANN / energy_to_ev("kJ/mol")


def test_golden_values_of_the_cantor_alloy() -> None:
    """hea-bench 2.9.0, which takes R as 8.314."""
    golden = {
        "mixing_entropy": 13.3809,
        "size_mismatch": 3.16406,
        "mixing_enthalpy": -4.16,
        "melting_temperature": 1801.2,
        "omega": 5.79366,
        "valence": 8.0,
        "electronegativity_mismatch": 0.138362,
        "king": 3.5327,
        "ye": 34.8219,
        "singh": 1.33658,
        "senkov_miracle": 5.80065,
    }
    ours = {name: float(value) for name, value in features([0.2] * 5, CANTOR).items()}
    assert ours == pytest.approx(golden, rel=1e-4)


def test_rules_are_the_sums_of_the_papers() -> None:
    elements = ("Al", "Co", "Cr", "Cu", "Fe", "Ni")
    x = np.random.default_rng(0).dirichlet(np.ones(6))
    table = alloy_table(elements)
    ours = {name: float(value) for name, value in features(x, elements).items()}
    radius = sum(x * table.radius)
    assert ours["size_mismatch"] == pytest.approx(100 * math.sqrt(sum(x * (1 - table.radius / radius) ** 2)))
    pairs = [(4 * x[i] * x[j] * table.pair_enthalpy[i, j], table.pair_enthalpy[i, j]) for i, j in combinations(range(6), 2)]
    enthalpy, strongest = sum(h for h, _ in pairs), min(h for _, h in pairs)
    entropy, melting = -BOLTZMANN * sum(x * np.log(x)), sum(x * table.melting)
    kj = energy_to_ev("kJ/mol")
    assert ours["mixing_enthalpy"] == pytest.approx(enthalpy / kj)
    assert ours["omega"] == pytest.approx(melting * entropy / abs(enthalpy))
    assert ours["king"] == pytest.approx((enthalpy - melting * entropy) / -abs(strongest))
    kappa, critical = strongest / enthalpy, 1 + 0.4 * melting * entropy / abs(enthalpy)  # both as Senkov & Miracle write them
    assert ours["senkov_miracle"] == pytest.approx((critical - kappa) * abs(enthalpy) / kj)


def test_entropy_of_packing_is_mansooris_sum_over_pairs() -> None:
    x, radius, packing = np.array([0.2, 0.5, 0.3]), np.array([1.2, 1.5, 1.7]), 0.7
    d = 2 * radius
    share = lambda i, j: math.sqrt(x[i] * x[j]) * (d[i] - d[j]) ** 2 * math.sqrt(x[i] * x[j]) / sum(x * d**3)
    pairs = list(combinations(range(3), 2))
    y1 = sum(share(i, j) * (d[i] + d[j]) for i, j in pairs)
    y2 = sum(share(i, j) * d[i] * d[j] for i, j in pairs) * sum(x * d**2) / sum(x * d**3)
    y3 = sum(x * d**2) ** 3 / sum(x * d**3) ** 2
    zeta = 1 / (1 - packing)
    expected = 1.5 * (zeta**2 - 1) * y1 + 1.5 * (zeta - 1) ** 2 * y2 - (0.5 * (zeta - 1) * (zeta - 3) + math.log(zeta)) * (1 - y3)
    with jax.enable_x64(True):
        assert float(packing_entropy(jax.numpy.asarray(x), jax.numpy.asarray(radius), packing)) == pytest.approx(
            BOLTZMANN * expected, rel=1e-10
        )


def test_absent_elements_change_nothing_and_order_does_not_matter() -> None:
    alone = features([0.5, 0.3, 0.2], ("Fe", "Co", "Ni"))
    among = features([[0.2, 0, 0.5, 0, 0.3]], ("Ni", "Pu", "Fe", "H", "Co"), missing="nan")  # no values for Pu, none but pairs for H
    for name, value in alone.items():
        assert float(among[name][0]) == pytest.approx(float(value), rel=1e-12), name


def test_elements_and_ideal_alloys_are_limits() -> None:
    pure = {name: float(value) for name, value in features([1.0, 0.0], ("Fe", "Mn")).items()}
    assert pure["mixing_entropy"] == pure["mixing_enthalpy"] == pure["size_mismatch"] == 0
    assert pure["omega"] == pure["king"] == pure["ye"] == pure["singh"] == math.inf
    assert float(features([0.5, 0.5], ("Fe", "Mn"))["omega"]) == math.inf  # Miedema's enthalpy of the pair is zero
    same = features([0.5, 0.5], ("Co", "Ni"))  # of the same radius
    assert float(same["size_mismatch"]) == 0 and float(same["singh"]) == math.inf


def test_gaps_are_named_or_nan() -> None:
    with pytest.raises(ValueError, match="no radius of Pu; .*no enthalpy of mixing of .*Pu"):
        features([0.5, 0.5], ("Pu", "Al"))
    with pytest.raises(ValueError, match="no enthalpy of mixing of Th-U"):
        features([0.5, 0.5], ("Th", "U"))
    with pytest.raises(ValueError, match="must differ"):
        features([0.5, 0.5], ("Al", "Al"))
    with pytest.raises(ValueError, match="no element symbol"):
        features([1.0], ("Xx",))
    with pytest.raises(ValueError, match=r"\[\.\.\., 2\]"):
        features([0.5, 0.3, 0.2], ("Al", "Ni"))
    found = features([[0.5, 0.5, 0], [0.5, 0, 0.5]], ("Al", "Pu", "Ni"), missing="nan")
    for name in ("size_mismatch", "mixing_enthalpy", "omega", "king", "ye", "singh", "senkov_miracle", "valence"):
        assert np.isnan(found[name][0]) and np.isfinite(found[name][1]), name
    th_u = features([0.5, 0.5], ("Th", "U"), missing="nan")
    assert np.isnan(th_u["mixing_enthalpy"]) and np.isfinite(th_u["size_mismatch"])


def test_slopes_are_finite_differences() -> None:
    x, direction = np.array([0.3, 0.25, 0.2, 0.15, 0.1]), np.array([1, -1, 0.5, -0.2, -0.3])
    along = lambda step: features(x + step * direction, CANTOR)
    with jax.enable_x64(True):
        _, slopes = jax.jvp(along, (0.0,), (1.0,))
    before, after = along(-1e-5), along(1e-5)
    for name, slope in slopes.items():
        assert float(slope) == pytest.approx((float(after[name]) - float(before[name])) / 2e-5, rel=1e-6, abs=1e-9), name


def test_slopes_are_finite_where_atoms_are_alike_and_elements_absent() -> None:
    with jax.enable_x64(True):
        slope = jax.grad(lambda x: features(x, ("Co", "Ni", "Fe"))["size_mismatch"])(np.array([0.5, 0.5, 0.0]))
    assert np.all(np.isfinite(slope))


def test_phases() -> None:
    assert guo_phase([8.0, 7.9999999, 7.0, 6.87, 6.8, np.nan]).tolist() == ["fcc", "fcc", "fcc+bcc", "fcc+bcc", "bcc", "unknown"]
    assert yang_zhang([5.8, 0.5, 5.8, np.nan], [3.2, 3.2, 7.0, 3.2]).tolist() == [True, False, False, False]


def test_the_table_of_pairs_is_symmetric_and_holds_published_values() -> None:
    """Takeuchi & Inoue (2005), kJ/mol."""
    table = alloy_table(("Al", "Ni", "Zr", "Cu"))
    kj = table.pair_enthalpy / energy_to_ev("kJ/mol")
    np.testing.assert_allclose(kj, [[0, -22, -44, -1], [-22, 0, -49, 4], [-44, -49, 0, -23], [-1, 4, -23, 0]], atol=1e-9)
