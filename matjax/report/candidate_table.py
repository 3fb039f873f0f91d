"""The table of the best candidates, with intervals, competitors and what was not considered."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from matjax.report.discovery import LEVEL, Discovery, weight_percent
from matjax.report.discovery_verdict import formula, milli, ranking
from matjax.report.run import Row
from matjax.report.words import number, percent

HEADINGS = (
    ("candidate", "at.%, and by weight"),
    ("lattice", ""),
    ("stability", "meV/atom"),
    ("utility", "0 to 1"),
    ("Pugh", "B/G"),
    ("density", "g/cm³"),
    ("price", "USD/kg"),
    ("competitors", "the mixture it was held against"),
    ("picked", "call, and why"),
    ("flags", ""),
)
ABSENT = '<abbr title="not recorded">—</abbr>'


def candidate_table(discovery: Discovery) -> str:
    """The best candidates as an HTML table, best first; empty where there are none."""
    rows = ranking(discovery)
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}{f"<br><small>{unit}</small>" if unit else ""}</th>' for name, unit in HEADINGS)
    lines = "".join(f"<tr>{_line(row)}</tr>" for row in rows)
    table = f'<table class="main candidates"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
    return f'<div class="scroll" tabindex="0">{table}</div>'


def candidate_caption(discovery: Discovery) -> str:
    """How the table is to be read."""
    temperature = discovery.info.get("temperature")
    at = f" at {temperature:.0f} K" if isinstance(temperature, (int, float)) else ""
    sentences = (
        f"Stability{at}: Gibbs energy of the candidate minus the lowest of any mixture of the other phases considered, by the oracle. "
        "Negative is stable.",
        f"The {percent(LEVEL)} intervals beneath were predicted and are relative to the oracle: they say what it would find, not what "
        "an experiment would."
        if any(row.get("low") is not None for row in ranking(discovery))
        else "",
        "Competitors: the phases of that mixture and their shares.",
        "Utility: 1 is all that was asked for.",
        "Pugh ratio: a proxy of ductility; above about 1.75 metals tend to be ductile.",
        "Flags: unfamiliar is unlike the training data; elastically unstable fails the Born criterion.",
        "Only of converged calculations." if not discovery.best else "",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _line(row: Row) -> str:
    cells = (
        row.get("prototype") and escape(str(row["prototype"])),
        _with_interval(row, "stability", "low", "high", milli),
        _with_interval(row, "utility", "utility_low", "utility_high", number),
        _plain(row, "pugh_ratio", 2),
        _plain(row, "density", 2),
        _plain(row, "price", 1),
        _competitors(row),
        _why(row),
        _flags(row),
    )
    kinds = ("", "", "", "", "", "", ' class="words"', ' class="words"', ' class="words"')
    return _alloy(row) + "".join(f"<td{kind}>{text or ABSENT}</td>" for kind, text in zip(kinds, cells, strict=True))


def _alloy(row: Row) -> str:
    composition: Mapping[str, float] = row.get("composition") or {}
    if not composition:
        return f'<th scope="row">{escape(formula(row))}</th>'
    weight = row.get("weight_percent") or weight_percent(composition)
    atomic = " ".join(f"{escape(symbol)}<sub>{100 * share:.4g}</sub>" for symbol, share in composition.items())
    by_weight = " ".join(f"{escape(symbol)} {share:.1f}" for symbol, share in weight.items())
    file = f"<br><small>{escape(str(row['structure']))}</small>" if row.get("structure") else ""
    return f'<th scope="row"><span class="alloy">{atomic}</span><br><small>wt.% {by_weight}</small>{file}</th>'


def _with_interval(row: Row, field: str, low: str, high: str, form: Any) -> str:
    if row.get(field) is None:
        return ""
    ends = [row.get(name) for name in (low, high)]
    interval = "" if None in ends else f"<br><small>{form(ends[0])} to {form(ends[1])}</small>"
    return f"<b>{form(row[field])}</b>{interval}"


def _plain(row: Row, field: str, places: int) -> str:
    return "" if row.get(field) is None else f"{row[field]:.{places}f}"


def _competitors(row: Row) -> str:
    """Phases with their shares, and the composition of those that are solutions."""
    found = []
    for phase in row.get("competitors") or ():
        share = f" {percent(phase['fraction'])}" if isinstance(phase.get("fraction"), (int, float)) else ""
        parts = phase.get("composition") or {}
        made_of = " ".join(f"{symbol}{100 * value:.3g}" for symbol, value in parts.items() if value > 0.0005)
        found.append(f"{escape(str(phase.get('phase') or 'phase'))}{share}{f' <small>{escape(made_of)}</small>' if made_of else ''}")
    return "<br>".join(found)


def _why(row: Row) -> str:
    call = f"call {row['call']}" if row.get("call") is not None else ""
    turn = f"round {row['round']}" if row.get("round") is not None else ""
    where = ", ".join(part for part in (call, turn) if part)
    return "<br>".join(part for part in (escape(str(row.get("why") or "")), f"<small>{where}</small>" if where else "") if part)


def _flags(row: Row) -> str:
    flags = row.get("flags")
    flags = list(map(str, flags)) if isinstance(flags, list) else []
    if row.get("flagged") and not any("familiar" in flag or "novel" in flag for flag in flags):
        flags.append("unfamiliar")
    if row.get("born") is not None and row["born"] <= 0 and not any("born" in flag.lower() or "elastic" in flag for flag in flags):
        flags.append("elastically unstable")
    return " ".join(f'<span class="badge extrapolative">{escape(flag)}</span>' for flag in flags) or "none"
