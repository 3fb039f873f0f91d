"""More training domains or more crystals of one: what lowers the error on a domain that was in neither?

Shear moduli of Matbench (log10 of GPa). One domain is held out; n crystals are spread over 1, 2, 4, 8 other domains, or 2, 4, 8 times
n are taken from one. Everything else is the same: test crystals, descriptors, models, and the one domain to which others are added.
A row that is in the run folder is not computed again; `--budget` stops between rows and `result.json` names the missing ones.

    python experiments/robustness/diversity/run.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from matjax.data.descriptors import composition_features
from matjax.data.domains import domain_labels
from matjax.graph.descriptors import structure_descriptors
from matjax.keys import child, generator
from matjax.types import Crystal, Dataset

HERE = Path(__file__).resolve().parent
RUNS = HERE.parents[2] / "runs" / "robustness-diversity"
DATA = HERE.parents[3] / "shared" / "data" / "matbench" / "log_gvrh.json.gz"
SMOKE: dict[str, Any] = {"n": 20, "domains": [1, 2], "times": [2], "families": ["anion"], "draws": 1, "min_domain": 30, "bootstrap": 100}
SMOKE_CRYSTALS = 600
BEGIN, END = "<!-- tables: written by run.py -->", "<!-- end of tables -->"

Settings = dict[str, Any]
Predict = Callable[[np.ndarray], np.ndarray]


class Table(NamedTuple):
    """Descriptors [n, n_feature], labels [n], and domain labels [n] per family."""

    x: np.ndarray
    y: np.ndarray
    domain: dict[str, np.ndarray]


def table(settings: Settings, first: int | None, out: Path) -> Table:
    """All crystals, or the first; kept in the run folder, since space groups of 11,000 crystals take minutes."""
    kept = out / "table.npz"
    if not kept.exists():
        made = _table(settings, first)
        np.savez_compressed(kept, allow_pickle=False, x=made.x, y=made.y, **made.domain)
    with np.load(kept) as found:
        return Table(found["x"], found["y"], {family: found[family] for family in settings["families"]})


def _table(settings: Settings, first: int | None) -> Table:
    with gzip.open(DATA, "rt") as file:
        records = json.load(file)[:first]
    crystals = [Crystal(np.array(r["lattice"]), np.array(r["frac"]) @ np.array(r["lattice"]), np.array(r["Z"])) for r in records]
    dataset = Dataset(tuple(crystals), tuple(str(r["id"]) for r in records))
    x = np.concatenate([composition_features(crystals), np.stack([structure_descriptors(c) for c in crystals])], 1)
    domain = {family: domain_labels(dataset, family) for family in settings["families"]}
    return Table(x, np.array([r["log_gvrh"] for r in records], float), domain)


def arms(settings: Settings, domain: np.ndarray, held: str, draw: np.random.Generator) -> dict[tuple[str, int], np.ndarray] | None:
    """Training rows by arm: ("domains", k), ("times", m), and ("all", 0), which has the held-out domain in it."""
    names, counts = np.unique(domain[domain != "unknown"], return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    others = [d for d in size if d != held and size[d] >= settings["min_domain"]]
    large = [d for d in others if size[d] >= settings["n"] * max(settings["times"])]
    if not large:
        return None
    one = str(draw.choice(large))
    order = [one, *draw.permutation([d for d in others if d != one])]
    shuffled = {d: draw.permutation(np.flatnonzero(domain == d)) for d in order}
    spread = lambda k: np.concatenate([shuffled[d][: settings["n"] // k] for d in order[:k]])
    found = {("domains", k): spread(k) for k in settings["domains"] if k <= len(order)}
    return found | {("times", m): shuffled[one][: m * settings["n"]] for m in settings["times"]}


def row(settings: Settings, data: Table, family: str, held: str, number: int) -> dict[str, Any] | None:
    """Outside errors of every arm and model for one held-out domain and draw; None where no domain is large enough."""
    draw, domain = generator(child(jax.random.key(0), "arms", family, held, number)), data.domain[family]
    found = arms(settings, domain, held, draw)
    if found is None:
        return None
    outside = draw.permutation(np.flatnonzero(domain == held))
    n_test = min(settings["max_test"], len(outside) // 2)
    test, rest = outside[:n_test], outside[n_test:]
    elsewhere = draw.permutation(np.flatnonzero(domain != held))
    found["all", 0] = draw.permutation(np.concatenate([rest, elsewhere]))[: settings["n"]]  # the domain is inside: what is possible with n
    mae = {}
    for (kind, amount), rows in found.items():
        for model in settings["models"]:
            error = MODELS[model](data.x[rows], data.y[rows])(data.x[test]) - data.y[test]
            mae[f"{model}|{kind}|{amount}"] = round(float(np.abs(error).mean()), 5)
    one = str(domain[found["domains", 1][0]])
    return {"family": family, "held_out": held, "draw": number, "one_domain": one, "n_test": n_test, "mae": mae}


def _trees(x: np.ndarray, y: np.ndarray) -> Predict:
    return HistGradientBoostingRegressor(max_iter=150, max_bins=64, max_features=0.3, min_samples_leaf=10, random_state=0).fit(x, y).predict


def _gaussian_process(x: np.ndarray, y: np.ndarray) -> Predict:
    """Strength and width by marginal likelihood on the training crystals, 150 of them at most."""
    mean, std = x.mean(0), x.std(0)
    scaled = lambda x: np.clip((x - mean) / np.where(std > 1e-9, std, 1.0), -5, 5)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(15.0, (3.0, 300.0)) + WhiteKernel(0.1, (1e-5, 10.0))
    few = np.random.default_rng(0).permutation(len(x))[:150]
    fitted = GaussianProcessRegressor(kernel, normalize_y=True).fit(scaled(x[few]), y[few])
    every = GaussianProcessRegressor(fitted.kernel_, normalize_y=True).set_params(optimizer=None).fit(scaled(x), y)
    return lambda asked: np.asarray(every.predict(scaled(asked)))


MODELS: dict[str, Callable[[np.ndarray, np.ndarray], Predict]] = {"trees": _trees, "Gaussian process": _gaussian_process}


def wanted(settings: Settings, data: Table) -> list[tuple[str, str, int]]:
    """(family, held-out domain, draw), draw by draw, so that a run that is stopped has whole draws."""
    found = []
    for draw in range(settings["draws"]):
        for family in settings["families"]:
            names, counts = np.unique(data.domain[family], return_counts=True)
            large = zip(names, counts, strict=True)
            kept = [str(d) for d, n in large if d not in ("unknown", "element") and n >= settings["min_domain"]]
            found += [(family, d, draw) for d in kept]
    return found


def compute(settings: Settings, data: Table, out: Path, budget: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows, old and new, and what is missing."""
    file, begun = out / "rows.jsonl", time.perf_counter()
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(r["family"], r["held_out"], r["draw"]) for r in rows}
    todo = [w for w in wanted(settings, data) if w not in done]
    for i, one in enumerate(todo):
        minutes = (time.perf_counter() - begun) / 60
        if minutes > budget:
            return rows, [" ".join(map(str, w)) for w in todo[i:]]
        found = row(settings, data, *one)
        if found is None:
            continue
        rows.append(found)
        with file.open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        print(f"{i + 1}/{len(todo)} {one}, {minutes / (i + 1) * (len(todo) - i - 1):.0f} min left", file=sys.stderr, flush=True)
    return rows, []


