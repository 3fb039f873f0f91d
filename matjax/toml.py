"""Specs to TOML and back: the frozen dataclass is the config.

A nested spec is a table. Where a field allows several classes, the table says which with `kind`: the class name in snake
case (`matjax.config.kind_of`), or `my_package.my_module:MyRisk` for a class of your own. The allowed kinds are the
members of the field's annotation, such as `ERM | GroupDRO | BaseRisk` where the last is a protocol; nothing has to be
registered. A table without `kind` changes the field's default: it is of that class, and what it leaves out stays as it is there. With
`kind` what is left out is that class's own default. A flax module is read and written like a spec.

- A spec or flax module is a table with a `kind`, or just the kind as a string where its defaults will do.
- A tuple is an array, a float may be written without a point.
- None is left out, or `"none"` where the default is something else.
- A class that is built from its own text (e3nn's Irreps) is a string.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
import tomli_w

from matjax.config import kind_of


def to_toml(spec: Any, annotation: Any = None) -> str:
    """The TOML document of a spec; `from_toml` gives the equal spec back.

    Args:
      spec: A spec or a flax module.
      annotation: What the reader will ask for, if that is a union: the document then starts with `kind`.

    Raises:
      ValueError: If a setting has no form in TOML (a function, say).
    """
    return tomli_w.dumps(to_dict(spec, annotation))


def from_toml(source: str | Path, annotation: Any) -> Any:
    """The spec that a TOML document describes.

    Args:
      source: The text itself, or a `Path` to read it from.
      annotation: The spec class, or a union of them.

    Raises:
      ValueError: If the file cannot be read, is not TOML, or does not fit; the message says where and what is allowed.
    """
    if isinstance(source, str):
        return from_dict(tomllib.loads(source), annotation)
    try:
        return from_dict(tomllib.loads(source.read_text(encoding="utf-8")), annotation)
    except (OSError, ValueError) as error:
        raise ValueError(f"{source}: {error}") from error


def to_dict(spec: Any, annotation: Any = None) -> dict[str, Any]:
    """The settings of a spec as plain values (str, bool, int, float, list, dict) that TOML and JSON hold.

    Args:
      spec: A spec or a flax module.
      annotation: What the reader will ask for; `kind` is written where this leaves a choice of class.

    Raises:
      ValueError: If a setting has no form in TOML.
    """
    return _table(spec, type(spec) if annotation is None else annotation, None)


def _table(spec: Any, annotation: Any, default: Any) -> dict[str, Any]:
    """The settings of a spec as plain values; what is left out is that of `default`, if the reader starts from there."""
    known = _classes(annotation)
    tag = kind_of(type(spec)) if type(spec) in known else f"{type(spec).__module__}:{type(spec).__qualname__}"
    table: dict[str, Any] = {} if known == [type(spec)] else {"kind": tag}
    for name, (hint, field) in _settings(type(spec)).items():
        value, start = getattr(spec, name), _default(field)
        if "kind" not in table and type(default) is type(spec):
            start = getattr(default, name)
        if value is not None or start is not None:
            table[name] = _write(value, hint, f"{type(spec).__name__}.{name}", start)
    return table


def from_dict(values: Mapping[str, Any], annotation: Any, where: str = "") -> Any:
    """The spec that plain values describe: casts to the annotated types, refuses what is unknown.

    Args:
      values: {setting: value}, as `to_dict` writes them; settings left out keep their default.
      annotation: The spec class, or a union of them (then `values` holds `kind`).
      where: Dotted path of `values` in its document, for messages.

    Raises:
      ValueError: If a key is unknown or missing, or a value does not fit; the message says where, what came, what is allowed.
    """
    return _read(dict(values), annotation, where)


def _members(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation alone."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return list(typing.get_args(annotation)) if union else [annotation]


def _is_open(member: Any) -> bool:
    """Whether an annotation admits any class of the user's own: a protocol, a callable, flax's `Module`."""
    return member is nn.Module or getattr(member, "_is_protocol", False) or typing.get_origin(member) is Callable


def _classes(annotation: Any) -> list[Any]:
    """The members that are written as tables: specs, flax modules, and what stands for any of them."""
    return [m for m in _members(annotation) if isinstance(m, type) and dataclasses.is_dataclass(m) or _is_open(m)]


def _settings(cls: type) -> dict[str, tuple[Any, dataclasses.Field]]:
    """{name: (annotation, field)} of what a user sets; `parent` and `name` of a flax module belong to flax."""
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    if {"parent", "name"} <= fields.keys():
        fields = {name: f for name, f in fields.items() if name not in ("parent", "name")}
    return {name: (hints[name], f) for name, f in fields.items()}


def _default(field: dataclasses.Field) -> Any:
    """What a setting is when it is left out; MISSING if it must be given."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _item_types(annotation: Any, n: int) -> list[Any] | None:
    """The annotations of the n items of an array, or None if no tuple of that length is allowed."""
    for member in _members(annotation):
        args = typing.get_args(member)
        if member is tuple or member is Any:
            return [Any] * n
        if typing.get_origin(member) is tuple and (args[-1] is Ellipsis or len(args) == n):
            return [args[0]] * n if args[-1] is Ellipsis else list(args)
    return None


