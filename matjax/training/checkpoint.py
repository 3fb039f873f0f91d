"""A trained model in one file: safetensors for every array, JSON in its header for what the arrays mean. Never pickle.

The header says what supervised the model, which network it is, with which settings and versions it was made, and a
digest of its arrays. A file that is truncated, damaged, foreign or from a newer matjax is refused by name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from matjax import __version__
from matjax.graph import Shape
from matjax.nn import Equivariant, Model
from matjax.thermo import References
from matjax.toml import from_dict, to_dict
from matjax.training.predictor import GraphPredictor
from matjax.training.supervision import Supervision

KEY = "matjax"  # the one entry of safetensors' metadata (several come in random order), so that equal models are equal files
VERSION = 1
PACKAGES = ("jax", "jaxlib", "flax", "e3nn-jax", "optax", "numpy", "vesin", "safetensors")
LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""{format version: what makes its header one of the next version}; a version below `VERSION` without one is refused."""

Evidence = dict[str, np.ndarray]


class Checkpoint(NamedTuple):
    """What a model file holds.

    predictor: ready to predict. evidence: arrays that intervals, shift score and flag are fitted on, None where the file
    has none. settings: plain values that were saved beside it. versions: {package: version} that wrote it.
    """

    predictor: GraphPredictor
    evidence: Evidence | None
    settings: dict[str, Any]
    versions: dict[str, str]


