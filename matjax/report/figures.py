"""Every figure of the report by name, and what of it stands on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from matjax.report.comparison_figures import forest
from matjax.report.domain_figures import domain_coverage, domain_degradation
from matjax.report.error_figures import colour_limits, degradation, element_errors, parity, parity_limits, periodic_table
from matjax.report.run import Case, Pair, Run
from matjax.report.sections import SECTIONS, Section
from matjax.report.shift_figures import CERTIFICATE, certificate, latent_map, score_histogram
from matjax.report.style import STYLE
from matjax.report.trust_figures import coverage, reliability_curve, risk_coverage
from matjax.report.words import listing

MAX_PANEL = 8  # panels of a section on the page: what a reader looks at, and what keeps the file small
OVERVIEWS: dict[str, dict[str, Callable[[Run], Figure | None]]] = {
    "overview": {"overview-error": degradation, "overview-coverage": coverage},
    "domains": {"domains-error": domain_degradation, "domains-coverage": domain_coverage},
}
MAX_CASE = 10  # cases that the figure of all methods holds; beyond, one line per domain says more
TITLES = {"inside": "inside the training domains", "outside": "domains left out"}


def figures(run: Run) -> dict[str, Figure]:
    """Every figure that the run holds data for: {"overview-error", "domains-error", "parity-1", ..., "certificate-similarity"}.

    Panels per case are numbered from 1 in the order of `run.cases`. A figure whose data the run did not store is absent.
    """
    with matplotlib.rc_context(STYLE):
        found: dict[str, Figure | None] = {}
        for section in SECTIONS:
            if section.name in OVERVIEWS and belongs(run, section):
                found |= {name: draw(run) for name, draw in OVERVIEWS[section.name].items()}
        found |= {"statistics-forest": forest(run), **_per_case(run), **_elements(run)}
        found |= {f"certificate-{field}": certificate(run, field) for field in CERTIFICATE}
    return {name: figure for name, figure in found.items() if figure is not None}


def belongs(run: Run, section: Section) -> bool:
    """Whether a section is for a run of this many domains: all methods on each of a few, or one line for each of many."""
    n = sum(not case.control for case in run.cases)
    return {"overview": len(run.cases) <= MAX_CASE, "domains": n > 2}.get(section.name, True)


def _per_case(run: Run) -> dict[str, Figure | None]:
    known = [(i, case, pair) for i, case in enumerate(run.cases, 1) if (pair := run.pair(case)) is not None]
    if not known:
        return {}
    limits = parity_limits([pair for _, _, pair in known])
    draw: dict[str, Callable[[Case, Pair], Figure | None]] = {
        "parity": lambda case, pair: parity(run, pair, case.short, limits),
        "reliability": lambda case, pair: reliability_curve(pair, case.short),
        "risk_coverage": lambda case, pair: risk_coverage(run, case, pair),
        "latent": lambda case, pair: latent_map(pair, case.short),
        "score": lambda case, pair: score_histogram(run, case, pair),
    }
    return {f"{name}-{i}": function(case, pair) for name, function in draw.items() for i, case, pair in known}


def _elements(run: Run) -> dict[str, Figure | None]:
    pairs = [(case, pair) for case in run.cases if (pair := run.pair(case)) is not None]
    pooled = {
        "inside": element_errors([pair.inside for _, pair in pairs]),
        "outside": element_errors([pair.outside for case, pair in pairs if not case.control]),
    }
    limits = colour_limits([error for error, _ in pooled.values()])
    return {
        f"elements-{side}": periodic_table(run, TITLES[side], *data, limits) if np.any(data[1]) else None for side, data in pooled.items()
    }


def caption(run: Run, section: Section) -> str:
    """The caption of a section, naming the method that is drawn and the panels that are not."""
    seeds = len({row.get("seed") for row in run.rows})
    return section.caption.format(method=f"{run.model} (first seed)" if seeds > 1 else run.model)


def shown(section: Section, drawn: Sequence[str]) -> list[str]:
    """Which drawn figures of a section stand on the page: all, or of many cases the first and the worst."""
    mine = [name for name in drawn if name.startswith(f"{section.name}-")]
    per_case = mine and mine[-1].rpartition("-")[2].isdigit()
    return [mine[0], *mine[1 - MAX_PANEL :]] if per_case and len(mine) > MAX_PANEL else mine


def not_drawn(run: Run, section: Section, drawn: Sequence[str]) -> str:
    """What of a section is not on the page: cases without data, naming what the run lacks, and those left to figures/."""
    if section.name in ("overview", "domains", "elements", "certificate"):
        absent = [] if any(name.startswith(section.name) for name in drawn) else ["any shift"]
    else:
        absent = [case.title for i, case in enumerate(run.cases, 1) if f"{section.name}-{i}" not in drawn]
    lacking = f"Not drawn for {listing(absent)}: the run did not store {section.needs}." if absent else ""
    n_left = sum(name.startswith(f"{section.name}-") for name in drawn) - len(shown(section, drawn))
    left = f"The page shows the first and the {MAX_PANEL - 1} worst shifts; {n_left} more are in the folder figures." if n_left else ""
    return f"{lacking} {left}".strip()
