"""One network for several levels of theory and charges: told apart where they are named, refused where they are not."""

import dataclasses

import jax
import numpy as np
import pytest

from matjax.graph import neighbours
from matjax.nn import Convolution, Equivariant
from matjax.testing.crystals import random_crystal
from matjax.training import AdamW, GraphLearner
from matjax.training.checkpoint import load_model, save_model
from matjax.training.conditions import charges, fidelity_index
from matjax.types import Crystal, Dataset, Visible

MODEL = Equivariant(
    "8x0e", n_layer=0, n_basis=6, cutoff=3.5, layers=(Convolution("8x0e", (16,), norm=False),), fidelities=("PBE", "HSE"), charge=True
)
LEARNER = GraphLearner(
    MODEL, optimizer=AdamW(2e-2), members=2, n_epoch=80, batch_size=10, ema=0.9, shape=(48, 1024, 13), fidelity="functional", charge="q"
)
KEY = jax.random.key(0)
N_TRAIN, N_VALIDATION, N = 60, 70, 90
SHIFT = {8: 1.2, 22: 0.1, 26: -0.6}


def near(crystal: Crystal) -> float:
    found = neighbours(crystal, MODEL.cutoff)
    return float(np.sum((1 - np.sum(found.vectors**2, 1) / MODEL.cutoff**2) ** 3)) / len(crystal)


def gap(crystal: Crystal, functional: str, charge: float) -> float:
    """A law: surroundings, an offset by composition for HSE, and a slope in the charge per atom."""
    offset = float(np.mean([SHIFT[int(z)] for z in crystal.numbers])) if functional == "HSE" else 0.0
    return near(crystal) + offset + 0.8 * charge / len(crystal)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Twelve of sixty training crystals have HSE gaps, and no crystal has both."""
    random = np.random.default_rng(0)
    crystals = tuple(random_crystal(random, tuple(random.choice([8, 22, 26], random.integers(2, 5)))) for _ in range(N))
    functional = np.where(np.arange(N) % 5 == 0, "HSE", "PBE")
    charge = random.choice([0.0, 0.0, 1.0, -1.0], N)
    labels = {"gap": np.array([gap(*row) for row in zip(crystals, functional, charge, strict=True)])}
    return Dataset(crystals, tuple(f"c{i}" for i in range(N)), labels, {"functional": functional, "q": charge})


def visible_of(data: Dataset) -> Visible:
    test = data.select(range(N_VALIDATION, N))
    return Visible(data.select(range(N_TRAIN)), data.select(range(N_TRAIN, N_VALIDATION)), test, test)


@pytest.fixture(scope="module")
def predictor(data: Dataset):
    return LEARNER(visible_of(data), KEY)


def test_two_fidelities_are_told_apart_from_few_labels(predictor, data: Dataset) -> None:
    crystals = data.crystals[N_VALIDATION:]
    truth = {f: np.array([gap(c, f, 0.0) for c in crystals]) for f in ("PBE", "HSE")}
    said = {f: predictor(crystals, fidelity=f).mean for f in ("PBE", "HSE")}
    spread = np.abs((offset := truth["HSE"] - truth["PBE"]) - offset.mean()).mean()
    assert np.abs(said["HSE"] - said["PBE"] - offset).mean() < 0.6 * spread, "by composition, not by one constant"
    for f in said:
        assert np.abs(said[f] - truth[f]).mean() < 0.35 * np.abs(truth[f] - truth[f].mean()).mean()
    mixed = predictor(crystals, fidelity=["PBE", "HSE"] * 10).mean
    np.testing.assert_allclose(mixed, np.where(np.arange(20) % 2, said["HSE"], said["PBE"]), atol=1e-5)
    np.testing.assert_array_equal(predictor(crystals).mean, said["PBE"], err_msg="the first is the default")


def test_charge_is_heard(predictor, data: Dataset) -> None:
    crystals = data.crystals[N_VALIDATION:]
    plus, minus = (predictor(crystals, charge=q).mean for q in (1.0, -1.0))
    slope = (plus - minus) / 2 * np.array([len(c) for c in crystals])
    assert np.abs(slope - 0.8).mean() < 0.25
    own = predictor(crystals, charge=np.tile([1.0, -1.0], 10)).mean
    np.testing.assert_allclose(own, np.where(np.arange(20) % 2, minus, plus), atol=1e-5)


def test_conditions_come_back_from_a_file(predictor, data: Dataset, tmp_path) -> None:
    save_model(tmp_path / "m.safetensors", predictor, None, {})
    loaded = load_model(tmp_path / "m.safetensors").predictor
    ask = lambda p: p(data.crystals[:5], fidelity="HSE", charge=1.0).samples
    np.testing.assert_array_equal(ask(loaded), ask(predictor))
    with pytest.raises(ValueError, match="unknown fidelity 'SCAN'; the model knows: PBE, HSE"):
        loaded(data.crystals[:5], fidelity="SCAN")


def test_askers_are_told_what_is_allowed() -> None:
    np.testing.assert_array_equal(fidelity_index(MODEL, ["HSE", "PBE"], 2), [1, 0])
    np.testing.assert_array_equal(fidelity_index(MODEL, None, 2), [0, 0])
    np.testing.assert_array_equal(charges(MODEL, -1, 2), [-1, -1])
    np.testing.assert_array_equal(charges(Equivariant(), 0.0, 2), [0, 0])
    with pytest.raises(ValueError, match="3 fidelities for 2 crystals"):
        fidelity_index(MODEL, ["HSE"] * 3, 2)
    with pytest.raises(ValueError, match="not conditioned on a fidelity"):
        fidelity_index(Equivariant(), "PBE", 2)
    with pytest.raises(ValueError, match="not conditioned on charge"):
        charges(Equivariant(), 1.0, 2)
    with pytest.raises(ValueError, match="a charge is not finite"):
        charges(MODEL, [0.0, np.nan], 2)
    with pytest.raises(ValueError, match=r"charges have shape \(3,\) for 2 crystals"):
        charges(MODEL, [0.0, 1.0, 2.0], 2)


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({"fidelity": ""}, {}, "conditioned on fidelity; name the domain column that holds it: learner.fidelity"),
        ({"charge": ""}, {}, "conditioned on charge; name the domain column"),
        ({"fidelity": "level"}, {}, "no domain column 'level'; they have: functional, q"),
        ({"charge": "functional"}, {}, "domain column 'functional' must hold numbers"),
        ({}, {"functional": np.array(["SCAN", *["PBE"] * (N - 1)])}, "unknown fidelity 'SCAN'; the model knows: PBE, HSE"),
        ({"model": MODEL.clone(charge=False)}, {}, "learner.charge = 'q', but the model is not conditioned on it; set model.charge"),
        ({"model": MODEL.clone(fidelities=())}, {}, "learner.fidelity = 'functional', but .* set model.fidelities"),
    ],
)
def test_columns_and_model_must_agree(data: Dataset, change: dict, columns: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LEARNER, **change)(visible_of(data.with_domains(**columns)), KEY)