def _describe(annotation: Any) -> str:
    """What an annotation allows, in the words of a TOML file."""
    return " or ".join(map(_word, _members(annotation)))


def _word(member: Any) -> str:
    """What one member of an annotation allows."""
    args = typing.get_args(member)
    if member is type(None):
        return '"none"'
    if _is_open(member):
        return "a table with kind = my_package.my_module:MyClass"
    if typing.get_origin(member) is typing.Literal:
        return " or ".join(map(repr, args))
    if typing.get_origin(member) is tuple:
        return f"an array ({_describe(args[0])}, ...)" if args[-1] is Ellipsis else f"an array ({', '.join(map(_describe, args))})"
    if isinstance(member, type) and dataclasses.is_dataclass(member):
        return f"a table of {kind_of(member)}"
    return getattr(member, "__name__", str(member))


def _write(value: Any, annotation: Any, where: str, default: Any = None) -> Any:
    """The plain value of one setting."""
    if value is None:
        return "none"
    if dataclasses.is_dataclass(value):
        return _table(value, annotation, default)
    if hasattr(value, "item") and np.ndim(value) == 0:
        return value.item()  # a number of NumPy or JAX
    if value == "none" and type(None) in _members(annotation):
        raise ValueError(f"{where} is the string 'none', which TOML keeps for None here; use another word")
    if isinstance(value, (str, bool, int, float)):
        return value
    if type(value) in (tuple, list):
        hints = _item_types(annotation, len(value)) or [Any] * len(value)
        return [_write(v, h, f"{where}.{i}") for i, (v, h) in enumerate(zip(value, hints, strict=True))]
    if isinstance(value, Path) or any(m is type(value) for m in _members(annotation)) and type(value)(str(value)) == value:
        return str(value)
    raise ValueError(f"{where} is {value!r} ({type(value).__name__}), which has no form in TOML")


def _read(value: Any, annotation: Any, where: str, default: Any = None) -> Any:
    """The value of one setting, of one of the annotated types; a table without `kind` starts from the default."""
    members, classes = _members(annotation), _classes(annotation)
    if value == "none" and type(None) in members:
        return None
    if classes and (isinstance(value, dict) or isinstance(value, str) and str not in members):
        return _read_table({"kind": value} if isinstance(value, str) else value, classes, where, default)
    hints = _item_types(annotation, len(value)) if isinstance(value, list) else None
    if hints is not None:
        return tuple(_read(v, h, _join(where, i)) for i, (v, h) in enumerate(zip(value, hints, strict=True)))
    for member in [m for m in members if type(value) is m] or members:
        if (found := _cast(value, member, where)) is not None:
            return found
    raise ValueError(f"{where or 'settings'} is {value!r} ({type(value).__name__}); allowed: {_describe(annotation)}")