def summary(settings: Settings, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per family, model and arm: error over that of n crystals of one domain, a geometric mean over held-out domains, 95 % interval."""
    lines, draw = [], np.random.default_rng(0)
    for family in settings["families"]:
        mine = [r for r in rows if r["family"] == family]
        held = sorted({r["held_out"] for r in mine})
        picks = draw.integers(len(held), size=(settings["bootstrap"], len(held))) if held else None
        for model in settings["models"]:
            for key in sorted({k for r in mine for k in r["mae"] if k.startswith(f"{model}|")}):
                found = [(r["held_out"], r["mae"][key], r["mae"][key] / r["mae"][f"{model}|domains|1"]) for r in mine if key in r["mae"]]
                logs = np.array([np.mean([np.log(ratio) for d, _, ratio in found if d == name]) for name in held])
                low, high = np.quantile(logs[picks].mean(1), [0.025, 0.975])
                _, kind, amount = key.split("|")
                line = {"family": family, "model": model, "arm": kind, "amount": int(amount), "n_held_out": len(held)}
                line |= {"mae": round(float(np.mean([mae for _, mae, _ in found])), 4)}
                ratios = {"ratio": logs.mean(), "low": low, "high": high}
                lines.append(line | {name: round(float(np.exp(value)), 4) for name, value in ratios.items()})
    return lines


def figure(lines: list[dict[str, Any]], path: Path) -> None:
    """Error outside against crystals of one domain, and against training domains at the same number of crystals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    families = list(dict.fromkeys(line["family"] for line in lines))
    fig, axes = plt.subplots(1, len(families), figsize=(4.2 * len(families), 3.2), sharey=True, squeeze=False, layout="constrained")
    for ax, family in zip(axes[0], families, strict=True):
        for model, colour in zip(dict.fromkeys(line["model"] for line in lines), ("C0", "C1"), strict=False):
            for kind, style, name in (("domains", "o-", "n over so many domains"), ("times", "s--", "so many times n from one")):
                mine = [x for x in lines if x["family"] == family and x["model"] == model and x["arm"] in (kind, "domains")]
                mine = sorted((x for x in mine if x["arm"] == kind or x["amount"] == 1), key=lambda x: x["amount"])
                y, low, high = (np.array([x[c] for x in mine]) for c in ("ratio", "low", "high"))
                ax.errorbar(
                    [x["amount"] for x in mine], y, [y - low, high - y], fmt=style, color=colour, capsize=2, label=f"{model}: {name}"
                )
        ax.set(title=family.replace("_", " ") + " held out", xlabel="training domains, or times n", xscale="log")
        ax.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("outside error / that of n from one")
    axes[0, 0].legend(fontsize=7)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def markdown(found: dict[str, Any]) -> str:
    """The summary as a table: a line per family and model, a column per arm, ratios with their intervals."""
    arms = [("domains", k) for k in found["settings"]["domains"]] + [("times", m) for m in found["settings"]["times"]] + [("all", 0)]
    names = {"domains": "n over {} domains", "times": "{} n from one", "all": "n from all, inside"}
    lines = {(x["family"], x["model"], x["arm"], x["amount"]): x for x in found["summary"]}
    rows = [["held out (domains)", "model", "MAE, n from one", *(names[kind].format(amount) for kind, amount in arms[1:])]]
    rows.append(["---"] * len(rows[0]))
    for family, model in dict.fromkeys((x["family"], x["model"]) for x in found["summary"]):
        one = lines[family, model, *arms[0]]
        others = [lines.get((family, model, *arm)) for arm in arms[1:]]
        cells = ["" if x is None else f"{x['ratio']:.3f} ({x['low']:.3f}-{x['high']:.3f})" for x in others]
        rows.append([f"{family} ({one['n_held_out']})", model, f"{one['mae']:.3f}", *cells])
    wanted = len(found["rows"]) + len(found["missing"])
    about = f"{len(found['rows'])} of {wanted} rows (held-out domain and draw); ratios to n from one domain, 95 % over held-out domains."
    return about + "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def fill(found: dict[str, Any]) -> None:
    """Puts the table between its marks in the README."""
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n\n{markdown(found)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def check(path: Path) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If a number is out of its range.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not found["rows"] or not all(0 < line["low"] <= line["ratio"] <= line["high"] for line in found["summary"]):
        raise ValueError(f"{path}: not a valid result: {found['summary'][:1]}")
    print(f"valid: {len(found['rows'])} rows, {len(found['summary'])} lines, missing: {found['missing'] or 'none'}")


def main() -> None:
    """Reads the command line, computes what is missing and writes result and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RUNS, help="run folder with the rows (default: runs/...)")
    parser.add_argument("--budget", type=float, default=float("inf"), metavar="MINUTES", help="start no further row after so many minutes")
    parser.add_argument(
        "--quick", action="store_true", help="one draw, trees alone; the result goes into the run folder, with -quick added"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="does it run and write a valid result? Few crystals, in a folder that is deleted"
    )
    parser.add_argument("--tables", action="store_true", help="write the table of result.json into README.md, and stop")
    given = parser.parse_args()
    if given.tables:
        fill(json.loads((HERE / "result.json").read_text(encoding="utf-8")))
        return
    settings = tomllib.loads((HERE / "config.toml").read_text(encoding="utf-8"))
    if not DATA.exists():
        print(f"skipped: {DATA} is not there; this experiment reads shared data")
        return
    with tempfile.TemporaryDirectory() as folder:
        out, target, first = given.out, HERE, None
        if given.smoke:
            settings, out, target, first = settings | SMOKE, Path(folder), Path(folder), SMOKE_CRYSTALS
        elif given.quick:
            settings = settings | {"draws": 1, "models": ["trees"]}
            out = target = given.out.with_name(given.out.name + "-quick")
        out.mkdir(parents=True, exist_ok=True)
        rows, missing = compute(settings, table(settings, first, out), out, given.budget)
        lines = summary(settings, rows)
        result = {"settings": settings, "missing": missing, "summary": lines, "rows": rows}
        (target / "result.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        figure(lines, target / "figure.png")
        check(target / "result.json")
        if target == HERE:
            fill(result)


if __name__ == "__main__":
    main()