def save_model(path: str | Path, predictor: GraphPredictor, evidence: Mapping[str, np.ndarray] | None, settings: Mapping[str, Any]) -> None:
    """Writes a model file; one that is there already is replaced at once or not at all.

    Args:
      path: The file, `model.safetensors` by habit.
      predictor: The trained ensemble.
      evidence: Arrays of numbers or text, by name, such as `FittedTrust.evidence`; None for none.
      settings: What made the model, as plain values that JSON holds.

    Raises:
      ValueError: If a parameter is not finite, or the network is no spec that can be written down.
    """
    path = Path(path)
    arrays, words = _arrays(predictor, evidence)
    header = {
        "version": VERSION,
        "model": to_dict(predictor.model, Equivariant | Model),
        "supervision": to_dict(predictor.supervision),
        "shape": list(predictor.shape),
        "history": list(predictor.history),
        "has_evidence": evidence is not None,
        "words": words,
        "settings": dict(settings),
        "versions": {"matjax": __version__} | {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    content = save(arrays, {KEY: json.dumps({**header, "digest": _digest(header, arrays)})})
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_model(path: str | Path) -> Checkpoint:
    """The model in a file, predicting bit for bit as it did when it was saved.

    Args:
      path: A file that `save_model` wrote.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file is truncated, damaged, no model of matjax, or from a newer version; the message names file
        and problem.
    """
    path = Path(path)
    arrays, header = _read(path)
    tree = unflatten_dict(arrays, sep="/")
    try:
        predictor = GraphPredictor(
            model=from_dict(header["model"], Equivariant | Model, "model"),
            params=tree["params"],
            constants=tree["constants"],
            references=References(tree["references"]),
            supervision=from_dict(header["supervision"], Supervision, "supervision"),
            shape=Shape(*header["shape"]),
            history=tuple(header["history"]),
        )
        evidence = _evidence(tree.get("evidence", {}), header["words"]) if header["has_evidence"] else None
        return Checkpoint(predictor, evidence, header["settings"], header["versions"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the header does not fit this version of matjax ({type(error).__name__}: {error})") from error


def describe_model(path: str | Path) -> dict[str, Any]:
    """What a model file says of its model, from its header alone: no array is read, so neither the digest is checked.

    Args:
      path: A file that `save_model` wrote.

    Returns:
      `label`, `unit`, `units` of energies and derivatives, `elements` (symbols), `cutoff` (Å), `model` (its settings),
      `supervision`, `n_train`, `data` (content hash of the training set), `versions`, `settings` and `format`.

    Raises:
      FileNotFoundError, ValueError: As `load_model`, of what the header shows.
    """
    path = Path(path)
    header = _migrated(_opened(path, lambda file: _header(path, file.metadata() or {})))
    try:
        taught = from_dict(header["supervision"], Supervision, "supervision")
        return {
            "label": taught.label,
            "unit": taught.unit,
            "units": {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"},
            "elements": [chemical_symbols[number] for number in taught.elements],
            "cutoff": from_dict(header["model"], Equivariant | Model, "model").cutoff,
            "model": header["model"],
            "supervision": header["supervision"],
            "n_train": taught.n_train,
            "data": taught.data,
            "versions": header["versions"],
            "settings": header["settings"],
            "format": header["version"],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the header does not fit this version of matjax ({type(error).__name__}: {error})") from error


def _arrays(predictor: GraphPredictor, evidence: Mapping[str, np.ndarray] | None) -> tuple[Evidence, dict[str, list[str]]]:
    """Every array under its path, and the words that columns of text count."""
    trained = {"params": predictor.params, "constants": predictor.constants}
    arrays = {name: np.asarray(array) for name, array in flatten_dict(trained, sep="/").items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are not finite; such a model is not saved")
    arrays["references"] = np.asarray(predictor.references.energies)
    words: dict[str, list[str]] = {}
    for name, column in (evidence or {}).items():
        column = np.asarray(column)
        if column.dtype.kind in "US":
            names, column = np.unique(column.astype(str), return_inverse=True)
            words[name] = names.tolist()
        arrays[f"evidence/{name}"] = column
    return {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}, words


def _evidence(arrays: Evidence, words: dict[str, list[str]]) -> Evidence:
    """The evidence, with text where there was text."""
    return {name: np.array(words[name])[column] if name in words else column for name, column in arrays.items()}


def _digest(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Content hash of a header and named arrays."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[Evidence, dict[str, Any]]:
    """Arrays and header of a model file, or the reason why it is none."""
    arrays, header = _opened(
        path, lambda file: ({name: file.get_tensor(name) for name in file.keys()}, _header(path, file.metadata() or {}))
    )
    if header.pop("digest", None) != _digest(header, arrays):
        raise ValueError(f"{path}: the model file is damaged: its content is not what was saved")
    return arrays, _migrated(header)


def _opened(path: Path, read: Callable[[Any], Any]) -> Any:
    """What `read` makes of the open file, or the reason why it is no model file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such model file")
    if path.is_dir():
        inside = path / "model.safetensors"
        raise ValueError(f"{path}: is a folder, not a model file" + (f"; did you mean {inside}?" if inside.exists() else ""))
    _refuse_foreign(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return read(file)
    except SafetensorError as error:
        raise ValueError(f"{path}: the model file is truncated or damaged ({error})") from error


def _header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The header; refuses safetensors of other makers, and formats that are not known yet."""
    if KEY not in metadata:
        maker = f" (its metadata say format {metadata['format']!r})" if "format" in metadata else ""
        raise ValueError(f"{path}: is a safetensors file, but no model of matjax{maker}")
    try:
        header = json.loads(metadata[KEY])
        version = int(header["version"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: the header of the model file is damaged ({type(error).__name__}: {error})") from error
    if version > VERSION:
        raise ValueError(f"{path}: has format version {version}; this matjax ({__version__}) reads up to {VERSION}: install a newer matjax")
    missing = next((v for v in range(version, VERSION) if v not in MIGRATIONS), None)
    if version < 1 or missing is not None:
        made = (
            header.get("versions", {}).get("matjax", "an older version") if isinstance(header.get("versions"), dict) else "an older version"
        )
        raise ValueError(
            f"{path}: has format version {version}, which this matjax ({__version__}) no longer reads: open it with matjax {made}"
        )
    return header


def _migrated(header: dict[str, Any]) -> dict[str, Any]:
    """The header as this version writes it."""
    for version in range(int(header["version"]), VERSION):
        header = {**MIGRATIONS[version](header), "version": version + 1}
    return header


def _refuse_foreign(path: Path) -> None:
    """Refuses what is no safetensors file at all, in the words of what it seems to be."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise ValueError(f"{path}: the file is empty")
    plausible = len(start) > 8 and int.from_bytes(start[:8], "little") <= LARGEST_HEADER and start[8:9] == b"{"
    if not plausible:
        raise ValueError(f"{path}: is not a model file of matjax{_guess(start)}")


def _guess(start: bytes) -> str:
    """What the first bytes of a foreign file look like, in words; nothing where they say nothing."""
    if start[:1] == b"\x80" or start[:2] == b"PK" and b"data.pkl" in start:
        return "; it looks like a pickle (a torch or joblib file), which can run code when it is opened and never is here"
    if start.lstrip()[:1] == b"<":
        return "; it looks like a web page: was the download complete?"
    if start[:2] == b"PK":
        return "; it looks like a zip archive"
    return ""
