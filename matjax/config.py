"""Settings are specs: frozen dataclasses of plain values that print, compare, hash, and come from TOML.

A spec is also a JAX pytree: its numbers (`float` fields and nested specs) are leaves, its structure (`int`, `bool`,
`str`, tuples of them) is static. So a jitted function that takes a spec compiles once for every strength, and a sweep
over strengths can be vmapped.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def kind_of(cls: type) -> str:
    """The tag of a spec class in TOML: its name in snake case, or its own `kind`."""
    own = cls.__dict__.get("kind")
    return own if isinstance(own, str) else re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()


def _is_leaf(annotation: Any) -> bool:
    """Whether a field of this annotation holds numbers that jit should trace: floats, specs, tuples or unions of them."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_is_leaf(a) for a in typing.get_args(annotation) if a is not type(None))
    if origin is tuple:
        return any(_is_leaf(a) for a in typing.get_args(annotation) if a is not Ellipsis)
    return annotation is float or getattr(annotation, "__is_spec__", False)


@dataclass_transform(frozen_default=True)
def spec(cls: type[T]) -> type[T]:
    """Makes a class a spec: a frozen dataclass whose float and spec fields are pytree leaves, all else static.

    A field with `metadata={"static": True}` stays static whatever its type.
    """
    frozen = dataclasses.dataclass(frozen=True)(cls)
    hints = typing.get_type_hints(frozen)
    fields = [f for f in dataclasses.fields(frozen) if f.init]  # type: ignore[arg-type]
    leaves = [f.name for f in fields if _is_leaf(hints[f.name]) and not f.metadata.get("static")]
    static = [f.name for f in fields if f.name not in leaves]
    jax.tree_util.register_dataclass(frozen, data_fields=leaves, meta_fields=static)
    frozen.__is_spec__ = True  # type: ignore[attr-defined]
    return frozen
