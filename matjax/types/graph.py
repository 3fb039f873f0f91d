"""Crystals on the device: padded graphs, what a model says of them, and what a risk sees of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jraph

Array = Any  # NumPy while a batch is packed, a JAX array from then on


class Nodes(NamedTuple):
    """Per atom.

    numbers [n_node]; forces [n_node, 3] in eV/Å, zero where unlabelled; mask [n_node] is False on padding; targets
    {head: [n_node, ...]}: labels of heads that answer per atom, zero where unlabelled.
    """

    numbers: Array
    forces: Array
    mask: Array
    targets: Mapping[str, Array] = {}


class Edges(NamedTuple):
    """Per directed neighbour pair; edges i -> j and j -> i through the same image are one undirected pair.

    vectors [n_edge, 3] in Å: receiver - sender + image @ lattice; pair [n_edge]: the undirected pair of each edge; first
    [n_edge / 2]: one edge of each pair. Both are None in graphs that were built without: what depends on lengths alone is
    then worked out per edge instead of per pair.
    """

    vectors: Array
    pair: Array | None = None
    first: Array | None = None


class Globals(NamedTuple):
    """Per crystal of a packed batch; every array is [n_graph] but stress [n_graph, 3, 3] and the labels of heads.

    energy: label in eV above the references (see thermo.references), zero where unlabelled; has_energy, has_forces,
    has_stress: 1.0 where labelled; stress: eV/Å³; volume: Å³, 1 on padding; domain: integer domain, 0 on padding;
    held_from: bit m is set where ensemble member m must not train on this crystal (cross-fitting over domains);
    weight: sample weight; index: row in the data set that was packed, -1 on padding; mask: False on padding; fidelity:
    integer level of theory that the answer is conditioned on; charge: a total-charge-like number that it is conditioned on;
    targets {head: [n_graph, ...]}: labels of heads that answer per crystal, zero where unlabelled; has {head: [n_graph]}: 1.0
    where a head (per crystal or per atom) is labelled.
    """

    energy: Array
    has_energy: Array
    has_forces: Array
    stress: Array
    has_stress: Array
    volume: Array
    domain: Array
    held_from: Array
    weight: Array
    index: Array
    mask: Array
    fidelity: Array
    charge: Array
    targets: Mapping[str, Array] = {}
    has: Mapping[str, Array] = {}


if TYPE_CHECKING:

    class Graph(NamedTuple):
        """A jraph.GraphsTuple whose parts are ours; edges are sorted by receiver."""

        nodes: Nodes
        edges: Edges
        receivers: Array
        senders: Array
        globals: Globals
        n_node: Array
        n_edge: Array
else:
    Graph = jraph.GraphsTuple


class Output(NamedTuple):
    """What a model says of a batch.

    energy: [n_graph] eV above the references; log_variance: [n_graph] log of the variance of energy per atom, in units
    of the model's scale squared, or None; features: [n_graph, n_feature] pooled invariants (what penalties and novelty
    look at); forces: [n_node, 3] eV/Å or None; stress: [n_graph, 3, 3] eV/Å³ or None; heads: what further heads say,
    {name: [n_graph, ...] or [n_node, ...]}, in the units of their labels; head_log_variance {name: [n_graph] or [n_node]}: log
    of the variance of a head's error (per atom, where the label is extensive), in units of the head's scale squared.
    """

    energy: jax.Array
    log_variance: jax.Array | None
    features: jax.Array
    forces: jax.Array | None = None
    stress: jax.Array | None = None
    heads: Mapping[str, jax.Array] = {}
    head_log_variance: Mapping[str, jax.Array] = {}


class Outcome(NamedTuple):
    """What a risk sees of a batch: everything per graph, nothing about the model that made it.

    loss: [n_graph] per-graph loss, dimensionless; features: [n_graph, n_feature]; log_variance: [n_graph] or None;
    error: [n_graph] signed error of energy per atom in units of the model's scale; domain: [n_graph] int32 in
    [0, n_domain); weight: [n_graph] sample weight (bootstrap, importance); labelled: [n_graph] bool, False for target
    crystals whose label is unknown; mask: [n_graph] bool, False on padding.

    Some risks need more, which is None where nobody asked: prediction: [n_graph] predicted energy per atom in units of the
    model's scale; slope: [n_graph] d loss / d w at w = 1 of the loss of w times the prediction; inputs: [n_graph, n_input] what
    was given to the model, in a form that no parameter touches.
    """

    loss: jax.Array
    features: jax.Array
    log_variance: jax.Array | None
    error: jax.Array
    domain: jax.Array
    weight: jax.Array
    labelled: jax.Array
    mask: jax.Array
    prediction: jax.Array | None = None
    slope: jax.Array | None = None
    inputs: jax.Array | None = None
