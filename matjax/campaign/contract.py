"""What goes into a program that measures and what comes out: one JSON object each way, units said on both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from matjax.campaign.oracle import FAILURES
from matjax.data.elements import SYMBOLS, number
from matjax.simulate.evidence import evidence
from matjax.simulate.frames import dataset
from matjax.types import Crystal, Dataset, Result
from matjax.units import ENERGY, LENGTH, PRESSURE

UNITS = {"energy": "eV", "length": "Å", "pressure": "eV/Å³"}
"""What a request is in. An answer says its own: energies of the whole cell; forces are energy by length."""

TABLES: Mapping[str, Mapping[str, float]] = {"energy": ENERGY, "length": LENGTH, "pressure": PRESSURE}

FIELDS = ("units", "status", "error", "energy", "forces", "stress", "lattice", "positions", "symbols")
FIELDS += ("relaxed", "max_force", "max_stress", "n_step", "elastic", "frames")


def request(crystal: Crystal, **asked: Any) -> dict[str, Any]:
    """The question about a crystal, as plain values."""
    return {
        "units": UNITS,
        "symbols": [SYMBOLS[z] for z in crystal.numbers],
        "lattice": crystal.lattice.tolist(),
        "positions": crystal.positions.tolist(),
        "pbc": crystal.pbc.tolist(),
        **asked,
    }


def read_answer(text: str) -> dict[str, Any]:
    """The JSON object in what a program printed: all of it, or its last line.

    Raises:
      ValueError: If there is none, or it has fields that nobody reads.
    """
    lines = [line for line in text.strip().splitlines() if line.strip()]
    for candidate in (text, lines[-1] if lines else ""):
        try:
            answer = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(answer, dict):
            if unread := sorted(set(answer) - set(FIELDS)):
                raise ValueError(f"the answer has fields that nobody reads: {', '.join(unread)}; allowed: {', '.join(FIELDS)}")
            return answer
    raise ValueError(f"no JSON object in the output; its end: {text.strip()[-200:] or 'nothing'}")


def told_failure(answer: Mapping[str, Any]) -> str:
    """The "class: message" with which an answer says that it failed; empty if it does not."""
    if not (error := str(answer.get("error") or "")):
        return ""
    return error if error.partition(":")[0] in FAILURES else f"numerical: {error}"


def factors(answer: Mapping[str, Any]) -> dict[str, float]:
    """What turns the numbers of an answer into eV, Å and eV/Å³.

    Raises:
      ValueError: If it does not say its units, or says one that is not known.
    """
    said = answer.get("units") or {}
    needed = ["energy", "length"] + ["pressure"] * any(
        answer.get(name) is not None for name in ("stress", "max_stress", "elastic", "frames")
    )
    found: dict[str, float] = {}
    for name in needed:
        if name not in said:
            raise ValueError(f'the answer does not say its unit of {name}; it must hold "units": {json.dumps(UNITS, ensure_ascii=False)}')
        if said[name] not in TABLES[name]:
            raise ValueError(f"the answer's unit of {name} is {said[name]!r}; allowed: {', '.join(TABLES[name])}")
        found[name] = TABLES[name][said[name]]
    return found


def evaluation(crystal: Crystal, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Energy (eV), forces (eV/Å) and, where given, stress [6] in ASE's order (eV/Å³), of a crystal as it is.

    Raises:
      ValueError: If something is missing or of the wrong shape.
    """
    unit = factors(answer)
    found: dict[str, Any] = {"energy": _array(answer, "energy", ()) * unit["energy"]}
    found["forces"] = _array(answer, "forces", (len(crystal), 3)) * unit["energy"] / unit["length"]
    if answer.get("stress") is not None:
        found["stress"] = _array(answer, "stress", (6,)) * unit["pressure"]
    return {**found, "energy": float(found["energy"])}


