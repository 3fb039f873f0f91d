"""The scorer of partial materials: from what is already there and the element whose turn it is, to scores of its counts and a value.

It sees elements only through embeddings of their physical features (plus a free part, zero until learned), and what is in
the material only through sums over its elements. So it has something to say of an element that it was never shown.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax import keys
from matjax.data.elements import N_ELEMENT, physical_features
from matjax.value.tree import Tree

Params = dict[str, jax.Array]


class Vocabulary(NamedTuple):
    """What the steps of a tree are about: an embedding per step.

    current: the element whose turn it is [n_step, n_feature], zero at the structure; ahead: mean of the elements not yet decided
    [n_step, n_feature]; progress: share of the steps done [n_step].
    """

    current: jax.Array
    ahead: jax.Array
    progress: np.ndarray


class Partly(NamedTuple):
    """Partial materials.

    index: step [n]; node: of the tree [n]; structure: its index [n], -1 before it is chosen; pooled: sum of share x embedding over what is
    in the material [n, n_feature]; on_orbit: the same over what is already on the orbit in turn, of the orbit's sites [n, n_feature], or
    None where materials have one orbit.
    """

    index: jax.Array
    node: jax.Array
    structure: jax.Array
    pooled: jax.Array
    on_orbit: jax.Array | None = None


def init(tree: Tree, key: jax.Array, *, width: int = 128, depth: int = 2, n_feature: int = 32, n_preference: int = 0) -> Params:
    """Parameters of a scorer that starts at the prior: every material equally likely, value zero.

    Args:
      tree: Fixes the number of actions, of structures and their orbits, and of elements in a material.
      key: Random key.
      width: Width of the hidden layers.
      depth: Number of hidden layers.
      n_feature: Size of an element's embedding.
      n_preference: Numbers that say what is preferred (see `condition`); 0 for a scorer of one reward.
    """
    n_physical = physical_features().shape[1]
    per_element = (4 if tree.n_orbit == 1 else 6) * n_feature
    sizes = [per_element + tree.n_structure * tree.n_orbit + tree.max_elements + 1 + 3] + [width] * depth
    normal = lambda name, shape, fan: jax.random.normal(keys.child(key, name), shape) / np.sqrt(fan)
    params = {"physical": normal("physical", (n_physical, n_feature), 4.0), "own": jnp.zeros((1 + N_ELEMENT, n_feature))}
    for i, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        params |= {f"weight_{i}": normal(f"layer {i}", (fan_in, fan_out), fan_in), f"bias_{i}": jnp.zeros(fan_out)}
    params |= {"score": jnp.zeros((width, tree.n_action)), "value": jnp.zeros(width), "offset": jnp.zeros(()), "scale": jnp.ones(())}
    if n_preference:
        params |= {f"shift.bias_{i}": normal(f"shift {i}", (n_preference, width), n_preference) for i in range(depth)}
        params |= {f"shift.{head}": jnp.zeros((n_preference, *params[head].shape)) for head in ("score", "value", "offset")}
    return params


def condition(params: Params, preference: jax.Array) -> Params:
    """The scorer of one preference [n_preference], a scorer like any other: preference @ shift is added to what has a shift.

    To move the first bias is to give the preference to the network as an input; to move the heads is to mix one head per goal, which
    is what a reward that is linear in the preference asks for.
    """
    shifts = {name.removeprefix("shift."): shift for name, shift in params.items() if name.startswith("shift.")}
    moved = {name: params[name] + jnp.tensordot(preference, shift, 1) for name, shift in shifts.items()}
    return {name: x for name, x in params.items() if not name.startswith("shift.")} | moved


def vocabulary(params: Params, numbers: jax.Array, n_orbit: int = 1) -> tuple[jax.Array, Vocabulary]:
    """Embeddings [n_element, n_feature] of elements by atomic number [n_element], and what they say of each step.

    Each element has one step per orbit, after the step of the structure.
    """
    elements = jnp.asarray(physical_features())[numbers] @ params["physical"] + params["own"][numbers]
    n_element = len(numbers)
    total = jnp.concatenate([jnp.cumsum(elements[::-1], 0)[::-1], jnp.zeros_like(elements[:1])], 0)  # from element k on
    left = jnp.maximum(n_element - jnp.maximum(jnp.arange(n_element + 1) - 1, 0), 1)
    ahead = total[jnp.maximum(jnp.arange(n_element + 1) - 1, 0)] / left[:, None]
    current = jnp.concatenate([jnp.zeros_like(elements[:1]), elements], 0)
    turn = np.concatenate([[0], np.repeat(np.arange(1, n_element + 1), n_orbit)])
    return elements, Vocabulary(current[turn], ahead[turn], turn / n_element)


def score(params: Params, tree: Tree, vocabulary: Vocabulary, at: Partly) -> tuple[jax.Array, jax.Array]:
    """Scores of the actions beyond their prior, and the value, of partial materials.

    Returns:
      Scores [n, n_action] and value / tau [n], dimensionless.
    """
    index, current, pooled = at.index, vocabulary.current[at.index], 4.0 * at.pooled
    left, used = jnp.asarray(tree.left)[index, at.node], jnp.asarray(tree.used)[index, at.node]
    plain = jnp.stack([left, jnp.asarray(vocabulary.progress)[index], 1.0 * (index == 0)], 1)
    orbit = (index - 1) % tree.n_orbit
    place = jnp.where(at.structure < 0, -1, at.structure * tree.n_orbit + orbit)
    kinds = [jax.nn.one_hot(place, tree.n_structure * tree.n_orbit), jax.nn.one_hot(used, tree.max_elements + 1)]
    here = [] if at.on_orbit is None else [2.0 * at.on_orbit, 2.0 * current * at.on_orbit]
    x = jnp.concatenate([current, pooled, current * pooled, vocabulary.ahead[index], *here, *kinds, plain], 1)
    for i in range(sum(name.startswith("weight_") for name in params)):
        x = jax.nn.silu(x @ params[f"weight_{i}"] + params[f"bias_{i}"][None, :])
    return x @ params["score"], params["offset"] + params["scale"] * (x @ params["value"])
