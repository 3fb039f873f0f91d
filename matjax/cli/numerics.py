"""What has to be computed to be known: whether XLA gives right forces on this machine, and how fast."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.cli.health import Finding, Status, numbers
from matjax.data import load
from matjax.graph import pack, shape_for, to_graphs
from matjax.nn import Equivariant, evaluate
from matjax.training.step import predict_step
from matjax.types import Graph, Output

TINY = Equivariant(irreps="4x0e+4x1o", n_layer=1, n_basis=4)
ROUNDING = 1e-4  # of the largest force: float32 in another order of summation
REDUCED = 1e-2  # of the largest force: products in TF32 or bfloat16
N_SLOW = 0.05  # s; 100,000 rows of 64 take 2 to 10 ms on one core
YNN = "--xla_cpu_experimental_ynn_fusion_type="
YNN_ADVICE = (
    f"XLA_FLAGS={YNN} (nothing after the =) turns off a fusion that costs training a tenth to a quarter of its time on a CPU (jax 0.12; "
    "half of it in 0.10)"
)


def findings() -> Iterator[Finding]:
    """Every check, as it is done; the last two side by side, because XLA compiles on one core.

    Yields:
      One finding per check.
    """
    yield devices()
    yield float64()
    yield scatter()
    graph, params = example(), members(2)
    mapped, finding = compiled(graph, params)
    yield finding
    first = lambda tree: jax.tree.map(lambda x: x[0], tree)
    with ThreadPoolExecutor(1) as pool:
        eager = pool.submit(evaluate_eagerly, graph, first(params))
        yield compare("ensemble", "vmapped against mapped", mapped, vmapped(graph, params))
        yield compare("forces", "jit against eager", first(mapped), eager.result())


def devices() -> Finding:
    """The backend of jax and its devices."""
    found, backend = jax.devices(), jax.default_backend()
    memories = [(d.memory_stats() or {}).get("bytes_limit", 0) / 2**30 for d in found]
    sizes = [f"{d.device_kind}{f' ({m:.0f} GiB)' if m else ''}" for d, m in zip(found, memories, strict=True)]
    said = f"{len(found)} on backend {backend}: {', '.join(sizes)}"
    values = {"backend": backend, "devices": [d.device_kind for d in found], "memory_GiB": memories}
    return Finding("devices", *_backend_advice(backend, said), values=values)


def _backend_advice(backend: str, said: str) -> tuple[Status, str, str]:
    if backend == "cpu" and shutil.which("nvidia-smi"):
        return "warn", said, 'there is an NVIDIA driver, but this jax cannot use it: pip install "jax[cuda12]" of the same release'
    if backend == "cpu" and (0, 10) <= numbers(jax.__version__) < (0, 13) and YNN not in os.environ.get("XLA_FLAGS", ""):
        return "pass", said, YNN_ADVICE
    return "pass", said, ""


def float64() -> Finding:
    """Whether `jax.enable_x64` opens a scope of float64, inside and outside jit, and closes it again."""
    third = lambda x: jnp.asarray(1.0) / x
    with jax.enable_x64(True):
        inside = [third(jnp.asarray(3.0)), jax.jit(third)(jnp.asarray(3.0)), jax.grad(third)(jnp.asarray(-3.0)) * -3.0]
    error = max(abs(float(x) - 1 / 3) for x in inside)
    outside = jnp.asarray(1.0).dtype
    values = {"error": error, "outside": str(outside)}
    if error > 1e-15:
        return Finding(
            "float64", "fail", f"a float64 scope is wrong by {error:.1e}", "thermodynamics needs it: change the release of jax", values
        )
    if outside != jnp.float32:
        return Finding(
            "float64", "warn", f"the default is {outside}", "unset JAX_ENABLE_X64: networks are slower, and tested in float32", values
        )
    return Finding("float64", "pass", "scopes of float64 are exact, float32 outside", values=values)


def scatter(n_edge: int = 100_000, n_node: int = 5_000, width: int = 64) -> Finding:
    """Times the hot operation of a graph network, a sorted `segment_sum`, and checks it against NumPy."""
    receivers = np.sort(np.random.default_rng(0).integers(0, n_node, n_edge)).astype(np.int32)
    messages = np.random.default_rng(1).normal(size=(n_edge, width)).astype(np.float32)
    total = jax.jit(lambda x, to: jax.ops.segment_sum(x, to, n_node, indices_are_sorted=True))
    arrays = jnp.asarray(messages), jnp.asarray(receivers)
    found = np.asarray(total(*arrays))
    expected = np.zeros((n_node, width))
    np.add.at(expected, receivers, messages)
    error, seconds = float(np.abs(found - expected).max()), fastest(lambda: total(*arrays))
    said = f"sorted segment_sum of {n_edge:,} x {width} in {seconds * 1e3:.1f} ms ({messages.nbytes / seconds / 1e9:.1f} GB/s)"
    values = {"seconds": seconds, "error": error}
    if error > 1e-3:
        return Finding("scatter", "fail", f"a sorted segment_sum is wrong by {error:.1e}", "change the release of jax", values)
    if seconds > N_SLOW:
        return Finding("scatter", "warn", said, "slow; a busy machine, or a release of jax with slow scatters", values)
    return Finding("scatter", "pass", said, values=values)


def fastest(work: Callable[[], Any], repeats: int = 5) -> float:
    """The shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - start)
    return min(times)


