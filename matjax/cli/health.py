"""What can be said about an installation without computing anything: releases, machine, cache."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Status = Literal["pass", "warn", "fail"]
PYTHONS = ((3, 11), (3, 13))
PACKAGES = ("jax", "jaxlib", "flax", "e3nn-jax", "jraph", "optax", "orbax-checkpoint", "numpy", "ase", "vesin", "pymatgen-core")
MEMORY = 4.0  # GiB: what the demo may take
DISK = 1.0  # GiB: reports, predictions and compiled programs of a few runs


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
      name: What was looked at.
      status: "pass", "warn" (works, but read this) or "fail".
      said: What was found.
      advice: What to do about it; empty where nothing is to be done.
      values: The numbers behind it, for `--json`.
    """

    name: str
    status: Status
    said: str
    advice: str = ""
    values: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class KnownBad:
    """Releases of jax that must not, or should not, be used.

    Attributes:
      releases: First numbers of the release: "0.10.0" is that one, "0.11" every 0.11.x.
      status: How bad: "warn" is slow, "fail" is wrong.
      what: What goes wrong.
      aborts: Whether the process may die, so that nothing is computed with it.
    """

    releases: tuple[str, ...]
    status: Status
    what: str
    aborts: bool = False


KNOWN_BAD = (
    KnownBad(("0.9.0",), "fail", "was withdrawn by its authors for errors in sharding"),
    KnownBad(("0.9.2",), "warn", "runs a vmapped segment_sum up to six times slower (jax issue 39959)"),
    KnownBad(("0.10.0", "0.10.1"), "fail", "aborts the process in jit(value_and_grad) on a CPU (jax issue 39264)", aborts=True),
    KnownBad(("0.10.2",), "fail", "miscompiles, and may hang, on a CPU (jax issue 39257)", aborts=True),
    KnownBad(
        ("0.11.0",), "fail", "makes scatter-add on a GPU hundreds of times slower, and was seen to give wrong results (jax issue 40633)"
    ),
    KnownBad(("0.11.1",), "fail", "breaks the import of flax, and was seen to give wrong results (jax issue 40633)"),
)


def worst(findings: Sequence[Finding]) -> Status:
    """The worst status of all; "pass" of none."""
    found: set[str] = {f.status for f in findings}
    return "fail" if "fail" in found else "warn" if "warn" in found else "pass"


def known_bad(jax: str) -> KnownBad | None:
    """What is known against a release of jax, or None."""
    return next((bad for bad in KNOWN_BAD if any((jax + ".").startswith(release + ".") for release in bad.releases)), None)


def good_pair(python: tuple[int, int] = sys.version_info[:2]) -> str:
    """What to install instead: jax 0.12 needs Python 3.12."""
    pair = '"jax==0.9.1" "flax==0.12.6"' if python < (3, 12) else '"jax>=0.12,<0.13" "flax>=0.12.12"'
    return f"pip install {pair}"


def installed(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """{package: version}; a package that is not installed has the version "absent"."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def releases(versions: Mapping[str, str]) -> list[Finding]:
    """The versions of the libraries, and what is known against them.

    Args:
      versions: From `installed`.

    Returns:
      One finding for all, and one for each that is absent or bad.
    """
    absent = [name for name, version in versions.items() if version == "absent"]
    found = [Finding("packages", "pass", ", ".join(f"{name} {version}" for name, version in versions.items()), values=dict(versions))]
    found += [Finding(name, "fail", f"{name} is not installed", f"pip install {name}") for name in absent]
    if (jax := versions.get("jax", "absent")) == "absent":
        return found
    if bad := known_bad(jax):
        return [*found, Finding("jax release", bad.status, f"jax {jax} {bad.what}", good_pair())]
    if not (0, 9, 1) <= numbers(jax) < (0, 13):
        return [*found, Finding("jax release", "warn", f"jax {jax} is not tested with matjax (0.9.1, and 0.12, are)", good_pair())]
    return [*found, Finding("jax release", "pass", f"nothing is known against jax {jax}")]


def numbers(version: str) -> tuple[int, ...]:
    """The leading whole numbers of a version: `0.12.0.1` -> (0, 12, 0, 1), `0.13.0rc1` -> (0, 13, 0)."""
    return tuple(int(part) for part in re.match(r"\d*(?:\.\d+)*", version)[0].split(".") if part)  # type: ignore[index]


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Whether this Python is one that matjax is tested on."""
    said = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    tested = PYTHONS[0] <= version[:2] <= PYTHONS[1]
    advice = "" if tested else f"matjax is tested on {' to '.join('.'.join(map(str, p)) for p in PYTHONS)}"
    return Finding("python", "pass" if tested else "warn", said, advice, {"python": ".".join(map(str, version))})


def n_core() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> tuple[float, float | None]:
    """(total, free) memory in GiB; free is None where the system does not say."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    limit, table = Path("/sys/fs/cgroup/memory.max"), Path("/proc/meminfo")
    if limit.exists() and (allowed := limit.read_text().strip()).isdigit():  # of a container
        total = min(total, int(allowed) / 2**30)
    if not table.exists():
        return total, None
    rows = dict(line.split(":") for line in table.read_text().splitlines())
    return total, min(total, float(rows["MemAvailable"].split()[0]) / 2**20)


def machine(folder: Path = Path()) -> Finding:
    """Cores, memory, and the room that is left on the disk of a folder."""
    total, free = memory()
    disk = shutil.disk_usage(folder).free / 2**30
    short = [f"memory: a demo takes up to {MEMORY:g} GiB"] if (total if free is None else free) < MEMORY else []
    short += [f"disk: less than {DISK:g} GiB is left here"] if disk < DISK else []
    left = "" if free is None else f" ({free:.1f} free)"
    said = f"{n_core()} cores, {total:.1f} GiB of memory{left}, {disk:.1f} GiB left on this disk"
    values = {"cores": n_core(), "memory_GiB": round(total, 2), "memory_free_GiB": free and round(free, 2), "disk_free_GiB": round(disk, 2)}
    return Finding("machine", "warn" if short else "pass", said, "short of " + "; ".join(short) if short else "", values)


def cache(folder: str | None) -> Finding:
    """The folder of compiled programs: whether it can be written, and its size.

    Args:
      folder: What jax was told, or None.
    """
    advice = "every run compiles anew; set JAX_COMPILATION_CACHE_DIR to a folder of yours"
    if not folder:
        return Finding("compile cache", "warn", "no folder for compiled programs is set", advice)
    path = Path(folder)
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Finding("compile cache", "warn", f"{path} cannot be written", advice, {"folder": folder})
    files = [f.stat().st_size for f in path.rglob("*") if f.is_file()] if path.exists() else []
    said = f"{path}: {len(files)} files, {sum(files) / 2**20:.0f} MiB" if files else f"{path}: empty yet"
    return Finding("compile cache", "pass", said, values={"folder": folder, "files": len(files), "MiB": round(sum(files) / 2**20, 1)})
