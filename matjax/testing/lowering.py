"""What a function would be on an accelerator that is not at hand: it is lowered there from here, and read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

PLATFORMS = ("cuda", "tpu")
"""Accelerators that everything has to lower for."""


@dataclasses.dataclass(frozen=True, order=True)
class Operation:
    """One operation of a lowered program.

    Attributes:
      name: Such as `stablehlo.dot_general`.
      source: Where it comes from, in JAX's words and with file and line.
    """

    name: str
    source: str


def lower(function: Callable[..., Any], *args: Any, platform: str, **kwargs: Any) -> jax.stages.Lowered:
    """The program that a function, jitted or not, is on another platform.

    Args:
      function: What to lower.
      *args: Its arguments; arrays or `jax.ShapeDtypeStruct`.
      platform: "cuda", "tpu", "rocm" or "cpu".
      **kwargs: Further arguments of the function.
    """
    traced: Any = function if hasattr(function, "trace") else jax.jit(function)
    return traced.trace(*args, **kwargs).lower(lowering_platforms=(platform,))


def float64_operations(lowered: jax.stages.Lowered) -> tuple[Operation, ...]:
    """Every operation of a program that takes or makes float64, each source once, sorted.

    Args:
      lowered: What `lower` returns, or `jax.jit(f).lower(...)`.
    """
    program: Any = lowered.compiler_ir("stablehlo")
    operations = _inside(program.operation)
    return tuple(sorted({Operation(o.operation.name, _source(str(o.operation.location))) for o in operations if _is_double(o.operation)}))


def check_no_float64(function: Callable[..., Any], *args: Any, platforms: tuple[str, ...] = PLATFORMS, **kwargs: Any) -> None:
    """Checks that a function lowers for every platform without an operation in float64.

    Raises:
      AssertionError: Naming the operations and where they come from.
    """
    for platform in platforms:
        found = float64_operations(lower(function, *args, platform=platform, **kwargs))
        lines = "\n".join(f"  {o.name}: {o.source}" for o in found)
        assert not found, f"on {platform} these operations need float64:\n{lines}"


def _inside(operation: Any) -> Iterator[Any]:
    """Every operation within another, at any depth."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner
                yield from _inside(inner.operation)


def _is_double(operation: Any) -> bool:
    types = (str(value.type) for value in (*operation.operands, *operation.results))
    return not operation.name.startswith("func.") and any("f64" in kind for kind in types)


def _source(location: str) -> str:
    """`jit(f)/sin (file.py:12)` of MLIR's nested location; without a file where JAX made the operation on its own."""
    name = re.search(r'"([^"]+)"', location)
    place = re.search(r'"([^"]+\.py)":(\d+)', location)
    said = name[1] if name and not name[1].endswith(".py") else "made by JAX"
    return f"{said} ({Path(place[1]).name}:{place[2]})" if place else said
