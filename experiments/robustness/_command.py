"""The command line of an experiment of kept fits: what can be said to it, and where its result goes."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _rows import Clock, fill

from matjax.override import override
from matjax.toml import from_toml


class Run(NamedTuple):
    """One run: its settings, the folder of what is kept, when to stop, where the result goes, and what the command line said."""

    settings: Any
    folder: Path
    clock: Clock
    out: Path
    given: argparse.Namespace


def command(
    about: str,
    here: Path,
    kind: type,
    measure: Callable[[Run], dict[str, Any]],
    try_out: Callable[[Run], None],
    *,
    tables: Mapping[str, Sequence[str]],
    quick: Sequence[str],
    smoke: Sequence[str],
    quick_help: str,
    needs: Sequence[Path] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Reads the command line, and runs.

    Args:
      about: For --help.
      here: Folder of the experiment, with config.toml, README.md and result.json.
      kind: Class of the settings in config.toml.
      measure: Measures what is missing, writes the result and returns it.
      try_out: Measures with the settings of `smoke`, and raises if the result is not valid.
      tables: Columns of each table that goes into the README.
      quick: Overrides of the settings for --quick.
      smoke: The same for --smoke.
      quick_help: What --quick leaves out.
      needs: Files without which nothing is run.
      options: Further options of argparse, by name.
    """
    given = _parser(about, here.name, quick_help, options or {}).parse_args()
    readme, kept = here / "README.md", here / "result.json"
    if given.tables:
        fill(readme, json.loads(kept.read_text(encoding="utf-8")), tables)
        return
    if missing := [str(path) for path in needs if not path.exists()]:
        print(f"skipped: not here: {', '.join(missing)}")
        return
    settings = from_toml(here / "config.toml", kind)
    if given.smoke:
        with tempfile.TemporaryDirectory() as name:
            try_out(Run(override(settings, smoke), Path(name), Clock(None), Path(name) / "result.json", given))
        print("valid")
        return
    folder = given.runs or here.parents[2] / "runs" / f"robustness-{here.name}{'-quick' if given.quick else ''}"
    out = folder / "result.json" if given.quick else kept
    result = measure(Run(override(settings, quick) if given.quick else settings, folder, Clock(given.budget), out, given))
    if not given.quick:
        fill(readme, result, tables)
    print(f"result: {out}; missing: {', '.join(result['missing']) or 'nothing'}")


def _parser(about: str, name: str, quick_help: str, options: Mapping[str, Mapping[str, Any]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help=f"folder of what is kept between runs; by default runs/robustness-{name}")
    parser.add_argument("--budget", type=float, help="minutes after which nothing further is begun (no limit)")
    parser.add_argument("--quick", action="store_true", help=f"{quick_help}; result.json goes into the folder of what is kept")
    parser.add_argument("--smoke", action="store_true", help="does it run and write a valid result? In a folder that is deleted")
    parser.add_argument("--tables", action="store_true", help="write the tables of result.json into README.md, and stop")
    for option, how in options.items():
        parser.add_argument(option, **how)
    return parser
