"""The contract of a model: energy, forces and stress obey the symmetries and limits of matter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.graph import Shape, batches, pack, shape_for
from matjax.keys import child, generator
from matjax.nn import Model, evaluate
from matjax.nn.head import Head
from matjax.testing.compare import as_double, as_dtype, assert_close, assert_dtype, assert_finite
from matjax.testing.crystals import random_crystal, random_rotation, to_double_graph
from matjax.testing.heads import Heads, doubled, heads_of, known_heads, permuted, turned
from matjax.types import Crystal, Graph

NUMBERS = (8, 22, 26, 16)
STEP = 1e-4
SMALL = 1e-6
_EXACT = {"rtol": 1e-8, "atol": 1e-9}


class Answer(NamedTuple):
    """What a model says of one crystal: energy in eV, forces [n_atom, 3] in eV/Å, stress [3, 3] in eV/Å³, further heads."""

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    heads: Heads


Ask = Callable[[Sequence[Crystal]], list[Answer]]


def check_model(model: Model, *, key: jax.Array) -> None:
    """Holds a model against the laws of matter and the contract of packed batches, in double precision.

    Energy, forces, stress and heads, if there are any: rotation, inversion, translation, permutation, supercell, wrapped atoms,
    skewed and left-handed lattice. Energy, forces and stress: far apart = additive, an isolated atom, no jump of energy or
    forces when a neighbour enters, forces that sum to zero, finite differences, the gradient with respect to positions and
    strain written out, finite and right second derivatives. Batches: batch = single, padded = unpadded with garbage in the
    padding, down to the gradients of parameters; jit = eager; a member of a vmapped ensemble = that member alone; float32 stays
    float32 and float64 float64.

    Args:
      model: The model; its variables are initialised here and jittered. Heads turn as its attribute `heads` says
        (`matjax.nn.head.Head`); without it every trailing axis of a head is x, y, z.
      key: For variables and crystals.

    Raises:
      AssertionError: If it breaks the contract; the message says where.
    """
    random = generator(child(key, "crystals"))
    crystal = random_crystal(random, NUMBERS)
    with jax.enable_x64(True):
        graph = to_double_graph(crystal, model.cutoff)
        shape = shape_for([to_double_graph(_supercell(crystal), model.cutoff)], 3)
        batch = pack([graph], shape, cutoff=model.cutoff)
        variables = _jittered(_init(child(key, "init"), batch, model=model), random)
        ask = functools.partial(_ask, model, variables, shape)
        _check_dtype(model, variables, batch)
        _check_symmetries(ask, crystal, random, known_heads(model))
        _check_limits(ask, random, model.cutoff)
        _check_entrance(ask, model.cutoff)
        _check_differences(ask, crystal)
        _check_batches(model, variables, crystal, shape, random)
        _check_gradient(model, variables, batch, crystal)
        _check_curvature(model, variables, batch, random)
        _check_members(model, variables, batch)


def _jittered(variables: Any, random: np.random.Generator) -> Any:
    """Parameters away from special values; constants scaled, because a constant that is zero (the shift of a vector) may have to be."""
    scaled = jax.tree.map(lambda x: np.asarray(x, np.float64) * (1 + 0.1 * random.normal()), variables)
    return {**scaled, "params": as_double(variables["params"], random)}


# ---------------------------------------------------------------------------------------------------------------------
# Laws of matter


def _check_symmetries(ask: Ask, crystal: Crystal, random: np.random.Generator, known: Mapping[str, Head]) -> None:
    changes = _changes(crystal, random, known)
    (expected,) = ask([crystal])
    assert_finite(expected, "the answer")
    assert_close(expected.stress, expected.stress.T, "stress is not symmetric", **_EXACT)
    assert_close(np.zeros(3), expected.forces.sum(0), "forces do not sum to zero", **_EXACT)
    for (name, (_, expect)), found in zip(changes.items(), ask([c for c, _ in changes.values()]), strict=True):
        wanted = expect(expected)
        found = found._replace(heads={name: found.heads[name] for name in wanted.heads})
        assert_close(wanted, found, f"{name}: the answer is not what it must be", **_EXACT)


def _changes(
    crystal: Crystal, random: np.random.Generator, known: Mapping[str, Head]
) -> dict[str, tuple[Crystal, Callable[[Answer], Answer]]]:
    """{law: (changed crystal, what the answer becomes)}."""
    lattice, positions, numbers = crystal.lattice, crystal.positions, crystal.numbers
    turn, order = random_rotation(random), random.permutation(len(crystal))
    images = random.integers(-2, 3, (len(crystal), 3)) @ lattice
    skew = np.array([[1, 0, 0], [1, 1, 0], [-1, 2, 1]])
    same = lambda answer: answer
    return {
        "rotation": (
            Crystal(lattice @ turn.T, positions @ turn.T, numbers),
            lambda a: Answer(a.energy, a.forces @ turn.T, turn @ a.stress @ turn.T, turned(a.heads, known, turn)),
        ),
        "inversion": (
            Crystal(-lattice, -positions, numbers),
            lambda a: a._replace(forces=-a.forces, heads=turned(a.heads, known, -np.eye(3))),
        ),
        "translation": (Crystal(lattice, positions + random.normal(size=(1, 3)), numbers), same),
        "permutation": (
            Crystal(lattice, positions[order], numbers[order]),
            lambda a: a._replace(forces=a.forces[order], heads=permuted(a.heads, order)),
        ),
        "supercell": (
            _supercell(crystal),
            lambda a: Answer(2 * a.energy, np.tile(a.forces, (2, 1)), a.stress, doubled(a.heads, known)),
        ),
        "atoms moved by lattice vectors": (Crystal(lattice, positions + images, numbers), same),
        "skewed choice of lattice": (Crystal(skew @ lattice, positions, numbers), same),
        "left-handed lattice": (Crystal(lattice[[1, 0, 2]], positions, numbers), same),
    }


def _supercell(crystal: Crystal) -> Crystal:
    lattice = crystal.lattice * np.array([[2], [1], [1]])
    return Crystal(lattice, np.concatenate([crystal.positions, crystal.positions + crystal.lattice[0]]), np.tile(crystal.numbers, 2))


def _check_limits(ask: Ask, random: np.random.Generator, cutoff: float) -> None:
    """Far apart is additive; an isolated atom has an energy, no edges and no forces, in vacuum and in a large cell."""
    open_space = (False, False, False)
    one, two = (random_crystal(random, numbers, open_space) for numbers in (NUMBERS[:3], NUMBERS[2:]))
    far = two.positions + np.array([[0.0, 0.0, one.lattice[2, 2] + 3 * cutoff]])
    both = Crystal(one.lattice, np.concatenate([one.positions, far]), np.concatenate([one.numbers, two.numbers]), np.array(open_space))
    atom = Crystal(np.eye(3), np.zeros((1, 3)), NUMBERS[:1], np.array(open_space))  # type: ignore[arg-type]
    alone = Crystal(3 * cutoff * np.eye(3), np.ones((1, 3)), NUMBERS[:1])  # type: ignore[arg-type]
    a, b, ab, vacuum, cell = ask([one, two, both, atom, alone])
    assert_close(a.energy + b.energy, ab.energy, "energies of distant clusters do not add", **_EXACT)
    assert_close(np.concatenate([a.forces, b.forces]), ab.forces, "distant clusters feel each other", **_EXACT)
    assert len(to_double_graph(atom, cutoff).senders) == 0
    assert_finite(vacuum, "an isolated atom")
    assert_close(vacuum.energy, cell.energy, "an atom in a large cell is not an isolated atom", **_EXACT)
    assert_close((np.zeros((1, 3)), np.zeros((3, 3))), (cell.forces, cell.stress), "an isolated atom feels forces", **_EXACT)


def _check_entrance(ask: Ask, cutoff: float) -> None:
    """An atom that comes in through the cutoff of two others changes neither energy nor forces with a jump."""
    place = lambda share: np.array([[0, 0, 0], [0, 1.8, 0], [0, 0, share * cutoff]])
    at = lambda share: Crystal(np.eye(3), place(share), np.array(NUMBERS[:3]), np.zeros(3, bool))
    outside, leaving, inside = ask([at(1 + SMALL), at(1 - SMALL), at(0.7)])
    for name, of in (("energy", lambda a: a.energy), ("forces", lambda a: a.forces)):
        jump, change = (float(np.abs(of(a) - of(outside)).max()) for a in (leaving, inside))
        assert jump <= 1e-4 * change + 1e-12, f"a neighbour enters the cutoff with a jump of the {name}: {jump:.1e}; inside: {change:.1e}"


def _check_differences(ask: Ask, crystal: Crystal) -> None:
    """Forces and stress against central differences of the energy."""
    (answer,) = ask([crystal])
    slope = lambda answers: (np.array([a.energy for a in answers[1::2]]) - np.array([a.energy for a in answers[::2]])) / (2 * STEP)
    units = np.eye(3 * len(crystal)).reshape(-1, len(crystal), 3)
    moved = [Crystal(crystal.lattice, crystal.positions + sign * STEP * unit, crystal.numbers) for unit in units for sign in (-1, 1)]
    near = {"rtol": 1e-5, "atol": 1e-6 * np.abs(answer.forces).max()}
    assert_close(-slope(ask(moved)).reshape(-1, 3), answer.forces, "forces are not the slope of the energy", **near)
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    strains = [(np.outer(np.eye(3)[i], np.eye(3)[j]) + np.outer(np.eye(3)[j], np.eye(3)[i])) / 2 for i, j in pairs]
    deform = lambda strain: Crystal(crystal.lattice @ (np.eye(3) + strain), crystal.positions @ (np.eye(3) + strain), crystal.numbers)
    found = slope(ask([deform(sign * STEP * strain) for strain in strains for sign in (-1, 1)])) / crystal.volume
    near = {"rtol": 1e-5, "atol": 1e-6 * np.abs(answer.stress).max()}
    assert_close(found, np.array([answer.stress[p] for p in pairs]), "stress is not the slope of the energy", **near)


# ---------------------------------------------------------------------------------------------------------------------
# The contract of packed batches


def _check_dtype(model: Model, variables: Any, batch: Graph) -> None:
    for dtype in (np.float32, np.float64):
        said = jax.eval_shape(functools.partial(_evaluate, model=model), as_dtype(variables, dtype), as_dtype(batch, dtype))
        assert_dtype(said, dtype, "the output")


def _check_batches(model: Model, variables: Any, crystal: Crystal, shape: Shape, random: np.random.Generator) -> None:
    """Batch = single, padded = unpadded, garbage in the padding, jit = eager, down to gradients of parameters."""
    graphs = [to_double_graph(c, model.cutoff) for c in (crystal, random_crystal(random, NUMBERS[1:]), _supercell(crystal))]
    room = lambda n: pack(graphs[:n], shape, cutoff=model.cutoff)
    single, batch = (_evaluate(variables, room(n), model=model) for n in (1, 3))
    n_atom = len(crystal)
    known, atoms = known_heads(model), slice(0, n_atom)
    heads = lambda said: [heads_of(x, known, shape.n_node, 0, atoms) for x in (said.heads, said.head_log_variance)]
    cut = lambda said: (said.energy[0], said.features[0], said.forces[:n_atom], said.stress[0], heads(said))
    assert_close(cut(single), cut(batch), "the rest of the batch shows", **_EXACT)
    eager = model.apply(variables, room(1))
    assert_close((single.energy[0], single.features[0]), (eager.energy[0], eager.features[0]), "jit and eager differ", **_EXACT)
    dirty = _with_garbage(room(1), random)
    assert_close(cut(single), cut(_evaluate(variables, dirty, model=model)), "the padding shows", **_EXACT)
    clean = _slopes(variables, room(1), model=model)
    assert_finite(clean, "gradients of parameters")
    scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(clean))
    near = {"rtol": 1e-7, "atol": 1e-9 * scale}
    assert_close(clean, _slopes(variables, dirty, model=model), "the padding shows in the gradients of parameters", **near)
    assert_close(clean, _slopes(variables, graphs[0], model=model), "gradients of parameters differ without padding", **near)


def _with_garbage(batch: Graph, random: np.random.Generator) -> Graph:
    """The batch with atoms, short edges, labels and volumes wherever there is padding."""
    node, graph = ~batch.nodes.mask, ~batch.globals.mask
    edge = np.arange(len(batch.senders)) >= batch.n_edge[batch.globals.mask].sum()
    fill = lambda x, rows: np.where(rows.reshape(-1, *(1,) * (x.ndim - 1)), random.normal(size=x.shape).astype(x.dtype), x)
    return batch._replace(
        nodes=batch.nodes._replace(
            numbers=np.where(node, random.integers(1, 90, len(node), np.int32), batch.nodes.numbers), forces=fill(batch.nodes.forces, node)
        ),
        edges=batch.edges._replace(vectors=fill(batch.edges.vectors, edge)),
        globals=batch.globals._replace(
            energy=fill(batch.globals.energy, graph), stress=fill(batch.globals.stress, graph), volume=fill(batch.globals.volume, graph)
        ),
    )


def _check_gradient(model: Model, variables: Any, batch: Graph, crystal: Crystal) -> None:
    """Forces and stress by the edge vectors equal the gradient with respect to positions and strain, written the obvious way."""
    said = _evaluate(variables, batch, model=model)
    positions = np.zeros((len(batch.nodes.mask), 3))
    positions[: len(crystal)] = crystal.positions
    force, strain = _obvious(variables, batch, positions, model=model)
    assert_close(force[: len(crystal)], said.forces[: len(crystal)], "forces differ from the gradient by positions", **_EXACT)
    assert_close(strain[0] / crystal.volume, said.stress[0], "stress differs from the gradient by strain", **_EXACT)


def _check_curvature(model: Model, variables: Any, batch: Graph, random: np.random.Generator) -> None:
    """A Hessian-vector product is finite, and the change of the slope along the vector: what training on forces differentiates."""
    vectors, direction = batch.edges.vectors, random.normal(size=batch.edges.vectors.shape)
    at = lambda step: _curvature(variables, batch, vectors + step * direction, direction, model=model)
    bent = at(0.0)[1]
    assert_finite(bent, "second derivatives")
    near = {"rtol": 1e-5, "atol": 1e-6 * float(np.abs(bent).max())}
    found = (at(SMALL)[0] - at(-SMALL)[0]) / (2 * SMALL)
    assert_close(found, bent, "second derivatives are not the slope of the first", **near)


@functools.partial(jax.jit, static_argnames=("model",))
def _curvature(variables: Any, batch: Graph, vectors: jax.Array, direction: jax.Array, *, model: Model) -> tuple[jax.Array, jax.Array]:
    """(gradient of the energy by edge vectors, its Hessian times a direction), both [n_edge, 3]."""

    def energy(vectors: jax.Array) -> jax.Array:
        said: Any = model.apply(variables, batch._replace(edges=batch.edges._replace(vectors=vectors)))
        return jnp.sum(jnp.where(batch.globals.mask, jnp.asarray(said.energy), 0.0))

    return jax.jvp(jax.grad(energy), (vectors,), (direction,))


def _check_members(model: Model, variables: Any, batch: Graph) -> None:
    """Two members under vmap answer as each alone."""
    members = [variables, jax.tree.map(lambda x: 1.05 * x, variables)]
    alone = [_evaluate(member, batch, model=model) for member in members]
    together = _evaluate_members(jax.tree.map(lambda *x: np.stack(x), *members), batch, model=model)
    for i, expected in enumerate(alone):
        found = jax.tree.map(lambda x, i=i: x[i], together)
        assert_close(expected, found, "a member of a vmapped ensemble differs from that member alone", **_EXACT)


@functools.partial(jax.jit, static_argnames=("model",))
def _evaluate_members(variables: Any, batch: Graph, *, model: Model) -> Any:
    return jax.vmap(lambda member: evaluate(model, member, batch))(variables)


@functools.partial(jax.jit, static_argnames=("model",))
def _obvious(variables: Any, batch: Graph, positions: jax.Array, *, model: Model) -> tuple[jax.Array, jax.Array]:
    """(-dE/dpositions [n_node, 3], dE/dstrain [n_graph, 3, 3]) with vector = receiver - sender + image, all of it strained."""
    n_graph, n_node, n_edge = len(batch.n_node), len(positions), len(batch.senders)
    node_owner = jnp.repeat(jnp.arange(n_graph), batch.n_node, total_repeat_length=n_node)
    edge_owner = jnp.repeat(jnp.arange(n_graph), batch.n_edge, total_repeat_length=n_edge)
    image = batch.edges.vectors - (positions[batch.receivers] - positions[batch.senders])

    def energy(positions: jax.Array, strain: jax.Array) -> jax.Array:
        deform = jnp.eye(3)[None] + (strain + jnp.swapaxes(strain, 1, 2)) / 2
        x = jnp.einsum("nij,nj->ni", deform[node_owner], positions)
        vectors = x[batch.receivers] - x[batch.senders] + jnp.einsum("eij,ej->ei", deform[edge_owner], image)
        said: Any = model.apply(variables, batch._replace(edges=batch.edges._replace(vectors=vectors)))
        return jnp.sum(jnp.where(batch.globals.mask, jnp.asarray(said.energy), 0.0))

    force, strain = jax.grad(energy, (0, 1))(positions, jnp.zeros((n_graph, 3, 3)))
    return -force, strain


@functools.partial(jax.jit, static_argnames=("model",))
def _init(key: jax.Array, batch: Graph, *, model: Model) -> Any:
    return model.init(key, batch)


@functools.partial(jax.jit, static_argnames=("model",))
def _evaluate(variables: Any, batch: Graph, *, model: Model) -> Any:
    return evaluate(model, variables, batch)


@functools.partial(jax.jit, static_argnames=("model",))
def _slopes(variables: Any, batch: Graph, *, model: Model) -> Any:
    """Gradient of a loss on energies and forces with respect to the parameters."""

    def loss(params: Any) -> jax.Array:
        said: Any = evaluate(model, {**variables, "params": params}, batch, derivatives=("forces",))
        return jnp.sum(jnp.where(batch.globals.mask, jnp.asarray(said.energy), 0.0) ** 2) + jnp.sum(jnp.square(said.forces))

    return jax.grad(loss)(variables["params"])


def _ask(model: Model, variables: Any, shape: Shape, crystals: Sequence[Crystal]) -> list[Answer]:
    """Packs, evaluates, unpacks."""
    answers: list[Answer] = []
    for batch in batches([to_double_graph(c, model.cutoff) for c in crystals], shape, cutoff=model.cutoff):
        said = _evaluate(variables, batch, model=model)
        energy, forces, stress = (np.asarray(x) for x in (said.energy, said.forces, said.stress))
        ends = np.cumsum(batch.n_node[batch.globals.mask])
        for i, (n_atom, end) in enumerate(zip(batch.n_node[batch.globals.mask], ends, strict=True)):
            heads = heads_of(said.heads, known_heads(model), shape.n_node, i, slice(end - n_atom, end))
            answers.append(Answer(energy[i], forces[end - n_atom : end], stress[i], heads))
    return answers
