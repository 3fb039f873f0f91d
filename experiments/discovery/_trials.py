"""Trials of an experiment: one row each, kept in result.json as soon as it is measured, under a hash of what was frozen before."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from matjax.override import override
from matjax.toml import from_toml

Row = dict[str, Any]


class Trials:
    """The rows of a result file.

    Attributes:
      rows: {name: row} of what is measured.
      missing: Names of what was asked for when the time was over.
    """

    def __init__(self, path: Path, frozen: str, minutes: float | None = None, *, fresh: bool = False):
        """Reads the rows of `path` that were measured under the same hash; the clock starts now."""
        self.path, self.frozen, self.missing = path, frozen, list[str]()
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() and not fresh else {}
        self.rows: dict[str, Row] = kept["rows"] if kept.get("frozen") == frozen else {}

    def row(self, name: str, measure: Callable[[], Row]) -> Row | None:
        """The row of a trial: the one that is kept, else measured now; None where the time is over."""
        if name not in self.rows:
            if self._end is not None and time.monotonic() > self._end:
                self.missing.append(name)
                return None
            begun = time.process_time()
            self.rows[name] = measure() | {"cpu_seconds": round(time.process_time() - begun, 1)}
            self.write({})
            print(f"{name}: {json.dumps(self.rows[name])}", file=sys.stderr, flush=True)
        return self.rows[name]

    def write(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Writes the file, whole or not at all, refusing numbers that are not finite; returns what it holds."""
        result = {"frozen": self.frozen, "missing": self.missing, **summary, "rows": self.rows}
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(self.path)
        return result


def frozen(*files: Path) -> str:
    """Hash of the files that fix an experiment."""
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()[:16]


def mean_interval(values: Sequence[float]) -> list[float]:
    """[mean, low, high]: 95 % percentile bootstrap over seeds, of paired differences where `values` are such."""
    array = np.asarray(values, float)
    if len(array) < 2 or np.ptp(array) == 0:
        return [float(array.mean())] * 3
    rng = np.random.default_rng(0)
    low, high = bootstrap((array,), np.mean, n_resamples=4000, method="percentile", rng=rng).confidence_interval
    return [float(array.mean()), float(low), float(high)]


def command(
    about: str,
    here: Path,
    kind: type,
    measure: Callable[[Any, Trials], Row],
    *,
    inputs: Sequence[Path],
    quick: Sequence[str],
    smoke: Sequence[str],
) -> None:
    """Reads the command line and runs `measure(settings, trials)`, which returns the figures that --json prints.

    Args:
      about: For --help.
      here: Folder of the experiment.
      kind: Class of the settings in config.toml.
      measure: Measures what is missing and writes the result.
      inputs: Files that are frozen together with config.toml.
      quick: Overrides for --quick.
      smoke: Overrides for --smoke.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, help="minutes after which no further row is begun (no limit)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, and nothing else, on stdout")
    parser.add_argument("--fresh", action="store_true", help="measure every row again instead of going on from result.json")
    parser.add_argument("--quick", action="store_true", help="a small version in minutes; its result goes to a temporary folder")
    parser.add_argument("--smoke", action="store_true", help="does it run and give a valid result? In a temporary folder")
    given = parser.parse_args()
    settings = from_toml(here / "config.toml", kind)
    hashed = frozen(here / "config.toml", *inputs)
    with tempfile.TemporaryDirectory() as folder:
        small = given.quick or given.smoke
        path = (Path(folder) if small else here) / "result.json"
        trials = Trials(path, hashed, given.budget, fresh=given.fresh)
        figures = measure(override(settings, smoke if given.smoke else quick) if small else settings, trials)
        if given.smoke:
            assert not trials.missing and figures and json.loads(path.read_text(encoding="utf-8"))["rows"]
    print(json.dumps(figures) if given.json else json.dumps(figures, indent=1))