def _cast(value: Any, member: Any, where: str) -> Any:
    """The scalar as this one type, or None if it is of another."""
    if typing.get_origin(member) is typing.Literal:
        return next((a for a in typing.get_args(member) if a == value and type(a) is type(value)), None)
    if member is Any or type(value) is member:
        return value
    if member is float and type(value) is int:
        return float(value)
    if isinstance(member, type) and isinstance(value, str) and member not in (str, bool, int, float, type(None), tuple):
        try:
            return member(value)
        except ValueError as error:
            raise ValueError(f"{where} is {value!r}, not a valid {member.__name__}: {error}") from error
    return None


def _read_table(table: dict[str, Any], classes: Sequence[Any], where: str, default: Any = None) -> Any:
    """The spec of a table: picks its class, reads each setting, lets the class validate."""
    cls = _class_of(table, classes, where, default)
    settings = _settings(cls)
    starts = {name: _default(field) for name, (_, field) in settings.items()}
    kept = {name: getattr(default, name) for name in settings} if type(default) is cls and "kind" not in table else {}
    unknown = next((key for key in table if key not in settings and key != "kind"), None)
    if unknown is not None:
        raise ValueError(f"{_join(where, unknown)} is not a setting of {kind_of(cls)}{_nearest(unknown, settings)}")
    read = lambda key, value: _read(value, settings[key][0], _join(where, key), (starts | kept)[key])
    given = kept | {key: read(key, value) for key, value in table.items() if key in settings}
    required = [n for n, (_, f) in settings.items() if f.default is f.default_factory is dataclasses.MISSING and n not in given]
    if required:
        raise ValueError(f"{where or 'settings'}: {kind_of(cls)} also needs {', '.join(required)}")
    try:
        return cls(**given)
    except ValueError as error:
        raise ValueError(f"{where or 'settings'} ({kind_of(cls)}): {error}") from error


def _class_of(table: dict[str, Any], classes: Sequence[Any], where: str, default: Any) -> Any:
    """The class that a table's `kind` names among the allowed ones, or that of the default, or the only one there is."""
    kinds = {kind_of(c): c for c in classes if not _is_open(c)}
    kind = table.get("kind")
    if kind is None and len(classes) == len(kinds) == 1:
        return classes[0]
    stranger = next((key for key in table if type(default) in classes and key not in _settings(type(default))), None)
    if kind is None and type(default) in classes and stranger is None:
        return type(default)
    if kind in kinds:
        return kinds[kind]
    if isinstance(kind, str) and ":" in kind and len(classes) > 1 - any(map(_is_open, classes)):
        return _own_class(kind, where)
    came = "kind is missing" if kind is None else f"there is no kind {kind!r}"
    if kind is None and stranger is not None:
        usual = type(default)
        if difflib.get_close_matches(stranger, list(_settings(usual)), n=1):
            raise ValueError(f"{_join(where, stranger)} is not a setting of {kind_of(usual)}{_nearest(stranger, _settings(usual))}")
        came += f" ({stranger} is not a setting of {kind_of(usual)}, the default)"
    raise ValueError(f"{where or 'settings'}: {came}{_nearest(str(kind), [*kinds, 'my_package.my_module:MyClass'])}")


def _own_class(path: str, where: str) -> Any:
    """The class at `my_package.my_module:MyClass`; it must be a spec or a flax module."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{where or 'settings'}: cannot find the kind {path!r}: {error}") from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f"{where or 'settings'}: {path!r} is neither a spec (matjax.config.spec) nor a flax module")
    return found


def _nearest(word: str, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest one, or all."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(allowed) or 'nothing'}"


def _join(where: str, key: str | int) -> str:
    """The dotted path one step further down."""
    return f"{where}.{key}" if where else str(key)