def measurement(crystal: Crystal, answer: Mapping[str, Any], source: str) -> Result:
    """The result that an answer stands for; `check_result` says whether it may be learned from.

    Args:
      crystal: What was asked about.
      answer: From `read_answer`.
      source: Name of the oracle, for the frames' metadata.

    Raises:
      ValueError: If something is missing or of the wrong shape.
    """
    unit = factors(answer)
    relaxed = _crystal(crystal, answer, unit["length"])
    energy = float(_array(answer, "energy", ())) * unit["energy"]
    proof: dict[str, float] = evidence(crystal, relaxed) if np.array_equal(relaxed.numbers, crystal.numbers) else {}
    proof["relaxed"] = float(bool(answer.get("relaxed", "positions" in answer or "lattice" in answer)))
    scales = {"max_force": unit["energy"] / unit["length"], "max_stress": unit.get("pressure", 1.0), "n_step": 1.0}
    proof |= {name: float(_array(answer, name, ())) * scale for name, scale in scales.items() if answer.get(name) is not None}
    if "max_force" not in proof and answer.get("forces") is not None:
        forces = _array(answer, "forces", (len(relaxed), 3)) * scales["max_force"]
        proof["max_force"] = float(np.linalg.norm(forces, axis=1).max())
    labels = {"energy_per_atom": energy / len(relaxed), "volume_per_atom": relaxed.volume / len(relaxed)}
    elastic = None if answer.get("elastic") is None else _array(answer, "elastic", (6, 6)) * unit["pressure"]
    frames = None if answer.get("frames") is None else _frames(crystal, answer["frames"], unit, source)
    return Result(str(answer.get("status", "converged")), relaxed, labels, elastic, frames, proof, error=told_failure(answer))


def _crystal(crystal: Crystal, answer: Mapping[str, Any], length: float) -> Crystal:
    """The crystal that came back; what is not said is as it went in, atoms at their places in the lattice."""
    numbers = np.array([number(str(symbol)) for symbol in answer["symbols"]]) if "symbols" in answer else crystal.numbers
    lattice = _array(answer, "lattice", (3, 3)) * length if "lattice" in answer else crystal.lattice
    stretched = crystal.positions @ np.linalg.solve(crystal.lattice, lattice)
    positions = _array(answer, "positions", (len(numbers), 3)) * length if "positions" in answer else stretched
    return Crystal(lattice, positions, numbers, crystal.pbc)


def _frames(crystal: Crystal, rows: Any, unit: Mapping[str, float], source: str) -> Dataset:
    """Frames, the first of which is the relaxed crystal, the second the crystal as it came."""
    if not isinstance(rows, list) or not rows:
        raise ValueError("frames of an answer must be a list of objects with lattice, positions, energy, forces and stress")
    shapes = [_crystal(crystal, row, unit["length"]) for row in rows]
    said = [
        evaluation(shape, {**row, "units": {name: _said(unit, name) for name in unit}}) for shape, row in zip(shapes, rows, strict=True)
    ]
    full = lambda v: np.array([[v[0], v[5], v[4]], [v[5], v[1], v[3]], [v[4], v[3], v[2]]])
    if any("stress" not in one for one in said):
        raise ValueError("a frame of the answer has no stress")
    return dataset(crystal.key, shapes, [(one["energy"], one["forces"], full(one["stress"])) for one in said], source)


def _said(unit: Mapping[str, float], name: str) -> str:
    return next(key for key, value in TABLES[name].items() if value == unit[name])


def _array(answer: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A number or an array of an answer."""
    if answer.get(name) is None:
        raise ValueError(f"the answer has no {name}; it has: {', '.join(answer)}")
    try:
        found = np.asarray(answer[name], float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} of the answer is no {'number' if not shape else 'array of numbers'}: {str(answer[name])[:80]}") from None
    if found.shape != shape:
        raise ValueError(f"{name} of the answer has shape {found.shape}; it must be {shape}")
    return found
