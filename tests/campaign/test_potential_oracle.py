"""A learned potential as an oracle: what ASE finds with the same model, all crystals at once, and a bad one spoils no other."""

import dataclasses
import pickle

import numpy as np
import pytest

from matjax.campaign import AseOracle, Dynamics, Potential, Recipe, check_elements, check_result, failure_class
from matjax.campaign import potential_oracle as module
from matjax.simulate import EnsembleCalculator
from matjax.toml import from_toml, to_toml
from matjax.training.pretrained import NAMED
from matjax.types import Crystal
from tests.simulate.conftest import alloy, predictor

KNOWN = ("Al", "Cu", "Ni")
TIGHT = Recipe(max_force=5e-3, max_stress=5e-5, n_copy=1)


def calculator() -> EnsembleCalculator:
    return EnsembleCalculator(predictor())


@pytest.fixture(scope="module")
def crystals() -> list[Crystal]:
    """Three fcc alloys of four atoms, shaken, in strained cells."""
    return [alloy(seed, (1, 1, 1)) for seed in range(3)]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Three Morse members behind a file's name."""
    path = tmp_path_factory.mktemp("weights") / "morse.safetensors"
    path.write_bytes(b"weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "potential", lambda weights: predictor())
        yield Potential(str(path), KNOWN, TIGHT, batch_size=4)


@pytest.fixture(scope="module")
def mixed(crystals) -> list[Crystal]:
    """The three among an alloy with iron, one that is nowhere, two atoms at one place, and one that will shrink."""
    first = crystals[0]
    iron = dataclasses.replace(first, numbers=np.array([26, 28, 29, 13]))
    nowhere = dataclasses.replace(first, positions=first.positions * np.nan)
    same = dataclasses.replace(first, positions=first.positions[[0, 0, 2, 3]])
    wide = Crystal(1.2 * first.lattice, 1.2 * first.positions, first.numbers)
    return [crystals[0], iron, nowhere, crystals[1], same, wide, crystals[2]]


@pytest.fixture(scope="module")
def measured(oracle, mixed):
    return oracle.measure(mixed, elastic=True, frames=True)


def test_it_finds_what_ase_finds_with_the_same_model(crystals, measured) -> None:
    ase = AseOracle(f"{__name__}.calculator", KNOWN, recipe=TIGHT)
    good = [measured[i] for i in (0, 3, 6)]
    for given, ours, theirs in zip(crystals, good, ase.measure(crystals), strict=True):
        assert check_result(given, ours, elastic=True, frames=True, max_force=TIGHT.max_force) is ours and ours.converged
        assert ours.labels["energy_per_atom"] == pytest.approx(theirs.labels["energy_per_atom"], abs=1e-4)
        assert ours.labels["volume_per_atom"] == pytest.approx(theirs.labels["volume_per_atom"], rel=2e-3)
        assert theirs.evidence.keys() <= ours.evidence.keys() and ours.cost > 0
        shape = ours.crystal.lattice @ np.linalg.inv(given.lattice)
        np.testing.assert_allclose(shape, shape[0, 0] * np.eye(3), atol=1e-6)
    (strained,) = ase.measure(crystals[:1], elastic=True)
    np.testing.assert_allclose(good[0].elastic, good[0].elastic.T, atol=1e-6)
    wanted = np.asarray(strained.elastic)
    np.testing.assert_allclose(good[0].elastic, wanted, atol=0.03 * np.abs(wanted).max())


def test_frames_hold_what_the_model_says_of_them(crystals, measured) -> None:
    frames = measured[3].frames
    assert len(frames) == 3 and frames.metadata.reference == "atoms" and frames.crystals[1].key == crystals[1].key
    assert frames.labels["energy"][0] / 4 == pytest.approx(measured[3].labels["energy_per_atom"], abs=1e-5)
    said = predictor()([frames.crystals[2]], derivatives=("forces", "stress"))
    assert frames.labels["energy"][2] == pytest.approx(4 * said.samples.mean(), abs=1e-5)
    np.testing.assert_allclose(frames.labels["forces"][2], said.forces.mean(0), atol=1e-5)
    np.testing.assert_allclose(frames.labels["stress"][2], said.stress.mean(0)[0], atol=1e-6)


def test_a_bad_crystal_is_told_and_spoils_no_other(measured) -> None:
    assert [measured[i].status for i in (1, 2, 5)] == ["failed", "failed", "transformed"]
    assert measured[1].error == "programming: morse.safetensors does not know Fe; it knows Al, Cu, Ni"
    assert measured[2].error == "physical: positions or lattice are not finite"
    assert not measured[4].converged and failure_class(measured[4]) in ("physical", "numerical")
    assert measured[5].error.startswith("physical: the volume changed 0.")
    assert all(measured[i].elastic is None and measured[i].frames is None for i in (1, 2, 4, 5))


def test_what_is_not_asked_for_or_not_given_is_not_measured(oracle, mixed, measured) -> None:
    bare = dataclasses.replace(oracle, recipe=dataclasses.replace(TIGHT, gives=()))
    for again in (oracle.measure(mixed), bare.measure(mixed, elastic=True, frames=True)):
        assert again[6].elastic is None and again[6].frames is None
        assert again[6].labels == measured[6].labels


def test_the_version_is_that_of_the_weights(oracle, tmp_path) -> None:
    other = tmp_path / "morse.safetensors"
    other.write_bytes(b"other weights")
    assert dataclasses.replace(oracle, weights=str(other)).version != oracle.version == pickle.loads(pickle.dumps(oracle)).version
    named = Potential("nequix-oam-1-pft", ("Ni",))
    assert named.version.endswith(NAMED["nequix-oam-1-pft"].sha256) and "OMat24" in named.note and named.name == "nequix-oam-1-pft"
    assert from_toml(to_toml(oracle, AseOracle | Potential), AseOracle | Potential) == oracle
    assert oracle.self_test() == {"n_member": 3.0} and oracle.max_force == 5e-3


def test_what_cannot_be_is_refused(oracle, crystals, tmp_path) -> None:
    missing = Potential(str(tmp_path / "none.nqx"), KNOWN)
    for said in missing.measure(crystals[:2]):
        assert failure_class(said) == "programming" and "no potential at" in said.error and "nequix-oam-1" in said.error
    untaught = dataclasses.replace(oracle, known=(*KNOWN, "Fe"))
    for ask in (missing.self_test, untaught.self_test):
        with pytest.raises(ValueError, match="no potential at|was not trained on Fe"):
            ask()
    with pytest.raises(ValueError, match="does not know Fe; it knows Al, Cu, Ni"):
        check_elements(oracle, ("Al", "Fe"))
    for wrong, told in (({"known": ()}, "known is empty"), ({"batch_size": 0}, "at least 1"), ({"recipe": Recipe(ideal=True)}, "ideal")):
        with pytest.raises(ValueError, match=told):
            dataclasses.replace(oracle, **wrong)


@pytest.mark.slow
def test_molecular_dynamics_agrees_with_that_of_ase_and_a_melt_is_transformed(oracle, crystals) -> None:
    hot = Dynamics(200.0, n_equilibrate=100, n_step=600)
    ours = dataclasses.replace(oracle, recipe=dataclasses.replace(TIGHT, gives=(), dynamics=hot)).measure(crystals[:2])
    recipe = dataclasses.replace(TIGHT, gives=(), dynamics=hot)
    for mine, theirs in zip(ours, AseOracle(f"{__name__}.calculator", KNOWN, recipe=recipe).measure(crystals[:2]), strict=True):
        assert mine.converged and theirs.converged
        for name in ("enthalpy", "volume"):
            error = np.hypot(mine.evidence[f"hot_{name}_error"], theirs.evidence[f"hot_{name}_error"])
            assert abs(mine.labels[f"{name}_hot"] - theirs.labels[f"{name}_hot"]) < 5 * error, name
    melt = dataclasses.replace(TIGHT, gives=(), dynamics=dataclasses.replace(hot, temperature=20_000.0))
    (lost,) = dataclasses.replace(oracle, recipe=melt).measure(crystals[:1])
    assert lost.status == "transformed" and "20000 K" in lost.error
