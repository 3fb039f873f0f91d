"""Potentials by name: downloaded once, checked against a checksum, and loaded into matjax's own layers."""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from matjax.training.checkpoint import load_model
from matjax.training.nequix import load_nequix
from matjax.training.predictor import GraphPredictor

_NEQUIX = "https://github.com/atomicarchitects/nequix/raw/9c852a9c4cce69ae5e75bc5a2cf670be21ff8c28/models/"


class Source(NamedTuple):
    """Where a potential comes from: url, sha256 of the file, and what it was trained on."""

    url: str
    sha256: str
    note: str


NAMED = {
    "nequix-mp-1": Source(
        _NEQUIX + "nequix-mp-1.nqx", "1647af8e627e1afa11e2bfadeab0797326513a521afd7dd01606a96f56783eee", "MPtrj, PBE and PBE+U; MIT"
    ),
    "nequix-oam-1": Source(
        _NEQUIX + "nequix-oam-1.nqx", "6a43475eaeb32a7a049f36c1306d78aa1e7a17e8af37aeda7901c8fec0ca845c", "OMat24, sAlex, MPtrj; MIT"
    ),
    "nequix-oam-1-pft": Source(
        _NEQUIX + "nequix-oam-1-pft.nqx",
        "4ce693d68886512aab50c84ea2400efd68163e11155f7c7babe98e695177e809",
        "OMat24, sAlex, MPtrj, fine-tuned on phonons; MIT",
    ),
}
"""Potentials that have a name."""

Report = Callable[[int, int], None]
"""Called with bytes that came and bytes in all (0 where unknown)."""


def potential(name: str | Path, *, folder: str | Path | None = None, report: Report | None = None) -> GraphPredictor:
    """A potential by name or from a file, ready to predict energies, forces and stress.

    Args:
      name: One of `NAMED`, such as "nequix-oam-1-pft", or a path to a `.nqx` or `.safetensors` file.
      folder: Where downloads are kept: MATJAX_MODELS, else matjax/models in the user's cache.
      report: Progress of the download.

    Raises:
      ValueError: If the name is not known, or the file is damaged.
      ConnectionError: If the file is not there yet and cannot be downloaded, with what to do by hand.
    """
    if str(name) in NAMED:
        return load_nequix(_file(str(name), Path(folder) if folder else default_folder(), report))
    path = Path(name)
    if path.suffix == ".nqx":
        return load_nequix(path)
    if path.suffix == ".safetensors" or path.exists():
        return load_model(path).predictor
    close = difflib.get_close_matches(str(name), NAMED, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"no potential is called {str(name)!r}{hint} Known: {', '.join(NAMED)}; or a path to a .nqx or .safetensors file")


def default_folder() -> Path:
    """Where downloaded potentials are kept."""
    if found := os.environ.get("MATJAX_MODELS"):
        return Path(found)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matjax" / "models"


def _file(name: str, folder: Path, report: Report | None) -> Path:
    """The file of a named potential, downloaded if it is not there; it is there whole and right, or not at all."""
    source = NAMED[name]
    path = folder / source.url.rsplit("/", 1)[1]
    if path.exists():
        _check(path, source, "delete it to download it again")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _download(source.url, partial, report)
        _check(partial, source, "the download was damaged or the file was replaced; try again")
        os.replace(partial, path)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        by_hand = f"download it on another machine and put it at {path} (sha256 {source.sha256})"
        raise ConnectionError(f"{name}: cannot download {source.url} ({error}); {by_hand}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _download(url: str, path: Path, report: Report | None) -> None:
    with urllib.request.urlopen(url, timeout=30) as reply, path.open("wb") as file:
        total, came = int(reply.headers.get("Content-Length") or 0), 0
        if report is None:
            shutil.copyfileobj(reply, file)
            return
        while block := reply.read(1 << 16):
            file.write(block)
            came += len(block)
            report(came, total)


def _check(path: Path, source: Source, advice: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise ValueError(f"{path}: has sha256 {found}, not {source.sha256}; {advice}")
