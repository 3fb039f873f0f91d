"""The main table: every shift and method, and why a number is missing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from matjax.report.run import Case, Row, Run
from matjax.report.style import colours
from matjax.report.words import method_name, number, percent, spelled


class Column(NamedTuple):
    """One column: field of a row, heading, group heading, how it is printed, what is best ("low", "high", "level" or "")."""

    field: str
    heading: str
    group: str
    form: Callable[[float], str]
    best: str = ""
    why_missing: str = "not recorded"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


NO_LDO = "leave-domain-out calibration was not run for this method"
COLUMNS = (
    Column("mae_in", "inside", "mean absolute error", number, "low"),
    Column("mae_out", "outside", "mean absolute error", number, "low"),
    Column(
        "matched_ratio",
        "matched ×",
        "mean absolute error",
        _ratio,
        "low",
        "needs a second fit with the domain inside; not run for this method in this budget",
    ),
    Column("coverage_in", "inside", "split conformal", percent),
    Column("coverage_out", "outside", "split conformal", percent, "level"),
    Column("width", "width", "split conformal", number, "", "every interval is infinite, or widths were not recorded"),
    Column("coverage_in_ldo", "inside", "leave-domain-out conformal", percent, "", NO_LDO),
    Column("coverage_out_ldo", "outside", "leave-domain-out conformal", percent, "level", NO_LDO),
    Column("width_ldo", "width", "leave-domain-out conformal", number, "", f"{NO_LDO}, or every interval is infinite"),
    Column("auroc_domain", "domain", "shift score, AUROC", _ratio, "high"),
    Column("auroc_error", "error", "shift score, AUROC", _ratio, "high", "no error, or every error, is above the inside 90% quantile"),
    Column("n_train", "train", "crystals", _count),
    Column("n_test_inside", "inside", "crystals", _count),
    Column("n_test", "outside", "crystals", _count),
)
BASELINE_OF = {"mae_in": "baseline_in", "mae_out": "baseline_out"}
INFORMATION = {
    "L0": "L0: nothing of the new domain was seen",
    "L1": "L1: also saw crystals of the new domain, without labels",
    "L2": "L2: labels of the new domain were given; they are not tested",
}


def main_table(run: Run) -> str:
    """The table as HTML: one body per shift, one row per method, the baseline last; seeds are averaged (mean ± sd)."""
    groups: dict[str, int] = {}
    for column in COLUMNS:
        groups[column.group] = groups.get(column.group, 0) + 1
    top = "".join(f'<th scope="colgroup" colspan="{n}">{escape(_with_unit(run, name))}</th>' for name, n in groups.items())
    heads = "".join(f'<th scope="col"{_edge(i)}>{escape(column.heading)}</th>' for i, column in enumerate(COLUMNS))
    bodies = "".join(_body(run, case) for case in run.cases)
    return f'<table class="main"><thead><tr><th rowspan="2" scope="col">method</th>{top}</tr><tr>{heads}</tr></thead>{bodies}</table>'


def _with_unit(run: Run, group: str) -> str:
    return f"{group} ({run.unit})" if run.unit and group.startswith("mean") else group


def _edge(i: int) -> str:
    """Class of a cell that starts a group of columns."""
    return ' class="edge"' if i == 0 or COLUMNS[i].group != COLUMNS[i - 1].group else ""


def _body(run: Run, case: Case) -> str:
    lines = [f'<tr class="case"><th colspan="{len(COLUMNS) + 1}" scope="rowgroup">{_heading(case)}</th></tr>']
    known = {name: max(str(row.get("information") or "L0") for row in case.of(name)) for name in run.methods if case.of(name)}
    for level in sorted(set(known.values())):
        if level != "L0":
            seen = escape(INFORMATION.get(level, level))
            lines.append(f'<tr class="level"><td colspan="{len(COLUMNS) + 1}">{seen}</td></tr>')
        told = {str(row["method"]) for row in case.rows if row.get("selection") == "oracle"}
        rivals = [name for name in known if known[name] <= level and name not in told]  # who knew more must beat those who knew less
        best = {column.field: _best(run, case, rivals, column) for column in COLUMNS if column.best}
        lines += [_line(run, case, method, best) for method in known if known[method] == level]
    return f"<tbody>{''.join(lines)}{_baseline(run, case, 'baseline')}{_baseline(run, case, 'second_baseline')}</tbody>"


def _heading(case: Case) -> str:
    kinds = list(dict.fromkeys(str(row["certificate"]) for row in case.rows if row.get("certificate")))
    badge = "".join(f' <span class="badge {escape(kind)}">{escape(kind)}</span>' for kind in kinds)
    return f'{escape(case.title)}{badge} <span class="shift">{escape(case.shift)}</span>'


def _line(run: Run, case: Case, method: str, best: Mapping[str, float | None]) -> str:
    rows = case.of(method)
    cells = "".join(_cell(run, case, method, column, best.get(column.field), _edge(i)) for i, column in enumerate(COLUMNS))
    oracle = ' class="oracle"' if any(row.get("selection") == "oracle" for row in rows) else ""
    seeds = f' <span class="shift">{len(rows)} seeds</span>' if len(rows) > 1 else ""
    dot = f'<i class="dot" style="background:{_swatch(run, method)}"></i>'
    return f'<tr{oracle}><th scope="row">{dot}{escape(method_name(method))}{seeds}</th>{cells}</tr>'


def _swatch(run: Run, method: str) -> str:
    return "currentColor" if method == run.reference else colours(run.methods)[method]


def _cell(run: Run, case: Case, method: str, column: Column, best: float | None, edge: str) -> str:
    values = numbers(case.of(method), column.field)
    if not values:
        return f'<td{edge}><abbr title="{escape(why(case, method, column))}">—</abbr></td>'
    value = sum(values) / len(values)
    text = column.form(value)
    if len(values) > 1 and column.group != "crystals":
        text += f" <small>± {column.form(statistics.stdev(values))}</small>"
    if best is not None and _distance(column, value, run.level) == best:
        text = f"<b>{text}</b>"
    if column.field in ("mae_in", "mae_out") and _worse(run, case, method, column.field):
        text += f'<abbr class="worse" title="worse than {escape(method_name(run.reference))}">▲</abbr>'
    return f'<td{edge} title="{", ".join(f"{v:.6g}" for v in values)}">{text}</td>'


def numbers(rows: Sequence[Row], field: str) -> list[float]:
    """The values of a field, one per seed that has it."""
    return [float(row[field]) for row in rows if row.get(field) is not None]


def why(case: Case, method: str, column: Column) -> str:
    """Why a number is missing: what the run wrote down (`why` of a row), else what commonly causes it."""
    rows = case.of(method)
    written = [row["why"][column.field] for row in rows if isinstance(row.get("why"), Mapping) and row["why"].get(column.field)]
    if case.control and column.field == "matched_ratio" and not written:
        return "nothing is left out of the random split, so there is no second fit"
    return str(written[0]) if written else column.why_missing


def _worse(run: Run, case: Case, method: str, field: str) -> bool:
    ours, theirs = case.value(method, field), case.value(run.reference, field)
    return ours is not None and theirs is not None and ours > theirs


def _distance(column: Column, value: float, level: float | None) -> float:
    """What the best method has least of."""
    return {"low": value, "high": -value, "level": abs(value - (level or 0.0))}[column.best] if column.best else value


def _best(run: Run, case: Case, methods: Sequence[str], column: Column) -> float | None:
    """Distance of the best of the methods and the baseline; None where they are equal, as a single one is with itself."""
    values = [case.value(method, column.field) for method in methods] + [
        _baseline_value(run, case, column, name) for name in ("baseline", "second_baseline")
    ]
    found = [value for value in values if value is not None]
    return min(_distance(column, value, run.level) for value in found) if len(set(found)) > 1 else None


def _baseline_value(run: Run, case: Case, column: Column, name: str = "baseline") -> float | None:
    return case.value(run.reference, BASELINE_OF[column.field].replace("baseline", name)) if column.field in BASELINE_OF else None


def _baseline(run: Run, case: Case, name: str) -> str:
    """The line of a baseline; no line for a second one that was not run."""
    kind = next((spelled(str(row[name])) for row in case.rows if row.get(name)), None)
    if kind is None and name != "baseline":
        return ""
    cells = []
    for i, column in enumerate(COLUMNS):
        value = _baseline_value(run, case, column, name)
        if column.field not in BASELINE_OF:
            text = ""
        elif value is None:
            text = '<abbr title="the baseline was not recorded">—</abbr>'
        else:
            text = f"<b>{number(value)}</b>" if value == _best(run, case, run.methods, column) else number(value)
        cells.append(f"<td{_edge(i)}>{text}</td>")
    head = f'<th scope="row"><i class="dot"></i>baseline <span class="shift">{escape(kind or "not recorded")}</span></th>'
    return f'<tr class="baseline">{head}{"".join(cells)}</tr>'
