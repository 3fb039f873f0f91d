"""VASP results: OUTCAR and vasprun.xml, with the evidence that each step converged."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ase import Atoms

from matjax.data.convert import from_ase
from matjax.data.readers.extxyz import values_of
from matjax.data.readers.record import NamedText, Record, bare, opened, reason_of

RELAXATION = (1, 2, 3)  # IBRION of quasi-Newton, conjugate gradient, damped dynamics
FUNCTIONALS = {"PE": "PBE", "PS": "PBEsol", "91": "PW91", "RP": "RPBE", "AM": "AM05", "CA": "LDA"}


def is_vasp_file(path: Path) -> bool:
    """Whether the name is that of an OUTCAR (OUTCAR*) or vasprun.xml (vasprun*.xml), compressed or not."""
    name = bare(path)
    return name.startswith("OUTCAR") or (name.startswith("vasprun") and name.endswith(".xml"))


def read_vasp(path: Path) -> Iterator[Record]:
    """The ionic steps of a VASP run, or of every run in a folder (a vasprun.xml is preferred to the OUTCAR beside it).

    A relaxation (IBRION 1 to 3 with NSW > 0) gives its last step, and only if VASP reached its ionic criterion; anything
    else (static, dynamics, phonons) gives every step. A step whose electronic loop did not converge is a record with that
    reason. The energy is VASP's extrapolation to zero smearing, the stress has ASE's sign; the functional, as far as the
    input tells, is the column `functional`.

    Args:
      path: A file or a folder, searched to the bottom.

    Yields:
      One record per step, `run` or `run:step` (the first step is 1), where a run is named by its folder or file.

    Raises:
      ValueError: If a folder holds no such file.
    """
    files = _runs(path) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: has no OUTCAR or vasprun.xml")
    for file in files:
        name = file.relative_to(path).parent.as_posix() if path.is_dir() else file.name
        name = file.name if name == "." else name
        try:
            with opened(file, errors="replace") as stream:
                text = stream.read()
            parse = _vasprun if bare(file).endswith(".xml") else _outcar
            yield from _steps(name, *parse(NamedText(text, file)))
        except Exception as error:  # parsers of foreign formats raise anything; the reason is kept and counted
            yield Record(name, None, reason=f"{file.name}: {reason_of(error)}")


def _runs(folder: Path) -> list[Path]:
    """One file per run below the folder."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and is_vasp_file(f))
    with_xml = {f.parent for f in files if bare(f).endswith(".xml")}
    return [f for f in files if bare(f).endswith(".xml") or f.parent not in with_xml]


def _steps(name: str, frames: Sequence[Atoms], converged: Sequence[bool], relaxed: bool | None, functional: str) -> Iterator[Record]:
    """Records of the steps that are wanted; `relaxed` is None where the run is no relaxation."""
    if len(frames) < len(converged):
        yield Record(f"{name}:{len(converged)}", None, reason=f"the file ends inside ionic step {len(converged)}")
        if relaxed is not None:
            return
    if not frames:
        raise ValueError("holds no complete ionic step")
    wanted = range(len(frames)) if relaxed is None else [len(frames) - 1]
    for k in wanted:
        reason = "" if converged[k] else f"the electronic loop of ionic step {k + 1} did not converge"
        if relaxed is False:
            reason = reason or f"the relaxation did not converge within {len(frames)} ionic steps"
        values = values_of(frames[k]) | {"functional": functional, "ionic_step": k + 1}
        yield Record(f"{name}:{k + 1}" if len(wanted) > 1 else name, from_ase(frames[k]), values, reason)


def _outcar(file: NamedText) -> tuple[Sequence[Atoms], list[bool], bool | None, str]:
    """Frames, electronic convergence per ionic step, ionic convergence, functional of an OUTCAR."""
    text = file.getvalue()
    tag = lambda name: (re.search(rf"^\s*{name}\s*=\s*(\S+)", text, re.M) or ["", ""])[1]
    parts = re.split(r"-+ Iteration\s+(\d+)\(\s*\d+\)\s*-+", text)
    steps: dict[str, str] = {}
    for step, part in zip(parts[1::2], parts[2::2], strict=True):
        steps[step] = steps.get(step, "") + part
    converged = ["aborting loop because EDIFF is reached" in part for part in steps.values()]
    frames = _frames(file, "vasp-out")
    relaxation = int(tag("IBRION") or -1) in RELAXATION and int(tag("NSW") or 0) > 0
    relaxed = "reached required accuracy" in text if relaxation else None
    exchange = {"8": "PE"}.get(tag("LEXCH"), "") if tag("GGA") in ("", "--") else tag("GGA")
    return frames, converged, relaxed, _functional({n: tag(n) for n in ("LDAU", "LHFCALC", "METAGGA")}, exchange)


def _vasprun(file: NamedText) -> tuple[Sequence[Atoms], list[bool], bool | None, str]:
    """Frames, electronic convergence per ionic step, ionic convergence, functional of a vasprun.xml."""
    try:
        root = ElementTree.fromstring(file.getvalue())
    except ElementTree.ParseError as error:
        raise ValueError(f"is not complete XML ({error}); was the run killed?") from error
    tags = {i.get("name", ""): (i.text or "").strip() for i in root.iterfind("parameters//i")}
    n_max = int(tags.get("NELM", 60))
    n_step = [len(c.findall("scstep")) for c in root.iterfind("calculation")]
    converged = [n not in (0, n_max) for n in n_step]  # linear response adds its own steps, so more than n_max is possible
    n_ionic = int(tags.get("NSW", 0))
    relaxation = int(tags.get("IBRION", -1)) in RELAXATION and n_ionic > 0
    frames = _frames(file, "vasp-xml")
    exchange = tags.get("GGA", "--")
    if exchange == "--":
        potentials = " ".join(c.text or "" for c in root.iterfind("atominfo//c"))
        exchange = "PE" if "PAW_PBE" in potentials else ""
    return frames, converged, (len(converged) < n_ionic if relaxation else None), _functional(tags, exchange)


def _functional(tags: Mapping[str, str], exchange: str) -> str:
    """Name of the functional from VASP's tags, `unknown` where they do not say."""
    true = lambda name: tags.get(name, "F").strip(".").upper().startswith("T")
    if true("LHFCALC"):
        return "hybrid"
    meta = tags.get("METAGGA", "--").upper()
    name = meta if meta not in ("", "--", "F", "NONE") else FUNCTIONALS.get(exchange.upper(), "unknown")
    return name + "+U" * true("LDAU")


def _frames(file: NamedText, format: str) -> list[Atoms]:
    from ase.io import read  # takes longer to import than everything else here

    frames = read(file, index=":", format=format)
    return frames if isinstance(frames, list) else [frames]
