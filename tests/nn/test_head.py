"""Heads turn as their labels do, per crystal or per atom, and feel neither padding nor the size of the cell."""

import functools

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import pack, shape_for
from matjax.nn import Convolution, Equivariant
from matjax.nn.cartesian import cartesian_basis
from matjax.nn.head import Head, HeadReadout, noise
from matjax.testing.compare import as_double
from matjax.testing.crystals import random_crystal, random_rotation, to_double_graph
from matjax.toml import from_toml, to_toml
from matjax.types import Crystal

IRREPS = "4x0e+4x1o+4x2e"
HEADS = (
    Head("gap", variance=True),
    Head("moments", "2x0e", reduce="sum"),
    Head("polarisation", "1o"),
    Head("dielectric", "0e+2e"),
    Head("charges", per="atom", variance=True),
    Head("gradient", "2e", per="atom"),
    Head("pull", "1o", per="atom"),
)
MODEL = Equivariant(IRREPS, n_layer=0, n_basis=4, layers=(Convolution(IRREPS, (8,)),), heads=HEADS, fidelities=("a", "b"), charge=True)
KIND = {h.name: h for h in HEADS}


@functools.partial(jax.jit, static_argnames=("head",))
def read_out(variables, features, *, head: Head):
    n = len(features["0e"])
    pool = lambda x: jnp.sum(x, axis=0, keepdims=True)
    return HeadReadout(head).apply(variables, features, features["0e"][:, 0], jnp.array([n]), pool)


@pytest.mark.parametrize(
    "irreps", ["0e", "0o", "1o", "1e", "0e+2e", pytest.param("0e+1e+2e", marks=pytest.mark.slow), "2x0e+2x2e+4e", "2x1o+2o+3o"]
)
@pytest.mark.parametrize("per", ["crystal", "atom"])
def test_heads_of_every_kind_turn_as_their_label(irreps: str, per: str) -> None:
    random = np.random.default_rng(1)
    head = Head("x", irreps, per=per)
    kinds = ["0e", *{str(ir): None for _, ir in e3nn.Irreps(irreps) if str(ir) != "0e"}]
    with jax.enable_x64(True):
        features = {k: random.normal(size=(3, e3nn.Irrep(k).dim, 5)) for k in kinds}
        pool = lambda x: jnp.sum(x, axis=0, keepdims=True)
        start = HeadReadout(head).init(jax.random.key(0), features, features["0e"][:, 0], jnp.array([3]), pool)
        variables = {"params": as_double(start["params"], random), "constants": start["constants"]}
        answer = np.asarray(read_out(variables, features, head=head)[0])
        assert answer.shape == (1 if per == "crystal" else 3, *head.shape) and np.abs(answer).max() > 1e-3
        by = lambda turn, irreps: np.asarray(e3nn.Irreps(irreps).regroup().D_from_matrix(jnp.asarray(turn)))
        for turn in (random_rotation(random), -random_rotation(random)):
            turned = read_out(variables, {k: np.einsum("ab,nbc->nac", by(turn, k), x) for k, x in features.items()}, head=head)[0]
            basis = cartesian_basis(irreps)
            flat = basis.reshape(-1, basis.shape[-1])
            expected = answer.reshape(len(answer), -1) @ (flat @ by(turn, irreps) @ flat.T).T
            np.testing.assert_allclose(np.asarray(turned).reshape(expected.shape), expected, atol=1e-10)


@functools.partial(jax.jit, static_argnames=("model",))
def apply(variables, graph, *, model):
    return model.apply(variables, graph)


CRYSTAL = random_crystal(np.random.default_rng(2), (8, 22, 26))
TWICE = Crystal(
    CRYSTAL.lattice * np.array([[2.0], [1.0], [1.0]]),
    np.concatenate([CRYSTAL.positions, CRYSTAL.positions + CRYSTAL.lattice[:1]]),
    np.tile(CRYSTAL.numbers, 2),
)


def conditioned(crystal: Crystal, charge: float):
    graph = to_double_graph(crystal, MODEL.cutoff)
    return graph._replace(globals=graph.globals._replace(fidelity=np.array([1], np.int32), charge=np.array([charge])))


@pytest.fixture(scope="module")
def asked():
    """Output of the model of all heads for crystals, padding removed; jittered parameters, shifts and scales, double precision."""
    with jax.enable_x64(True):
        shape = shape_for([conditioned(TWICE, 1.0)] * 2, 1, slack=2.0)
        start = jax.jit(MODEL.init)(jax.random.key(0), pack([conditioned(CRYSTAL, 1.0)], shape, cutoff=MODEL.cutoff))
    random = np.random.default_rng(3)
    variables = {"params": as_double(start["params"], random), "constants": as_double(start["constants"], random)}
    for head in HEADS:  # only invariants are shifted
        constants = variables["constants"][f"head_{head.name}"]
        constants["shift"] = (
            0.3 * np.eye(3) if head.name == "dielectric" else constants["shift"] if "0e" in head.irreps else np.zeros(head.shape)
        )

    def ask(crystals, charge=1.0, garbage=False, **changes):
        graphs = [conditioned(c, charge) for c in crystals]
        with jax.enable_x64(True):
            batch = pack(graphs, shape, cutoff=MODEL.cutoff)
            if garbage:
                numbers = np.where(batch.nodes.mask, batch.nodes.numbers, 17).astype(np.int32)
                batch = batch._replace(
                    nodes=batch.nodes._replace(numbers=numbers),
                    globals=batch.globals._replace(
                        charge=np.where(batch.globals.mask, batch.globals.charge, 9.0), fidelity=np.ones_like(batch.globals.fidelity)
                    ),
                )
            out = apply(variables, batch._replace(globals=batch.globals._replace(**changes)), model=MODEL)
            real = {"crystal": batch.globals.mask, "atom": batch.nodes.mask}
            cut = lambda said: {name: np.asarray(x)[real[KIND[name].per]] for name, x in said.items()}
            return cut(out.heads), cut(out.head_log_variance), np.asarray(out.energy)[batch.globals.mask]

    return ask


