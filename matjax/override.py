"""Single settings from the command line: `--set risk.base.strength=0.02`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from matjax.toml import from_dict, to_dict


def override(spec: Any, assignments: Iterable[str], annotation: Any = None) -> Any:
    """The spec with single settings replaced: `override(s, ["risk.base.kind=vrex", "risk.base.strength=2"])`.

    A value is read as TOML, and as a plain string where it is not TOML. Items of an array are addressed by position:
    `risk.penalties.0.strength=0.1`. Outer settings come first and a `kind` before its settings, so that the order does
    not matter; a new `kind` starts from the defaults of its class. Of two assignments to one setting the later holds.

    Args:
      spec: A spec or a flax module.
      assignments: Texts of the form `path.to.setting=value`.
      annotation: What `spec` was read as, if that is a union.

    Raises:
      ValueError: If an assignment has no `=`, names no setting, or its value does not fit.
    """
    annotation = type(spec) if annotation is None else annotation
    table = to_dict(spec, annotation)
    for path, value in sorted(map(_assignment, assignments), key=lambda pair: (len(pair[0]), pair[0][-1] != "kind")):
        _assign(table, path, value)
    return from_dict(table, annotation)


def _assignment(text: str) -> tuple[list[str], Any]:
    """Path and value of `a.b.c=value`."""
    path, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not all(path.split(".")):
        raise ValueError(f"{text!r} is not of the form path.to.setting=value")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    return path.split("."), parsed["value"] if parsed.keys() == {"value"} else value


def _assign(node: Any, path: list[str], value: Any, depth: int = 0) -> None:
    """Sets one value in nested plain tables and arrays; a new kind clears its table."""
    key = _key(node, path, depth)
    if depth < len(path) - 1:
        if isinstance(node, dict) and node.get(key, "none") == "none":
            node[key] = {}
        _assign(node[key], path, value, depth + 1)
        return
    if key == "kind" and node.get("kind", value) != value:
        node.clear()
    node[key] = value


def _key(node: Any, path: list[str], depth: int) -> Any:
    """The step into this node: a name for a table, a position for an array."""
    if isinstance(node, dict):
        return path[depth]
    if not isinstance(node, list):
        raise ValueError(f"{'.'.join(path[:depth])} is {node!r}, not a table; {'.'.join(path)} cannot be set")
    if not path[depth].isdigit() or int(path[depth]) >= len(node):
        raise ValueError(f"{'.'.join(path[: depth + 1])}: the array has {len(node)} items, numbered from 0")
    return int(path[depth])
