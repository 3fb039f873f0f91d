"""Conductivities against pymatgen, SI units written out, and measured crystals."""

import jax
import numpy as np
import pytest
from pymatgen.core.elasticity.elastic import ElasticTensor
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from matjax.thermo import debye_temperature, hill, poisson_ratio
from matjax.thermo.elasticity.conductivity import cahill_conductivity, clarke_conductivity, grueneisen_from_poisson, slack_conductivity
from matjax.units import PRESSURE

GPA = PRESSURE["GPa"]


def cubic(c11: float, c12: float, c44: float) -> np.ndarray:
    elastic = np.diag([c11 - c12] * 3 + [c44] * 3).astype(float)
    elastic[:3, :3] += c12
    return elastic


SILICON = (98.0 * GPA, 66.5 * GPA, 5.431**3 / 8, 28.0855)


def test_minima_are_pymatgens() -> None:
    structure = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])
    theirs = ElasticTensor.from_voigt(cubic(165.7, 63.9, 79.6))
    bulk, shear = hill(cubic(165.7, 63.9, 79.6) * GPA)
    given = (bulk, shear, structure.volume / 8, 28.0855)
    assert float(clarke_conductivity(*given)) == pytest.approx(theirs.clarke_thermalcond(structure), rel=1e-3)
    assert float(cahill_conductivity(*given)) == pytest.approx(theirs.cahill_thermalcond(structure), rel=2e-3)  # pymatgen rounds k to 1.38


def test_slack_is_the_formula_in_si_units() -> None:
    """Leibfried & Schloemann's conductivity at the acoustic Debye temperature, as Toher et al. (2014), PRB 90, 174107, eq. 6, write it."""
    bulk, shear, volume, mass = SILICON
    g, n, temperature = 1.1, 2, 400.0
    k, hbar, amu = 1.380649e-23, 1.054571817e-34, 1.66053906660e-27
    theta = float(debye_temperature(bulk, shear, volume, mass)) / n ** (1 / 3)
    at_theta = 0.849 * 3 * 4 ** (1 / 3) / (20 * np.pi**3 * (1 - 0.514 / g + 0.228 / g**2))
    at_theta *= (k * theta / hbar) ** 2 * k * mass * amu * (n * volume * 1e-30) ** (1 / 3) / (hbar * g**2)
    ours = slack_conductivity(*SILICON, temperature, n, g)
    assert float(ours) == pytest.approx(at_theta * theta / temperature, rel=1e-3)


def test_measured_crystals_are_within_a_factor_of_two_and_a_half() -> None:
    """Morelli & Slack (2006), table 1: measured conductivities at 300 K (W/(m K)) and Grueneisen parameters."""
    published = {  # bulk and shear modulus (GPa), volume per atom, mean mass, atoms, Grueneisen parameter, measured
        "Si": (98.0, 66.5, 20.02, 28.09, 2, 1.06, 166),
        "NaCl": (25.0, 14.8, 22.4, 29.2, 2, 1.56, 7.1),
        "MgO": (162.0, 130.0, 9.35, 20.15, 2, 1.44, 60),
        "KCl": (17.9, 9.4, 31.2, 37.3, 2, 1.45, 7.1),
    }
    for bulk, shear, volume, mass, n, g, measured in published.values():
        ours = float(slack_conductivity(bulk * GPA, shear * GPA, volume, mass, 300.0, n, g))
        assert 1 / 2.5 < ours / measured < 2.5


def test_grueneisen_parameter_of_a_cauchy_solid() -> None:
    assert float(grueneisen_from_poisson(0.25)) == pytest.approx(1.5)
    bulk, shear, *_ = SILICON
    default = slack_conductivity(*SILICON, 300.0, 2)
    assert float(default) == pytest.approx(
        float(slack_conductivity(*SILICON, 300.0, 2, grueneisen_from_poisson(poisson_ratio(bulk, shear))))
    )


def test_batches_and_slopes() -> None:
    scales = np.array([0.5, 1.0, 2.0])
    minima = np.asarray(cahill_conductivity(scales * SILICON[0], scales * SILICON[1], *SILICON[2:]))
    np.testing.assert_allclose(minima / minima[1], np.sqrt(scales))
    with jax.enable_x64(True):
        slope = jax.grad(lambda s: slack_conductivity(s * SILICON[0], s * SILICON[1], *SILICON[2:]))(1.0)
    assert float(slope) == pytest.approx(1.5 * float(slack_conductivity(*SILICON)))  # theta³, and Poisson's ratio stays
    assert np.isnan(float(clarke_conductivity(1.0, -0.5, 10.0, 50.0)))
