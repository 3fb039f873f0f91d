"""The nouns of matjax: what a crystal, a data set, a split, a graph, a prediction *is*.

Two worlds meet here. Outside are host nouns (frozen dataclasses, NumPy, ragged): `Crystal`, `Dataset`,
`Split`, `Prediction`. Inside are device nouns (NamedTuples of arrays with static shapes): `Graph`, `Output`,
`Outcome`. This module imports nothing of matjax; every room imports it.

Units: Å, eV, eV/Å, eV/Å³, K. Lattice vectors are rows: x = f @ lattice.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jraph
import numpy as np

# ---------------------------------------------------------------------------------------------------------------------
# Host nouns


@dataclasses.dataclass(frozen=True, eq=False)
class Crystal:
    """Atoms, periodic along some or all lattice vectors.

    Attributes:
      lattice: Rows a, b, c [3, 3], Å. A direction that is not periodic still needs a vector (it spans the volume).
      positions: Cartesian [n_atom, 3], Å.
      numbers: Atomic numbers [n_atom], 1 to 118.
      pbc: Periodic along a, b, c [3].
    """

    lattice: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    pbc: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(3, bool))

    def __post_init__(self) -> None:
        """Casts to float64, int32 and bool, checks shapes, and makes the arrays read-only."""
        shapes = {"lattice": (3, 3), "positions": (len(self.numbers), 3), "numbers": (len(self.numbers),), "pbc": (3,)}
        dtypes = {"lattice": np.float64, "positions": np.float64, "numbers": np.int32, "pbc": bool}
        for name, shape in shapes.items():
            array = np.array(getattr(self, name), dtypes[name])
            if array.shape != shape:
                raise ValueError(f"{name} of a crystal has shape {array.shape}; it must be {shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume in Å³, positive also for a left-handed cell."""
        return float(abs(np.linalg.det(self.lattice)))

    @cached_property
    def key(self) -> str:
        """Content hash (16 hex digits): equal for equal arrays, on every machine and run."""
        digest = hashlib.sha256()
        for array in (self.lattice, self.positions, self.numbers, self.pbc):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What the numbers of a data set mean. Written into every checkpoint and report.

    Attributes:
      name: What people call the set.
      units: {label: unit}, after conversion: eV, eV/atom, eV/Å, eV/Å³, or the property's own unit.
      reference: What energies are relative to: "elements" (formation), "atoms", "functional" (total energies), "unknown".
      functional: "PBE", "PBE+U/GGA mixed (MP-2018)", "EAM", "experiment", ...; "unknown" where the source does not say.
      structures: "relaxed", "ideal", "unrelaxed" (frames off equilibrium) or "unknown".
      source: Where the file came from.
      citation: What to cite.
      license: Under which terms.
      notes: What a reader of a result must know (label conventions that differ between domains, for example).
      set_aside: (record, reason) of what the reader left out, by policy.
    """

    name: str = "unnamed"
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reference: str = "unknown"
    functional: str = "unknown"
    structures: str = "unknown"
    source: str = ""
    citation: str = ""
    license: str = ""
    notes: str = ""
    set_aside: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Crystals with labels and domain columns.

    Attributes:
      crystals: The crystals.
      ids: One name per crystal, unique.
      labels: {name: array}. A scalar label is [n], NaN where absent. `forces` is a tuple of [n_atom, 3] arrays, all NaN
        where absent; `stress` is [n, 3, 3]. `energy` is a total in eV; labels in eV/atom end in `_per_atom`.
      domains: {column: [n] array of str or numbers}: any metadata that names where a crystal came from.
      metadata: What the numbers mean.
    """

    crystals: tuple[Crystal, ...]
    ids: tuple[str, ...]
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    domains: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    metadata: Metadata = dataclasses.field(default_factory=Metadata)

    def __post_init__(self) -> None:
        """Checks that every column has one row per crystal and that ids are unique."""
        n = len(self.crystals)
        for kind, columns in (("label", self.labels), ("domain column", self.domains)):
            for name, column in columns.items():
                if len(column) != n:
                    raise ValueError(f"{kind} {name!r} has {len(column)} rows for {n} crystals")
        if len(self.ids) != n:
            raise ValueError(f"{len(self.ids)} ids for {n} crystals")
        if len(set(self.ids)) != n:
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))
            raise ValueError(f"id {twice!r} occurs twice; ids must be unique (n={n})")

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.crystals)

    def select(self, rows: np.ndarray | Sequence[int]) -> Dataset:
        """The data set of these rows (indices or a boolean mask), in the order given."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        take = lambda column: column[rows] if isinstance(column, np.ndarray) else tuple(column[i] for i in rows)
        return dataclasses.replace(
            self,
            crystals=tuple(self.crystals[i] for i in rows),
            ids=tuple(self.ids[i] for i in rows),
            labels={k: take(v) for k, v in self.labels.items()},
            domains={k: take(v) for k, v in self.domains.items()},
        )

    def with_domains(self, **columns: np.ndarray) -> Dataset:
        """The same set with further (or replaced) domain columns."""
        return dataclasses.replace(self, domains={**self.domains, **{k: np.asarray(v) for k, v in columns.items()}})

    @cached_property
    def key(self) -> str:
        """Content hash of crystals, ids, labels and domain columns (16 hex digits)."""
        digest = hashlib.sha256()
        for crystal, name in zip(self.crystals, self.ids, strict=True):
            digest.update(crystal.key.encode() + name.encode())
        for name in sorted(self.domains):
            digest.update(name.encode() + "\n".join(map(str, self.domains[name])).encode())
        for name in sorted(self.labels):
            column = self.labels[name]
            for array in [column] if isinstance(column, np.ndarray) else column:
                digest.update(name.encode() + np.ascontiguousarray(np.asarray(array, np.float64)).tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True, eq=False)
class Visible:
    """What a learner may see of a split: no test labels, by type.

    Attributes:
      train: Labelled crystals to fit.
      validation: Labelled crystals for early stopping and selection.
      calibration: Labelled crystals for intervals; not for fitting.
      target: Crystals of the new domain, labels removed (information level L1; most methods ignore it).
    """

    train: Dataset
    validation: Dataset
    calibration: Dataset
    target: Dataset


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One shift: where a model is trained and where it is tested.

    Attributes:
      shift: Name of the shift, such as `leave_out(anion)`.
      domain: What was held out, such as `nitride`; `random` for the control.
      train: Labelled crystals of the training domains.
      validation: Inside the training domains.
      calibration: Inside the training domains.
      test_inside: Inside the training domains.
      test_outside: The domain that was held out.
      target: Crystals of the held-out domain without labels (disjoint from test_outside).
    """

    shift: str
    domain: str
    train: Dataset
    validation: Dataset
    calibration: Dataset
    test_inside: Dataset
    test_outside: Dataset
    target: Dataset

    def visible(self) -> Visible:
        """The part a learner is given: the tests are not in this type."""
        return Visible(self.train, self.validation, self.calibration, self.target)


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction is its samples: one model, an ensemble and a posterior look the same.

    Attributes:
      samples: [n_sample, n] in the label's unit (energies: eV/atom).
      noise: Predicted aleatoric standard deviation [n], or None where the model has no variance head.
      features: Latent features [n, n_feature] of the first sample, or None.
      forces: Per sample and atom [n_sample, sum n_atom, 3], eV/Å, or None.
      stress: [n_sample, n, 3, 3], eV/Å³, or None.
      n_atom: Atoms per crystal [n], to cut `forces`.
      label: Name of the label that is predicted.
      unit: Its unit.
      heads: What further heads say, {name: [n_sample, n, ...], or [n_sample, sum n_atom, ...] per atom}, in their labels' units.
      head_noise: Predicted aleatoric standard deviation {name: [n] or [sum n_atom]} of heads that have a variance.
    """

    samples: np.ndarray
    noise: np.ndarray | None = None
    features: np.ndarray | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    n_atom: np.ndarray | None = None
    label: str = "energy_per_atom"
    unit: str = "eV/atom"
    heads: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    head_noise: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        """Number of crystals."""
        return self.samples.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """Mean over the samples [n]."""
        return self.samples.mean(0)

    @property
    def std(self) -> np.ndarray:
        """Epistemic standard deviation [n]: the spread of the samples (ddof 1; zero for a single sample)."""
        return self.samples.std(0, ddof=1) if len(self.samples) > 1 else np.zeros(len(self))

    @property
    def total_std(self) -> np.ndarray:
        """Epistemic and aleatoric together [n]."""
        return self.std if self.noise is None else np.sqrt(self.std**2 + self.noise**2)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A material that may be made: which elements sit on which sites of a prototype, as integer counts.

    Attributes:
      prototype: Name of a lattice ("fcc", "bcc", "hcp") or of an ordered structure ("B2", "L1_2"); see simulate.prototypes.
      occupancy: Per orbit of the prototype, (symbol, count) pairs sorted by symbol, counts positive. A solution has one
        orbit whose counts sum to the composition grid; over several orbits counts are in proportion to the multiplicities.
    """

    prototype: str
    occupancy: tuple[tuple[tuple[str, int], ...], ...]

    def __post_init__(self) -> None:
        """Sorts each orbit by symbol and checks the counts."""
        orbits = tuple(tuple(sorted((str(s), int(n)) for s, n in orbit)) for orbit in self.occupancy)
        for orbit in orbits:
            symbols = [s for s, _ in orbit]
            if not orbit or any(n < 1 for _, n in orbit) or len(set(symbols)) < len(symbols):
                raise ValueError(f"orbit {orbit} of {self.prototype}: needs at least one element, each once, with a positive count")
        object.__setattr__(self, "occupancy", orbits)

    @property
    def composition(self) -> dict[str, float]:
        """Atomic fraction by symbol, over all orbits; sorted by symbol."""
        counts: dict[str, int] = {}
        for symbol, n in (pair for orbit in self.occupancy for pair in orbit):
            counts[symbol] = counts.get(symbol, 0) + n
        total = sum(counts.values())
        return {s: counts[s] / total for s in sorted(counts)}

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols, sorted."""
        return tuple(self.composition)

    @property
    def formula(self) -> str:
        """For people, in atomic percent: `fcc Al10 Co30 Ni60`; orbits of an ordered structure are separated by a bar."""
        share = lambda orbit: " ".join(f"{s}{100 * n / sum(m for _, m in orbit):.4g}" for s, n in orbit)
        return f"{self.prototype} " + " | ".join(share(orbit) for orbit in self.occupancy)

    @cached_property
    def key(self) -> str:
        """Content hash (16 hex digits)."""
        text = self.prototype + "|" + "|".join(",".join(f"{s}{n}" for s, n in orbit) for orbit in self.occupancy)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


STATUS = ("converged", "unconverged", "transformed", "failed")


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What an oracle says of one crystal. Only what is converged is ever learned from.

    Attributes:
      status: "converged"; "unconverged" (ran out of steps); "transformed" (the lattice was lost); "failed".
      crystal: The relaxed crystal, or None.
      labels: Numbers of the relaxed crystal: `energy_per_atom` (eV/atom), `volume_per_atom` (Å³/atom).
      elastic: Elastic constants [6, 6] in Voigt notation, eV/Å³, or None where not asked for.
      frames: Configurations met on the way with `energy`, `forces` and `stress`, to train on, or None.
      evidence: Of convergence: `max_force` (eV/Å), `max_stress` (eV/Å³), `n_step`, `volume_ratio`, `max_displacement` (Å),
        `min_distance` (Å).
      cost: Seconds of the oracle.
      error: "class: message" of what went wrong; empty when converged. Classes: transient, numerical, physical, programming.
    """

    status: str
    crystal: Crystal | None = None
    labels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    elastic: np.ndarray | None = None
    frames: Dataset | None = None
    evidence: Mapping[str, float] = dataclasses.field(default_factory=dict)
    cost: float = 0.0
    error: str = ""

    def __post_init__(self) -> None:
        """Checks the status."""
        if self.status not in STATUS:
            raise ValueError(f"status of a result is {self.status!r}; allowed: {', '.join(STATUS)}")

    @property
    def converged(self) -> bool:
        """Whether the labels may be learned from."""
        return self.status == "converged"


# ---------------------------------------------------------------------------------------------------------------------
# Device nouns

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
    """

    loss: jax.Array
    features: jax.Array
    log_variance: jax.Array | None
    error: jax.Array
    domain: jax.Array
    weight: jax.Array
    labelled: jax.Array
    mask: jax.Array
