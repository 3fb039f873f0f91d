"""Does any robust risk beat plain training on domains that it has not seen, when all are tuned alike?

Networks on fixed descriptors; every domain of every family is held out in turn. Each method gets the same draws of settings,
strength zero among them, and the draw is chosen by leaving training domains out. One row per domain, method and seed. A run
that was stopped goes on with the rows that are missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _folds import Cut, Size, cut, fold, inner, ratio
from _former import NOTHING, Former, former, with_old_intervals
from _summary import complete, gaps
from _tables import SMALLEST_GROUP, SOURCES, Family, Source

import matjax
from matjax.config import spec
from matjax.keys import child, generator
from matjax.stress_test.comparison import Comparison, compare_methods, markdown
from matjax.stress_test.config import Method
from matjax.stress_test.head_search import Table, best, drawn, errors
from matjax.stress_test.search import Candidates, Search
from matjax.toml import from_toml, to_dict
from matjax.training.head_learner import HeadLearner

BEGIN, END = "<!-- tables: written by run.py -->", "<!-- end of tables -->"
TITLES = {
    "mae_out": "Error outside against ERM: the domains that were held out",
    "mae_in": "Error inside against ERM: the price",
}
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[3] / "shared" / "data"
CONVENTION = ("oxide", "fluoride", "sulfide")
"""Classes whose labels have corrections of their own, or mix GGA and GGA+U: holding them out changes the convention of the label."""


@spec
class ControlMethod:
    """A twin of a method whose answer is known.

    Attributes:
      title: Name in tables.
      of: The method that it is the twin of.
      shifts: Where it is run.
      features: Features in place of the physical ones.
      random_domains: Tell the risk shuffled domain labels.
    """

    title: str
    of: str
    shifts: tuple[str, ...]
    features: str = "physical"
    random_domains: bool = False


@spec
class Config:
    """What `config.toml` says; the comments there explain it."""

    learner: HeadLearner
    search: Search
    methods: tuple[Method, ...]
    controls: tuple[ControlMethod, ...] = ()
    seed: int = 0
    n_seed: int = 5
    max_domains: int = 16
    min_domain: int = 50
    max_train: int = 3000
    max_test: int = 500
    max_target: int = 300
    n_domain: int = 12


class Task(NamedTuple):
    """One method on one domain: all its seeds."""

    source: str
    shift: str
    domain: str
    method: Method
    control: ControlMethod | None

    @property
    def title(self) -> str:
        """Name of the method in tables."""
        return self.control.title if self.control else self.method.title

    @property
    def name(self) -> tuple[str, ...]:
        """What tells it from others."""
        return self.source, self.shift, self.domain, self.title


def tasks(config: Config, sources: dict[str, Source]) -> list[Task]:
    """All that is run: methods first, then controls, so that a run that is stopped has whole tables."""
    by_title = {m.title: m for m in config.methods}
    found = []
    twins = [(by_title[c.of], c) for c in config.controls]
    for method, control in [*((m, None) for m in config.methods), *twins]:
        for name, source in sources.items():
            for family in source.families:
                if control is None or family.shift in control.shifts:
                    found += [Task(name, family.shift, d, method, control) for d in domains(config, name, family)]
    return found


def domains(config: Config, source: str, family: Family) -> list[str]:
    """Domains that are held out: the largest that leave as many rows outside."""
    least = SMALLEST_GROUP if source == "mpea_hardness" else config.min_domain
    large = [d for d, held in family.held.items() if least <= (held & family.pool).sum() <= 0.8 * family.pool.sum()]
    return large[: config.max_domains]


def run_task(task: Task, config: Config, source: Source, folder: Path) -> list[dict[str, Any]]:
    """Chooses settings inside the training domains and measures every seed; errors per crystal go into the folder."""
    start = time.process_time()
    family = next(f for f in source.families if f.shift == task.shift)
    x = source.features[task.control.features if task.control else "physical"]
    size = Size(min(config.max_train, len(source.y)), config.max_test, min(config.max_target, len(source.y) // 4))
    key, method = child(jax.random.key(config.seed), task.source), task.method
    labels = family.domain
    if task.control and task.control.random_domains:
        labels = generator(child(key, "random domains")).permutation(labels)
    reasons: list[str] = []

    def seen(part: Cut, k: jax.Array) -> Any:
        weight = None
        if method.risk.weights is not None:
            weight, why = ratio(x, part, size, child(k, "ratio"))
            reasons.append(why)
        shown = method.use_target and method.risk.uses_target  # weights have seen the target; a batch need not
        return fold(part, labels, config.n_domain, size, k, use_target=shown, weight=weight)

    learner = dataclasses.replace(config.learner, risk=method.risk, use_target=method.use_target)
    tried = drawn(Candidates(learner, config.search, method.ranges), child(key, "draws"))
    seeds = [child(key, task.shift, task.domain, seed) for seed in range(config.n_seed)]
    cuts = [cut(family, task.domain, size, k) for k in seeds]
    outer = [seen(part, k) for part, k in zip(cuts, seeds, strict=True)]
    left = inner(family, task.domain, cuts[0], config.search.folds, child(seeds[0], "folds"))
    inside = [seen(part, child(seeds[0], "inner", name)) for name, part in left]
    table = Table(jnp.asarray(x, jnp.float32), jnp.asarray(source.y, jnp.float32), config.n_domain)
    scores = errors(table, [(candidate, f) for _, candidate in tried for f in inside])
    chosen = best(np.array([mae(s["outside"]) for s in scores]).reshape(len(tried), len(inside))) if inside else 0
    first = errors(table, [(candidate, outer[0]) for _, candidate in tried])
    by_validation = int(np.argmin([f["validation"] for f in first]))
    found = [first[chosen], *errors(table, [(tried[chosen][1], f) for f in outer[1:]])]
    kept = f"errors/{zlib.crc32(' | '.join(task.name).encode()):08x}.npz"
    each: dict[str, Any] = {f"error_{seed}": np.float32(f["outside"]) for seed, f in enumerate(found)}
    each |= {f"row_{seed}": c.outside for seed, c in enumerate(cuts)}
    np.savez_compressed(folder / kept, **each)
    shared = {
        "data": task.source,
        "shift": f"{task.source}: {task.shift}",
        "domain": task.domain,
        "method": task.title,
        "information": "L1" if method.use_target else "L0",
        "chosen": tried[chosen][0],
        "draw": chosen,
        "refused": bool(reasons and reasons[0]),
        "control": ("random domain labels" if task.control.random_domains else "one-hot elements") if task.control else None,
        "control_of": task.control.of if task.control else None,
        "label_convention_changes": task.source == "mp_union" and task.domain in CONVENTION,
        "unit": source.unit,
        "errors": kept,
    }
    only_first = {
        "mae_out_by_validation": mae(first[by_validation]["outside"]),
        "oracle_mae_out": min(mae(f["outside"]) for f in first),
        "seconds": time.process_time() - start,
    }
    return [
        {
            **shared,
            "seed": seed,
            "n_train": len(c.train),
            "n_test": len(c.outside),
            "mae_in": mae(f["inside"]),
            "mae_out": mae(f["outside"]),
        }
        | (only_first if seed == 0 else dict.fromkeys(only_first))
        for seed, (c, f) in enumerate(zip(cuts, found, strict=True))
    ]


def mae(error: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.abs(error).mean())


def run(
    config: Config, out: Path, sources: dict[str, Source], budget: float, old: Former = NOTHING, only: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Runs what is missing, a task at a time, and returns what goes into `result.json`.

    Rows of ERM are computed again where their errors are not in the folder: every interval needs them.
    """
    (out / "errors").mkdir(parents=True, exist_ok=True)
    log = out / "rows.jsonl"
    done = {_name(row) for row in [*old.rows, *read(log)] if row["method"] != "ERM" or (out / row["errors"]).exists()}
    todo = [task for task in tasks(config, sources) if task.name not in done and (not only or task.title in only)]
    stop = time.process_time() + 60 * budget
    for i, task in enumerate(todo):
        if time.process_time() > stop:
            print(f"budget spent: {len(todo) - i} tasks left", file=sys.stderr)
            break
        rows = run_task(task, config, sources[task.source], out)
        with log.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
        left = (time.process_time() - stop + 60 * budget) / (i + 1) * (len(todo) - i - 1) / 60
        print(f"{i + 1}/{len(todo)} {' | '.join(task.name)}: {rows[0]['mae_out']:.4g}, about {left:.0f} CPU minutes left", file=sys.stderr)
    rows = each_once([*old.rows, *read(log)])
    done = set(map(_name, rows))
    everywhere = dict.fromkeys(
        [t.name for t in tasks(config, sources)] + [(*n[:3], m.title) for n in map(_name, rows) for m in config.methods]
    )
    return {"rows": rows, "missing": [" | ".join(name) for name in everywhere if name not in done]}


