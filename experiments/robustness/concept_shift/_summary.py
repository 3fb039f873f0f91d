"""Rows per draw, and per method an error with its interval over chemical systems."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

Blocks = dict[tuple[str, int], dict[str, np.ndarray]]
REFERENCE = ("scale", "network")  # what every other method is compared with, at the same source and number of labels


def result(settings: dict[str, Any], blocks: Blocks, missing: list[str]) -> dict[str, Any]:
    """What goes into `result.json`."""
    rows = [row for (task, draw), block in blocks.items() for row in _rows(task, draw, block)]
    names = list(dict.fromkeys(task for task, _ in blocks))
    lines = [line for name in names for line in _lines(settings, name, {d: b for (t, d), b in blocks.items() if t == name})]
    return {"settings": settings, "missing": missing, "summary": lines, "rows": rows}


def _rows(task: str, draw: int, block: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    shared, rows = json.loads(str(block["audit"])), []
    for name, value, width in zip(json.loads(str(block["names"])), block["value"], block["half_width"], strict=True):
        error = value - block["target"]
        covered = None if np.isnan(width).any() else float((np.abs(error) <= width).mean())
        rows.append(
            {"task": task, "draw": draw}
            | dict(zip(("method", "model", "source", "labels"), name, strict=True))
            | {"n_test": len(error), "mae": _short(np.abs(error).mean()), "bias": _short(error.mean())}
            | {"coverage": covered if covered is None else _short(covered)}
            | {"half_width": None if covered is None else _short(np.mean(width))}
            | shared[f"{name[2]}|{name[3]}"]
        )
    return rows


def _lines(settings: dict[str, Any], task: str, draws: dict[int, dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Per method over all draws: error, and its ratio to the reference, with 95 % intervals over chemical systems."""
    systems = np.unique(np.concatenate([block["system"] for block in draws.values()]))
    sums: dict[tuple[Any, ...], np.ndarray] = {}
    covered: dict[tuple[Any, ...], list[float]] = {}
    count = np.zeros(len(systems))
    for block in draws.values():
        place = np.searchsorted(systems, block["system"])
        count += np.bincount(place, minlength=len(systems))
        for name, value, width in zip(json.loads(str(block["names"])), block["value"], block["half_width"], strict=True):
            error = np.abs(value - block["target"])
            sums[tuple(name)] = sums.get(tuple(name), 0) + np.bincount(place, error, len(systems))
            if not np.isnan(width).any():
                covered.setdefault(tuple(name), []).append(float((error <= width).mean()))
    drawn = np.random.default_rng(0).multinomial(len(systems), np.full(len(systems), 1 / len(systems)), settings["bootstrap"])
    weight = drawn @ count
    boot = {name: drawn @ total / weight for name, total in sums.items()}
    lines = []
    for name, total in sums.items():
        low, high = np.quantile(boot[name], [0.025, 0.975])
        mae = float(total.sum() / count.sum())
        line = {"task": task} | dict(zip(("method", "model", "source", "labels"), name, strict=True))
        line |= {"n_draw": len(draws), "mae": _short(mae), "low": _short(min(low, mae)), "high": _short(max(high, mae))}
        line |= {"coverage": _short(np.mean(covered[name])) if name in covered else None}
        reference = (*REFERENCE, name[2] or "unseen", name[3])
        if reference in sums and name != reference:
            ratio = np.quantile(boot[name] / boot[reference], [0.025, 0.975])
            line |= {"ratio": _short(total.sum() / sums[reference].sum()), "ratio_low": _short(ratio[0]), "ratio_high": _short(ratio[1])}
        lines.append(line)
    return lines


def _short(value: Any) -> float:
    return round(float(value), 5)


def markdown(found: dict[str, Any]) -> str:
    """The summary as tables: per task and source a line per method, a column per number of labels."""
    tables = []
    for task, source in dict.fromkeys((line["task"], line["source"]) for line in found["summary"]):
        mine = [line for line in found["summary"] if (line["task"], line["source"]) == (task, source)]
        counts = sorted({line["labels"] for line in mine})
        head = [f"{k} labels" for k in counts]
        lines = [f"{task}; source model: {source or 'none'}", "", _row_of(["method", "model", *head]), _row_of(["---"] * (len(head) + 2))]
        for method, model in dict.fromkeys((line["method"], line["model"]) for line in mine):
            by_count = {line["labels"]: line for line in mine if (line["method"], line["model"]) == (method, model)}
            lines.append(_row_of([method, model, *(_cell(by_count.get(k)) for k in counts)]))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _cell(line: dict[str, Any] | None) -> str:
    """Error, its interval, and the coverage of 90 % intervals where there is one."""
    if line is None:
        return ""
    covered = "" if line["coverage"] is None else f", {100 * line['coverage']:.0f} %"
    return f"{line['mae']:.3f} ({line['low']:.3f}-{line['high']:.3f}){covered}"


def _row_of(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
