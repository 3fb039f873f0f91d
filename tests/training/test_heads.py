"""Heads from the labels of a data set to a prediction: what is learned, what is absent, what is refused, what is kept in a file."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from matjax.graph import neighbours
from matjax.nn import Convolution, Equivariant
from matjax.nn.head import Head
from matjax.testing.crystals import random_crystal
from matjax.thermo import fit_references
from matjax.training import AdamW, GraphLearner, checkpoint
from matjax.training.checkpoint import load_model, save_model
from matjax.training.head_labels import trained_heads
from matjax.types import Crystal, Dataset, Visible

HEADS = (
    Head("near", "0e+2e", unit="1"),
    Head("near_atom", "0e+2e", per="atom"),
    Head("volume", reduce="sum", variance=True, weight=0.1, unit="Å³"),
)
MODEL = Equivariant("8x0e+4x2e", n_layer=0, n_basis=6, cutoff=3.5, layers=(Convolution("8x0e+4x2e", (16,), norm=False),), heads=HEADS)
LEARNER = GraphLearner(MODEL, optimizer=AdamW(2e-2), members=2, n_epoch=60, batch_size=8, ema=0.9, shape=(32, 768, 9))
KEY = jax.random.key(0)


def near(crystal: Crystal) -> np.ndarray:
    """Per atom, sum over neighbours of f(r) r (x) r with f = (1 - r^2/c^2)^3: [n_atom, 3, 3]."""
    found = neighbours(crystal, MODEL.cutoff)
    weight = (1 - np.sum(found.vectors**2, 1) / MODEL.cutoff**2) ** 3
    out = np.zeros((len(crystal), 3, 3))
    np.add.at(out, found.receivers, np.einsum("e,ea,eb->eab", weight, found.vectors, found.vectors))
    return out


@pytest.fixture(scope="module")
def data() -> Dataset:
    random = np.random.default_rng(0)
    crystals = tuple(random_crystal(random, (8, 22, 22)[: random.integers(2, 4)]) for _ in range(64))
    tensors = tuple(near(c) for c in crystals)
    labels = {
        "near": np.stack([t.mean(0) for t in tensors]),
        "near_atom": tensors,
        "volume": np.array([c.volume for c in crystals]),
    }
    return Dataset(crystals, tuple(f"c{i}" for i in range(64)), labels, {"part": np.array(["a", "b"] * 32)})


def visible_of(data: Dataset) -> Visible:
    return Visible(data.select(range(44)), data.select(range(44, 54)), data.select(range(54, 64)), data.select(range(54, 64)))


@pytest.fixture(scope="module")
def predictor(data: Dataset):
    return LEARNER(visible_of(data), KEY)


def rows_of(data: Dataset, name: str) -> np.ndarray:
    column = data.labels[name]
    return np.concatenate(column) if isinstance(column, tuple) else column


def test_tensors_of_crystals_and_atoms_are_learned(predictor, data: Dataset) -> None:
    test = visible_of(data).calibration
    test = dataclasses.replace(test, labels=data.select(range(54, 64)).labels)
    said = predictor(test.crystals)
    for name in ("near", "near_atom"):
        truth = rows_of(test, name)
        assert said.heads[name].shape == (2, *truth.shape)
        error, spread = (np.abs(x).mean() for x in (said.heads[name].mean(0) - truth, truth - truth.mean(0)))
        assert error < 0.1 * spread, (name, error, spread)
        np.testing.assert_allclose(said.heads[name], np.swapaxes(said.heads[name], 2, 3), atol=1e-6)
    volume = said.heads["volume"].mean(0) - test.labels["volume"]
    assert np.abs(volume).mean() < 0.4 * np.abs(test.labels["volume"] - test.labels["volume"].mean()).mean()
    noise = said.head_noise["volume"]
    assert noise.shape == (10,) and 0.2 < np.sqrt(np.mean(volume**2)) / np.sqrt(np.mean(noise**2)) < 5
    assert set(said.head_noise) == {"volume"}


def test_heads_alone_have_no_energy_to_tell(predictor, data: Dataset) -> None:
    taught = predictor.supervision
    assert (taught.label, taught.unit, taught.has, taught.heads) == ("", "", (), ("near", "near_atom", "volume"))
    said = predictor(data.crystals[:3])
    assert np.isnan(said.samples).all() and said.samples.shape == (2, 3)
    with pytest.raises(ValueError, match="forces refused.*trained on near, near_atom, volume"):
        predictor(data.crystals[:3], derivatives=("forces",))


def test_a_member_and_the_batch_do_not_show(predictor, data: Dataset) -> None:
    said, backwards = predictor(data.crystals[:20]), predictor(data.crystals[:20][::-1])
    one = predictor.member(1)(data.crystals[:20])
    cuts = np.cumsum(said.n_atom)[:-1]
    for name, x in said.heads.items():
        np.testing.assert_array_equal(one.heads[name], x[[1]])
        parts = np.split(x, cuts, axis=1) if name == "near_atom" else np.split(x, 20, axis=1)
        np.testing.assert_allclose(np.concatenate(parts[::-1], axis=1), backwards.heads[name], atol=1e-5)


def test_energy_is_learned_beside_heads_and_absent_labels_do_not_count(data: Dataset) -> None:
    energy = np.array([-float(np.trace(near(c).sum(0))) for c in data.crystals])
    tensors = data.labels["near"].copy()
    tensors[::2] = np.nan
    atoms = tuple(t if i % 3 else t * np.nan for i, t in enumerate(data.labels["near_atom"]))
    partial = dataclasses.replace(data, labels={**data.labels, "near": tensors, "near_atom": atoms, "energy": energy})
    predictor = LEARNER(visible_of(partial), KEY)
    assert predictor.supervision.has == ("energy",) and predictor.supervision.heads == ("near", "near_atom", "volume")
    test = partial.select(range(54, 64))
    said = predictor(test.crystals)
    truth = data.labels["near"][54:]
    assert np.abs(said.heads["near"].mean(0) - truth).mean() < 0.15 * np.abs(truth - truth.mean(0)).mean()
    per_atom = test.labels["energy"] / said.n_atom
    assert np.abs(said.mean - per_atom).mean() < 0.6 * np.abs(per_atom - per_atom.mean()).mean()
    from_finite = data.select(range(1, 44, 2)).labels["near"]
    shift = np.trace(from_finite.mean(0)) / 3 * np.eye(3)
    np.testing.assert_allclose(predictor.constants["head_near"]["shift"], shift, rtol=1e-5)
    np.testing.assert_allclose(predictor.constants["head_near"]["scale"], np.sqrt(np.mean((from_finite - shift[None]) ** 2)), rtol=1e-5)


def test_heads_come_back_from_a_file(predictor, data: Dataset, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, predictor, None, {})
    loaded = load_model(path).predictor
    assert loaded.model == predictor.model and loaded.supervision == predictor.supervision
    before, after = predictor(data.crystals[:9]), loaded(data.crystals[:9])
    for name in before.heads:
        np.testing.assert_array_equal(before.heads[name], after.heads[name], strict=True)
    np.testing.assert_array_equal(before.head_noise["volume"], after.head_noise["volume"])


def test_a_file_from_before_heads_loads(predictor, data: Dataset, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, predictor, None, {})
    with safe_open(path, framework="numpy") as opened:
        header = json.loads(opened.metadata()[checkpoint.KEY])
    del header["digest"], header["supervision"]["heads"]
    header["model"] = {k: v for k, v in header["model"].items() if k not in ("heads", "fidelities", "charge")}
    arrays = {k: v for k, v in load_file(path).items() if "head_" not in k}
    save_file(arrays, path, {checkpoint.KEY: json.dumps({**header, "digest": checkpoint._digest(header, arrays)})})
    loaded = load_model(path).predictor
    assert loaded.supervision.heads == () and loaded.model == MODEL.clone(heads=())
    assert dict(loaded(data.crystals[:2]).heads) == {}


def changed(data: Dataset, **labels) -> Visible:
    return visible_of(dataclasses.replace(data, labels={k: v for k, v in {**data.labels, **labels}.items() if v is not None}))


def test_labels_that_do_not_fit_their_head_are_refused(data: Dataset) -> None:
    skew = data.labels["near"].copy()
    skew[7, 0, 1] += 0.5
    with pytest.raises(ValueError, match="'near' of 'c7' has a part that '0e.2e' cannot say"):
        LEARNER(changed(data, near=skew), KEY)
    with pytest.raises(ValueError, match=r"'near' of 'c0' has shape \(3,\); a head per crystal of '0e.2e' needs \(3, 3\)"):
        LEARNER(changed(data, near=np.zeros((64, 3))), KEY)
    with pytest.raises(ValueError, match=r"'near_atom' of 'c0' has shape \(3, 3\); a head per atom of '0e.2e' needs \(., 3, 3\)"):
        LEARNER(changed(data, near_atom=data.labels["near"]), KEY)
    with pytest.raises(ValueError, match="head 'volume' has no label in the data; they have: near, near_atom"):
        LEARNER(changed(data, volume=None), KEY)
    with pytest.raises(ValueError, match="'volume' is a head and the label that is learned at once"):
        dataclasses.replace(LEARNER, label="volume")(visible_of(data), KEY)
    twice = dataclasses.replace(LEARNER, model=MODEL.clone(heads=(*HEADS, HEADS[0])))
    with pytest.raises(ValueError, match="two heads are named 'near'"):
        twice(visible_of(data), KEY)
    visible = visible_of(data)
    blank = {k: tuple(x * np.nan for x in v) if isinstance(v, tuple) else v * np.nan for k, v in visible.validation.labels.items()}
    with pytest.raises(ValueError, match="all 10 crystals lack the label of every head"):
        LEARNER(dataclasses.replace(visible, validation=dataclasses.replace(visible.validation, labels=blank)), KEY)


def test_a_head_without_a_finite_label_is_not_heard(data: Dataset) -> None:
    atoms = tuple(t * np.nan for t in data.labels["near_atom"])
    assert [h.name for h in trained_heads(dataclasses.replace(data, labels={**data.labels, "near_atom": atoms}), HEADS)] == [
        "near",
        "volume",
    ]


def test_new_heads_and_conditions_start_from_what_is_known(predictor, data: Dataset) -> None:
    model = MODEL.clone(heads=(HEADS[0], Head("trace"), Head("hardness")), fidelities=("PBE", "HSE"), charge=True)
    trace = np.trace(data.labels["near"], axis1=1, axis2=2)
    more = dataclasses.replace(data, labels={"near": data.labels["near"], "trace": trace})
    more = more.with_domains(level=np.array(["HSE", "PBE"] * 32), q=np.linspace(-1, 1, 64))
    still = dataclasses.replace(LEARNER, model=model, optimizer=AdamW(0.0), n_epoch=1, fidelity="level", charge="q")
    grown = still.fit(visible_of(more), KEY, start=predictor)
    before, after = predictor(data.crystals[:8]), grown(data.crystals[:8], fidelity="HSE", charge=2.0)
    np.testing.assert_allclose(after.heads["near"], before.heads["near"], atol=1e-5)
    assert set(after.heads) == {"near", "trace"}, "a head that nothing taught is not heard"
    np.testing.assert_allclose(grown.constants["head_trace"]["shift"], trace[:44].mean(), rtol=1e-5)
    back = dataclasses.replace(LEARNER, n_epoch=1)
    with pytest.raises(ValueError, match="start knows the fidelities PBE, HSE; model.fidelities must begin with them"):
        back.fit(visible_of(data), KEY, start=grown)
    other = MODEL.clone(heads=(Head("near", "1o"),))
    with pytest.raises(ValueError, match="head 'near' of start is another one"):
        dataclasses.replace(back, model=other).fit(visible_of(data), KEY, start=predictor)
    with pytest.raises(ValueError, match="start is another network"):
        dataclasses.replace(back, model=MODEL.clone(cutoff=3.0)).fit(visible_of(data), KEY, start=predictor)


@pytest.mark.slow
def test_volume_is_learned_beside_formation_energy_on_real_crystals(flla: Dataset) -> None:
    rows = [i for i, c in enumerate(flla.crystals) if 2 <= len(c) <= 6][:400]
    some = flla.select(rows)
    volume = np.array([c.volume / len(c) for c in some.crystals])
    some = dataclasses.replace(
        some, labels={"formation_energy_per_atom": some.labels["formation_energy_per_atom"], "volume_per_atom": volume}
    )
    train, validation, test = some.select(range(320)), some.select(range(320, 340)), some.select(range(340, 400))
    model = Equivariant(
        "8x0e+8x1o",
        n_layer=0,
        n_basis=6,
        cutoff=4.5,
        layers=(Convolution("8x0e", (16,)),),
        embedding="network",
        heads=(Head("volume_per_atom"),),
    )
    learner = GraphLearner(model, optimizer=AdamW(1e-2), members=1, n_epoch=25, batch_size=16)
    predictor = learner(Visible(train, validation, test, test), KEY)
    said = predictor(test.crystals)
    truth = test.labels["volume_per_atom"]
    by_composition = fit_references(train.crystals, train.labels["volume_per_atom"]).per_atom(test.crystals)
    assert np.abs(said.heads["volume_per_atom"][0] - truth).mean() < 0.7 * np.abs(by_composition - truth).mean()
    energy = test.labels["formation_energy_per_atom"]
    assert np.abs(said.mean - energy).mean() < np.abs(predictor.references.per_atom(test.crystals) - energy).mean()
    assert predictor.supervision.label == "formation_energy_per_atom"