def read(log: Path) -> list[dict[str, Any]]:
    """The rows so far, each once; a line that was cut off is not one of them."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return each_once(rows)


def each_once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last of every task and seed."""
    return list({(*_name(row), row["seed"]): row for row in rows}.values())


def _name(row: dict[str, Any]) -> tuple[str, ...]:
    """The name of the task that a row is from."""
    return row["data"], row["shift"].split(": ", 1)[1], row["domain"], row["method"]


def tables(rows: list[dict[str, Any]], out: Path, sources: dict[str, Source], old: Former) -> dict[str, tuple[Comparison, ...]]:
    """Every method against ERM, family by family: errors outside, inside, and each control against its twin."""

    def each(row: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        if row["data"] not in sources or not (out / row["errors"]).exists():
            return None
        with np.load(out / row["errors"]) as kept:
            index = kept[f"row_{row['seed']}"]
            return (
                np.abs(kept[f"error_{row['seed']}"]),
                np.char.add(f"{row['data']} ", index.astype(str)),
                sources[row["data"]].system[index],
            )

    methods = complete([r for r in rows if not r["control"]])
    found = {
        "mae_out": compare_methods(methods, reference="ERM", errors=each),
        "mae_in": compare_methods(methods, reference="ERM", metric="mae_in"),
    }
    for title, of in dict.fromkeys((r["method"], r["control_of"]) for r in rows if r["control"]):
        where = {(r["shift"], r["domain"]) for r in rows if r["method"] == title}
        pair = [r for r in rows if r["method"] in (title, of) and (r["shift"], r["domain"]) in where]
        found[f"control: {title} against {of}"] = compare_methods(pair, reference=of, errors=each)
    return {name: with_old_intervals(table, old.tables.get(name, ())) for name, table in found.items()}


def write(result: dict[str, Any], path: Path) -> None:
    """Writes the result, one row per line."""
    head = {name: value for name, value in result.items() if name != "rows"}
    lines = ",\n".join(json.dumps(_short(row), allow_nan=False) for row in result["rows"])
    path.write_text(f'{json.dumps(_short(head), indent=1, allow_nan=False)[:-2]},\n "rows": [\n{lines}\n]}}\n', encoding="utf-8")


def _short(value: Any) -> Any:
    """Numbers to five digits."""
    if isinstance(value, dict):
        return {name: _short(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_short(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def check(path: Path) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If rows are missing or a number is out of its range.
    """
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["missing"] or not result["rows"] or not result["tables"]["mae_out"]:
        raise ValueError(f"{path}: rows are missing: {result['missing']}")
    for row in result["rows"]:
        if not (row["mae_in"] > 0 and row["mae_out"] > 0 and row["n_train"] > 0 and row["n_test"] > 0):
            raise ValueError(f"{path}: not a valid row: {row}")
        if row["seed"] == 0 and not row["oracle_mae_out"] <= row["mae_out"]:
            raise ValueError(f"{path}: an oracle that is worse than a choice: {row}")
    print(f"valid: {len(result['rows'])} rows")


def small(config: Config, n_seed: int, max_domains: int, draws: int) -> Config:
    """The same with fewer seeds, domains and draws."""
    search = dataclasses.replace(config.search, draws=draws, folds=2)
    return dataclasses.replace(config, n_seed=n_seed, max_domains=max_domains, search=search)


def main() -> None:
    """Reads the command line, runs and writes `result.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of finished rows; by default runs/robustness-risks")
    parser.add_argument("--budget", type=float, default=60.0, help="CPU minutes after which no task is started (%(default)s)")
    parser.add_argument("--data", nargs="+", choices=tuple(SOURCES), default=tuple(SOURCES), help="data sets to run; all by default")
    parser.add_argument("--methods", nargs="+", default=(), metavar="TITLE", help="methods to run; all by default")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 3 domains per family, 4 draws; result.json goes into the folder")
    parser.add_argument("--smoke", action="store_true", help="does it run and write a valid result? In a folder that is deleted")
    given = parser.parse_args()
    config = from_toml(HERE / "config.toml", Config)
    if not SHARED.exists():
        print(f"skipped: the data are not there ({SHARED})")
        return
    if given.smoke:
        pace = dataclasses.replace(config.learner.pace, n_epoch=2, n_update=5)
        config = dataclasses.replace(small(config, 1, 2, 2), learner=dataclasses.replace(config.learner, pace=pace), controls=())
        config = dataclasses.replace(config, methods=tuple(m for m in config.methods if m.title in ("ERM", "V-REx")))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result.json"
            sources = {"mpea_hardness": SOURCES["mpea_hardness"](SHARED, None)}
            finish(config, run(config, path.parent, sources, 60.0), path, path.parent, sources, NOTHING)
            check(path)
        return
    config = small(config, 2, 3, 4) if given.quick else config
    out = given.out or HERE.parents[2] / "runs" / ("robustness-risks-quick" if given.quick else "robustness-risks")
    print("reading and describing the data", file=sys.stderr)
    sources = {name: SOURCES[name](SHARED, None) for name in given.data}
    path = out / "result.json" if given.quick else HERE / "result.json"
    old = former(path, json.loads(json.dumps(_short(to_dict(config)))))
    text = finish(config, run(config, out, sources, given.budget, old, tuple(given.methods)), path, out, sources, old)
    if not given.quick:
        fill(HERE / "README.md", text)
    print(f"result: {path}")


def finish(config: Config, result: dict[str, Any], path: Path, out: Path, sources: dict[str, Source], old: Former) -> str:
    """Adds tables, settings and versions to the rows, writes them, and returns the tables as Markdown."""
    rows = result["rows"]
    found, chosen = tables(rows, out, sources, old), gaps(complete(rows))
    plain = {name: [dataclasses.asdict(c) for c in comparisons] for name, comparisons in found.items()}
    about = {"command": " ".join(["python", *sys.argv]), "settings": to_dict(config), "cpu_seconds": sum(r["seconds"] or 0 for r in rows)}
    about |= {"versions": {"matjax": matjax.__version__} | {name: version(name) for name in ("jax", "numpy", "scikit-learn")}}
    write({**about, "missing": result["missing"], "tables": plain, "gaps": chosen, "rows": rows}, path)
    lines = [f"{len(rows)} rows, {len(result['missing'])} tasks missing, {about['cpu_seconds'] / 60:.0f} minutes of one core.\n"]
    lines += [f"**{TITLES.get(name, name)}**\n\n{markdown(comparisons)}\n" for name, comparisons in found.items()]
    names = list(chosen[0]) if chosen else []
    lines += [
        "**Selection, by method: geometric means over all domains, first seed**\n",
        f"| {' | '.join(names)} |",
        "|---" * len(names) + "|",
    ]
    lines += ["| " + " | ".join(v if isinstance(v, str) else f"{v:.3g}" for v in row.values()) + " |" for row in chosen]
    return "\n".join(lines) + "\n"


def fill(readme: Path, text: str) -> None:
    """Puts the tables between their marks."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
