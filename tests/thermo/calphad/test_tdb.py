"""TDB files against pycalphad, on the databases that it ships: energies, entropies, enthalpies and heat capacities; and what is refused."""

import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.calphad.system import energy, moles, temperature_range
from matjax.thermo.calphad.tdb import JOULE_PER_MOLE, read_tdb
from matjax.thermo.host import float64

pycalphad = pytest.importorskip("pycalphad")
FOLDER = Path(pycalphad.__file__).parent / "tests" / "databases"
EVERYWHERE = (298.15, 6000.0)
TEMPERATURES = (450.0, 1234.5)
PRESSURE = 101325


@pytest.fixture(autouse=True)
def _float64():
    with warnings.catch_warnings(), float64():
        warnings.simplefilter("ignore", UserWarning)  # pycalphad's, on type definitions that no phase uses
        yield


per_atom = lambda system, phase, y, t: energy(system, phase, y, t) / moles(system, phase, y).sum() / JOULE_PER_MOLE
over_points = jax.jit(jax.vmap(jax.vmap(per_atom, (None, None, 0, None)), (None, None, None, 0)))


def random_y(data, phase: int, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.dirichlet(np.full(len(group), 0.7), n) for group in data.constituents[phase]], 1)


def padded(data, y):
    return np.pad(y, ((0, 0), (0, data.system.sublattice.shape[1] - y.shape[1])))


def peer(parsed, data, phase: int, y, output: str = "GM"):
    components = [*(e.upper() for e in data.elements), "VA"]
    name = data.phases[phase]
    answer = pycalphad.calculate(parsed, components, [name], T=list(TEMPERATURES), P=PRESSURE, N=1, points={name: y}, output=output)
    return answer[output].values.reshape(len(TEMPERATURES), -1)


def worst(file: str, elements=None, phases=None, without=(), n: int = 5) -> dict[str, float]:
    """Largest relative difference to pycalphad at random site fractions, by phase (1 J/mol is the least scale)."""
    parsed, result = pycalphad.Database(str(FOLDER / file)), {}
    data = read_tdb(parsed, elements, phases, without, EVERYWHERE)
    for phase, name in enumerate(data.phases):
        y = random_y(data, phase, n)
        ours, theirs = over_points(data.system, phase, padded(data, y), np.array(TEMPERATURES)), peer(parsed, data, phase, y)
        result[name] = float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0)))
    return result


@pytest.mark.parametrize(
    "file, elements, phases",
    [
        ("alzn_mey.tdb", None, None),
        ("cumg.tdb", None, None),
        ("alni_dupin_2001.tdb", None, None),
        ("alcocrni.tdb", None, ["BCC_B2", "L12_FCC", "SIGMA_SGTE", "LIQUID"]),
        ("mc_fecocrnbti.tdb", ["Fe", "Co", "Cr", "Nb", "Ti"], ["LIQUID", "BCC_A2", "LAVES_PHASE", "SIGMA"]),
        pytest.param("COST507.tdb", ["Al", "Cu", "Mg"], ["LIQUID", "FCC_A1", "LAVES_C15", "ALCU_THETA"], marks=pytest.mark.slow),
        ("cumg_parameters.tdb", None, ["FCC_A1", "LIQUID"]),  # Einstein functions
        ("crfe_bcc_magnetic.tdb", None, None),
    ],
)
def test_energies_are_those_of_pycalphad(file, elements, phases):
    found = worst(file, elements, phases)
    assert found and max(found.values()) < 1e-10, found