def test_answers_have_the_shapes_of_labels(asked) -> None:
    heads, spread, _ = asked([CRYSTAL])
    shapes = {
        "gap": (1,),
        "moments": (1, 2),
        "polarisation": (1, 3),
        "dielectric": (1, 3, 3),
        "charges": (3,),
        "gradient": (3, 3, 3),
        "pull": (3, 3),
    }
    assert {name: x.shape for name, x in heads.items()} == shapes
    assert {name: x.shape for name, x in spread.items()} == {"gap": (1,), "charges": (3,)}
    np.testing.assert_allclose(heads["dielectric"], np.swapaxes(heads["dielectric"], 1, 2), atol=1e-12)
    np.testing.assert_allclose(np.trace(heads["gradient"], axis1=1, axis2=2), 0, atol=1e-12)
    assert all(np.abs(x).max() > 1e-4 for x in heads.values())


@pytest.mark.parametrize("sign", [1, -1], ids=["rotation", "inversion"])
def test_heads_turn_with_the_crystal(asked, sign: int) -> None:
    turn = sign * random_rotation(np.random.default_rng(4))
    heads, spread, energy = asked([CRYSTAL])
    moved, moved_spread, moved_energy = asked([Crystal(CRYSTAL.lattice @ turn.T, CRYSTAL.positions @ turn.T, CRYSTAL.numbers)])
    np.testing.assert_allclose(moved_energy, energy, atol=1e-9)
    for name, x in heads.items():
        rank = len(KIND[name].shape) if name != "moments" else 0
        expected = {0: lambda x: x, 1: lambda x: x @ turn.T, 2: lambda x: turn @ x @ turn.T}[rank](x)
        np.testing.assert_allclose(moved[name], expected, atol=1e-9, err_msg=name)
    for name, x in spread.items():
        np.testing.assert_allclose(moved_spread[name], x, atol=1e-9)


def test_intensive_and_extensive_heads_of_a_supercell(asked) -> None:
    heads, spread, energy = asked([CRYSTAL], charge=1.0)
    large, large_spread, large_energy = asked([TWICE], charge=2.0)
    np.testing.assert_allclose(large_energy, 2 * energy, atol=1e-9)
    for name, x in heads.items():
        head = KIND[name]
        expected = 2 * x if head.extensive else np.tile(x, (2, *(1,) * (x.ndim - 1))) if head.per == "atom" else x
        np.testing.assert_allclose(large[name], expected, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(large_spread["gap"], spread["gap"], atol=1e-9)


def test_neither_neighbours_in_the_batch_nor_padding_show(asked) -> None:
    alone, together, dirty = asked([CRYSTAL]), asked([CRYSTAL, TWICE]), asked([CRYSTAL], garbage=True)
    for (name, x), said, padded in zip(alone[0].items(), together[0].values(), dirty[0].values(), strict=True):
        np.testing.assert_allclose(said[: len(x)], x, atol=1e-9, err_msg=name)
        np.testing.assert_array_equal(padded, x, err_msg=name)


def test_fidelity_and_charge_are_heard_by_energy_and_heads(asked) -> None:
    heads, _, energy = asked([CRYSTAL])
    for other, _, other_energy in (asked([CRYSTAL], charge=0.5), asked([CRYSTAL], fidelity=np.zeros(3, np.int32))):
        assert np.abs(other_energy - energy).min() > 1e-4
        assert all(np.abs(other[name] - x).max() > 1e-6 for name, x in heads.items())


def test_a_missing_irrep_is_named() -> None:
    graph = pack([to_double_graph(CRYSTAL, 4.0)], shape_for([to_double_graph(CRYSTAL, 4.0)], 2), cutoff=4.0)
    model = Equivariant("4x0e+4x1o", n_layer=0, n_basis=4, layers=(Convolution("4x0e+4x1o"),), heads=(Head("dielectric", "0e+2e"),))
    with pytest.raises(ValueError, match="head 'dielectric' .0e.2e. needs 2e features, but the last layer has 0e, 1o alone"):
        jax.eval_shape(model.init, jax.random.key(0), graph)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": ""}, "needs the name of a label"),
        ({"name": "a/b"}, "without a slash"),
        ({"per": "site"}, "per is 'site'; allowed: crystal, atom"),
        ({"reduce": "max"}, "reduce is 'max'; allowed: mean, sum"),
        ({"irreps": "1o", "variance": True}, "a variance is for a single scalar"),
        ({"irreps": "vector", "variance": True}, "no sum of irreps"),
    ],
)
def test_heads_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Head(**{"name": "x", **settings})


def test_heads_and_conditions_can_be_written_down() -> None:
    said = to_toml(MODEL.clone(layers=()))
    assert from_toml(said, Equivariant) == MODEL.clone(layers=())
    assert 'irreps = "0e+2e"' in said and "fidelities = [" in said


def test_noise_is_in_the_units_of_the_label() -> None:
    log_variance = np.log(np.array([[4.0, 1.0], [16.0, 1.0]]))
    np.testing.assert_allclose(noise(Head("x"), log_variance, 0.5, np.array([3, 7])), [0.5 * np.sqrt(10), 0.5])
    np.testing.assert_allclose(noise(Head("x", reduce="sum"), log_variance, 0.5, np.array([3, 7])), [1.5 * np.sqrt(10), 3.5])
