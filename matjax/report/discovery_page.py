"""The discovery as an act of the report: what was found, how it was found, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from matjax.report.candidate_table import candidate_caption, candidate_table
from matjax.report.discovery import LEARNED, Discovery
from matjax.report.discovery_figures import MAX_LINES
from matjax.report.discovery_rounds import round_table
from matjax.report.discovery_sections import DISCOVERY_SECTIONS
from matjax.report.discovery_verdict import notices, verdict
from matjax.report.parts import ABSENT, Act, bullets, count, fact_list, summary
from matjax.report.sections import Section
from matjax.report.style import inline
from matjax.report.words import listing

PANELS = {
    "curve-utility": "the curve (utilities of oracle calls)",
    "curve-final": "where the seeds of two or more proposers ended",
    "pressure-ensemble": "the pessimistic ensemble (an audit of proxy against truth)",
    "pressure-single": "a single model beside it",
    "pressure-brake": "the record of the audit picks and the brake",
    "measured-stability": "stability (predictions and converged measurements in the trace)",
    "measured-utility": "utility (predictions and converged measurements in the trace)",
    "rounds-error": "the error of stability",
    "rounds-spread": "rms z and the spread factor",
    "rounds-coverage": "coverage",
    "rounds-seconds": "seconds",
    "mixing": "mixing energies",
    "temperature": "stability at several temperatures",
    "value-pairs": "values of element pairs",
    "value-ternary": "values of partial ternaries",
}
"""What may be drawn, and what a campaign must have stored for it."""


def discovery_act(discovery: Discovery, drawings: Mapping[str, str]) -> Act:
    """The discovery as an act of the report.

    Args:
      discovery: The campaign.
      drawings: SVG documents by figure name.
    """
    title = str(discovery.info.get("title") or "Discovery")
    found = (_section(discovery, section, drawings) for section in DISCOVERY_SECTIONS)
    parts = (_best(discovery), _sought(discovery), *found, _settings(discovery), _left_out(discovery, drawings), _reproduce(discovery))
    return Act("discovery", title, _summary(discovery), "\n".join(part for part in parts if part))


def _summary(discovery: Discovery) -> str:
    info, n_seed = discovery.info, len(discovery.of(LEARNED))
    temperature, seconds, peak = (info.get(name) for name in ("temperature", "seconds", "peak_GiB"))
    facts = [
        discovery.world,
        " ".join(map(str, info.get("elements") or ())),
        f"{temperature:,.0f} K" if isinstance(temperature, (int, float)) else "",
        count(len(discovery.calls), "oracle call") if discovery.calls else "",
        count(len(discovery.rounds), "round") if discovery.rounds else "",
        count(n_seed, "seed") if n_seed else "",
        f"{seconds / 60:.1f} min" if isinstance(seconds, (int, float)) else "",
        f"{peak:.1f} GiB" if isinstance(peak, (int, float)) else "",
    ]
    return summary(facts, notices(discovery), verdict(discovery))


def _heading(discovery: Discovery, title: str) -> str:
    """A heading that says where the results below it hold."""
    note = escape(str(discovery.oracle.get("note") or "the oracle was not recorded"))
    return f'<h2>{escape(title)} <span class="badge" title="{note}">{escape(discovery.world)}</span></h2>'


def _best(discovery: Discovery) -> str:
    table = candidate_table(discovery)
    heading = _heading(discovery, f"The best {discovery.thing}s")
    if not table:
        return f'<section id="best">{heading}<p class="caption">None: no calculation converged, so there is nothing to rank.</p></section>'
    absent = discovery.info.get("not_considered")
    phases = (
        f"Phases not considered, any of which may be more stable: {escape(listing(absent, most=40))}."
        if absent
        else (f"Which phases were not considered is {ABSENT}.")
    )
    return (
        f'<section id="best">{heading}{table}<p class="convention">{phases}</p>'
        f'<p class="caption">{escape(candidate_caption(discovery))}</p></section>'
    )


def _sought(discovery: Discovery) -> str:
    """What the utility asks for and where was looked for it."""
    goals = discovery.info.get("utility")
    if not discovery.finished:
        return ""
    rows = [row for row in (goals if isinstance(goals, list) else ()) if isinstance(row, Mapping)]
    asked = {f"goal {i}": row.get("text") for i, row in enumerate(rows)}
    names = {
        **({name: f"goal: {row.get('goal')}" for name, row in zip(asked, rows, strict=True)} or {"goal": "goals"}),
        "temperature": "temperature (K)",
        "elements": "elements",
        "lattices": "lattices of solutions" if discovery.thing == "alloy" else "structures",
        "prototypes": "ordered compounds measured beforehand",
        "terms": "terms of the Gibbs energy",
        "n_known": "measured beforehand",
        "budget": "oracle calls allowed",
        "batch": "calls a round",
    }
    return f'<section id="sought"><h2>What was sought, and where</h2>{fact_list({**_spoken(discovery), **asked}, names)}</section>'


def _spoken(discovery: Discovery) -> dict:
    """The record with lists of words as one phrase."""
    words = ("elements", "lattices", "prototypes", "terms", "not_considered")
    return {
        name: ", ".join(map(str, value)) if name in words and isinstance(value, list) else value for name, value in discovery.info.items()
    }


def _section(discovery: Discovery, section: Section, drawings: Mapping[str, str]) -> str:
    mine = [name for name in drawings if name.startswith(f"{section.name}-")]
    if not mine:
        return ""
    panels = "".join(f'<div class="panel">{inline(drawings[name], name, _alt(discovery, section, name))}</div>' for name in mine)
    absent = [text for name, text in PANELS.items() if name.startswith(section.name) and not any(drawn.startswith(name) for drawn in mine)]
    more = max(len(discovery.mixing) if section.name == "mixing" else len(discovery.trends) if section.name == "temperature" else 0, 0)
    said = [f"Not drawn, since it was not stored: {listing(absent)}."] if absent else []
    said += [f"{more - MAX_LINES} more are in discovery.json."] if more > MAX_LINES else []
    lacking = f' <em class="absent">{escape(" ".join(said))}</em>' if said else ""
    caption = escape(section.caption.format(oracle=_oracle(discovery)))
    table = round_table(discovery) if section.name == "rounds" else ""
    return (
        f'<section id="{section.name}">{_heading(discovery, section.title)}<figure><div class="{section.layout}">{panels}</div>'
        f"<figcaption>{caption}{lacking}</figcaption></figure>{table}</section>"
    )


def _oracle(discovery: Discovery) -> str:
    """The oracle in a sentence, never without where its answers hold."""
    return f"the oracle ({discovery.world.removeprefix('by oracle ')})" if discovery.oracle else "the oracle"


def _alt(discovery: Discovery, section: Section, name: str) -> str:
    return f"{section.alt}, {name.removeprefix(f'{section.name}-').replace('-', ' ')} ({discovery.world})"


def _settings(discovery: Discovery) -> str:
    oracle = discovery.oracle
    record = {**_spoken(discovery), "oracle": ", ".join(str(oracle[name]) for name in ("name", "version", "note") if oracle.get(name))}
    names = {"oracle": "oracle", "hardware": "hardware", "seconds": "seconds", "peak_GiB": "peak memory (GiB)", "versions": "versions"}
    settings = escape(str(discovery.info.get("settings") or ABSENT))
    return f'<section id="discovery-settings"><h2>Settings, hardware, time</h2>{fact_list(record, names)}<pre>{settings}</pre></section>'


def _left_out(discovery: Discovery, drawings: Mapping[str, str]) -> str:
    """Phases, calls and pictures that are not in this report."""
    absent = discovery.info.get("not_considered")
    items = [f"Phases not considered: {listing(absent, most=40)}."] if absent else []
    sections = [section for section in DISCOVERY_SECTIONS if not any(name.startswith(f"{section.name}-") for name in drawings)]
    items += [f"{section.title} Not drawn: the campaign did not store {section.needs}." if section.title.endswith("?") else
              f"{section.title}: not drawn, the campaign did not store {section.needs}." for section in sections]  # fmt: skip
    failed = discovery.failed
    items += [_failure(row) for row in failed[:12]]
    items += [f"{len(failed) - 12} more calls without an answer are in trace.jsonl."] if len(failed) > 12 else []
    told = discovery.info.get("missing")
    items += told if isinstance(told, list) else [told] if told else []
    text = f"<ul>{bullets(items)}</ul>" if items else "<p>Nothing: every planned call was made and answered.</p>"
    return f'<section id="left-out"><h2>What was left out</h2>{text}</section>'


def _failure(row: Mapping) -> str:
    why = f" ({row['error']})" if row.get("error") else ""
    call = f"Call {row['call']}" if row.get("call") is not None else "A call"
    return f"{call}, {row.get('candidate') or 'unnamed'}: {row.get('status')}{why}; nothing was learned from it."


def _reproduce(discovery: Discovery) -> str:
    command = escape(str(discovery.info.get("command") or ABSENT))
    kept = ("discovery.json", "trace.jsonl", "candidates.csv", "structures", "config.toml", "campaign.sqlite")
    there = [name for name in kept if (discovery.folder / name).exists()]
    where = f"Every number above is in {listing(there, most=10)} of the campaign’s folder; every figure is in figures."
    return f'<section id="discovery-reproduce"><h2>Reproduce the discovery</h2><pre>{command}</pre><p>{where}</p></section>'