def example() -> Graph:
    """A real crystal of little symmetry, so that it has forces, as a padded batch: the smallest triclinic one that ships."""
    dataset = load("flla")
    triclinic = dataset.select(dataset.domains["crystal_system"] == "triclinic").crystals
    graphs = to_graphs([min(triclinic, key=len)], cutoff=TINY.cutoff)
    return jax.tree.map(jnp.asarray, pack(graphs, shape_for(graphs, 1), cutoff=TINY.cutoff))


def members(n_member: int) -> Any:
    """Parameters of an ensemble of tiny networks, drawn on the host: compiling the initialiser would take longer than the checks."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(TINY.init, jax.random.key(0), example())["params"]
    draw = lambda s: random.normal(size=(n_member, *s.shape)) / np.sqrt(s.shape[0] if s.ndim > 1 else 1)
    return jax.tree.map(lambda s: jnp.asarray(draw(s), s.dtype), shapes)


CONSTANTS = {"scale": np.float32(1.0), "average_degree": np.float32(20.0)}


def evaluate_eagerly(graph: Graph, params: Any) -> Output:
    """Energy and forces of one member, every operation on its own."""
    constants = jax.tree.map(jnp.asarray, CONSTANTS)
    return jax.block_until_ready(evaluate(TINY, {"params": params, "constants": constants}, graph, derivatives=("forces",)))


def vmapped(graph: Graph, params: Any) -> Output:
    """Energies and forces of all members at once."""
    one = lambda p: evaluate(TINY, {"params": p, "constants": CONSTANTS}, graph, derivatives=("forces",))
    return jax.jit(jax.vmap(one))(params)


def compiled(graph: Graph, params: Any) -> tuple[Output, Finding]:
    """What the program of a prediction (members one after the other) says, and how long it took to compile or to find in the cache."""
    hits: list[str] = []
    listen = lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None
    jax.monitoring.register_event_listener(listen)
    start = time.perf_counter()
    program = predict_step.lower(params, CONSTANTS, graph, model=TINY, derivatives=("forces",)).compile()
    seconds = time.perf_counter() - start
    jax.monitoring.unregister_event_listener(listen)
    said = f"an ensemble's program was {'read from the cache' if hits else 'compiled'} in {seconds:.1f} s"
    return program(params, CONSTANTS, graph), Finding("compile", "pass", said, values={"seconds": seconds, "from_cache": bool(hits)})


def compare(name: str, what: str, first: Output, second: Output) -> Finding:
    """The largest difference between two evaluations of the same forces, against the largest force."""
    assert first.forces is not None and second.forces is not None
    largest = float(np.abs(first.forces).max())
    difference = float(np.abs(np.asarray(first.forces) - np.asarray(second.forces)).max())
    said = f"{what}: forces differ by at most {difference:.1e} of {largest:.2g} eV/Å"
    values = {"difference": difference, "largest": largest}
    if not difference <= REDUCED * largest:
        return Finding(name, "fail", said, "XLA gives wrong forces here: do not use this release of jax", values)
    if difference > ROUNDING * largest:
        return Finding(name, "warn", said, "products run in reduced precision; JAX_DEFAULT_MATMUL_PRECISION=highest is exact", values)
    return Finding(name, "pass", said, values=values)