def test_entropy_enthalpy_and_heat_capacity_are_those_of_pycalphad():
    file = FOLDER / "alni_dupin_2001.tdb"
    parsed = pycalphad.Database(str(file))
    data = read_tdb(parsed)

    def properties(system, phase, y, t):
        g, slope, bend = per_atom(system, phase, y, t), *(d(per_atom, 3)(system, phase, y, t) for d in (jax.grad, jax.hessian))
        return jnp.stack([-slope, g - t * slope, -t * bend])

    ours = jax.jit(jax.vmap(jax.vmap(properties, (None, None, 0, None)), (None, None, None, 0)))
    for name in ("FCC_L12", "LIQUID"):
        phase = data.index(name)
        y = random_y(data, phase, 4)
        values = ours(data.system, phase, padded(data, y), np.array(TEMPERATURES))
        for i, output in enumerate(("SM", "HM", "CPM")):
            np.testing.assert_allclose(values[..., i], peer(parsed, data, phase, y, output), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.tdb")))
def test_every_database_of_pycalphad_reads_or_names_the_phases_that_do_not(file):
    parsed = pycalphad.Database(str(FOLDER / file))
    try:
        assert read_tdb(parsed).phases
    except ValueError as error:
        left_out = re.findall("'(.*?)'", re.search(r"without=\((.*?)\)\. ", str(error))[1])
        assert left_out and all(f"{name}: " in str(error) for name in left_out)
        if file not in REFUSED_WHOLLY:
            assert not set(read_tdb(parsed, without=left_out).phases) & set(left_out)


REFUSED_WHOLLY = (
    "Cr-Fe-Ni_shallow_bcc.tdb",
    "al2o3_nd2o3_zro2.tdb",
    "femn.tdb",
    "femns.tdb",
    "zrlayalo.tdb",
)


def test_magnetism_of_an_ordered_phase_is_partitioned_before_the_model():
    """Tc and moment are those of disorder plus the ordering's; at y = x nothing is left of the latter."""
    data, disordered = (read_tdb(FOLDER / "alcfe_b2.tdb", phases=[name]) for name in ("B2_BCC", "A2_BCC"))
    x = {"Al": 0.3, "Fe": 0.7}
    y = data.site_fractions("B2_BCC", [x if "Fe" in group else {"Va": 1.0} for group in data.constituents[0]])
    z = disordered.site_fractions("A2_BCC", [x if "Fe" in group else {"Va": 1.0} for group in disordered.constituents[0]])
    one, other = (over_points(d.system, 0, v[None], np.array([600.0])) for d, v in ((data, y), (disordered, z)))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_elements_and_phases_are_chosen_and_named():
    data = read_tdb(str(FOLDER / "alzn_mey.tdb"), ["zn", "AL"], ["liquid", "FCC_A1"])
    assert (data.elements, data.phases) == (("Al", "Zn"), ("FCC_A1", "LIQUID"))
    assert data.constituents[1] == (("Al", "Zn"),) and not data.missing
    assert temperature_range(data.system) == (298.15, 1700.0)


def test_end_members_may_be_written_as_interactions():
    """L is another name of G; pycalphad leaves such end members out."""
    text = (FOLDER / "alzn_mey.tdb").read_text()
    assert text.count("G(LIQUID") > 2
    one, other = (jax.tree.leaves(read_tdb(t).system) for t in (text, text.replace("G(LIQUID", "L(LIQUID")))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_gas_constant_can_be_the_exact_one():
    one, other = (read_tdb(FOLDER / "alzn_mey.tdb", gas_constant=r) for r in (8.3145, 8.314462618))
    phase, temperatures = one.index("LIQUID"), np.array(TEMPERATURES)
    y = random_y(one, phase, 5)
    shift = over_points(other.system, phase, y, temperatures) - over_points(one.system, phase, y, temperatures)
    np.testing.assert_allclose(shift, (8.314462618 - 8.3145) * temperatures[:, None] * np.sum(y * np.log(y), 1), rtol=1e-6)


HEADER = " ELEMENT VA VACUUM 0 0 0!\n ELEMENT AL FCC_A1 26.98 4577 28.32!\n PHASE FCC % 1 1!\n CONSTITUENT FCC :AL:!\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (HEADER + " PARAMETER G(FCC,AL;0) 298.15 SIN(T); 6000 N!\n", r"G\(Al;0\): SIN\(T\) is no sum"),
        (HEADER + " PARAMETR G(FCC,AL;0 298.15 1; 6000 N!\n", r"(?s)does not parse.*PARAMETR G\(FCC,AL;0 298.15"),
        (HEADER + " PARAMETER G(FCC,AL;0) 298.15 GHSERAL; 6000 N!\n", r"FCC: parameter G\(Al;0\): the function GHSERAL is not defined"),
        (HEADER + " PARAMETER G(FCC,AL;0) 298.15 LN(1+T); 6000 N!\n", r"without=\('FCC',\).*G\(Al;0\).*no sum of powers"),
        (HEADER + " PARAMETER G(FCC,AL;0) 298.15 1; 6000 N!\n PARAMETER THETA(FCC,AL;0) 1 5.7; 6000 N!\n", "FCC: it needs Einstein"),
    ],
)
def test_bad_text_is_refused_with_the_place(text, message):
    with pytest.raises(ValueError, match=message):
        read_tdb(text)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"elements": ["Al", "Fe"]}, "no Fe; it has Al, Zn"),
        ({"phases": ["BCC_A2"]}, "no phase BCC_A2; it has FCC_A1, HCP_A3, LIQUID"),
    ],
)
def test_what_the_file_does_not_have_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        read_tdb(FOLDER / "alzn_mey.tdb", **settings)


def test_a_path_that_does_not_exist_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"absent\.tdb"):
        read_tdb("absent.tdb")


def test_models_that_are_not_known_are_named():
    with pytest.raises(ValueError, match=r"IONIC_LIQ: it needs the ionic two-sublattice liquid, charged species"):
        read_tdb(FOLDER / "cuo.tdb")
    with pytest.raises(ValueError, match=r"HALITE: it needs charged species \(FE\+2, FE\+3, O-2\)"):
        read_tdb(FOLDER / "alfeo.tdb", ["Fe", "O"])
