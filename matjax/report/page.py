"""The page: one self-contained HTML file that tells of a stress test, a discovery or both, its figures also as SVG files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from matjax.report.discovery_figures import discovery_figures
from matjax.report.discovery_page import discovery_act
from matjax.report.discovery_read import find_discovery, read_discovery
from matjax.report.figures import MAX_CASE, belongs, caption, figures, not_drawn, shown
from matjax.report.parts import ABSENT, Act, bullets, count, fact_list, plain, summary
from matjax.report.read import read_run
from matjax.report.run import Run
from matjax.report.sections import SECTIONS, Section
from matjax.report.statistics_table import statistics_section
from matjax.report.style import inline, to_svg
from matjax.report.table import INFORMATION, main_table
from matjax.report.verdict import MARGIN, notices, verdict
from matjax.report.words import listing, percent

TITLE = "How far can it be trusted, and what did it find?"


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Writes `report.html` and `figures/*.svg` for a run folder: a stress test, a discovery, or both as two acts of one page.

    Args:
      run_dir: Folder with `stress_test.json` (and where present `run.json` and `predictions/*.npz`), or with `discovery.json`
        or `trace.jsonl` in itself or in its folder `discovery`.
      out: Folder to write to; the run folder itself where left out.

    Returns:
      Path of `report.html`.

    Raises:
      ValueError: If the run folder is missing, empty or corrupt; the message names the file.
    """
    run_dir = Path(run_dir)
    out = Path(out) if out is not None else run_dir
    acts, drawings = _acts(run_dir)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, svg in drawings.items():
        (out / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    path = out / "report.html"
    path.write_text(page(acts), encoding="utf-8")
    return path


def _acts(run_dir: Path) -> tuple[list[Act], dict[str, str]]:
    """What the folder holds: its acts, and every drawing by name."""
    acts, drawings = [], {}
    found = find_discovery(run_dir)
    if found is None or (run_dir / "stress_test.json").is_file():
        run = read_run(run_dir)
        drawings |= {name: to_svg(figure) for name, figure in figures(run).items()}
        acts.append(stress_test_act(run, drawings))
    if found is not None:
        discovery = read_discovery(found)
        drawn = {name: to_svg(figure) for name, figure in discovery_figures(discovery).items()}
        drawings |= drawn
        acts.append(discovery_act(discovery, drawn))
    return acts, drawings


def page(acts: Sequence[Act]) -> str:
    """The report as HTML: one act with its title on top, or several below a summary and a table of contents of each."""
    title = acts[0].title if len(acts) == 1 else TITLE
    style = (resources.files("matjax.report") / "style.css").read_text(encoding="utf-8")
    body = _one(acts[0]) if len(acts) == 1 else _several(acts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _one(act: Act) -> str:
    return f"<header><h1>{escape(act.title)}</h1>{act.summary}</header>\n{act.body}"


def _several(acts: Sequence[Act]) -> str:
    """Every verdict side by side at the top, then the acts; their sections are one heading deeper."""
    cards = "".join(
        f'<div class="act"><h2><a href="#{act.name}">{escape(act.title)}</a></h2>{act.summary}<p class="contents">{act.contents}</p></div>'
        for act in acts
    )
    bodies = "\n".join(
        f'<article id="{act.name}"><h2 class="part">{escape(act.title)}</h2>\n'
        f"{act.body.replace('<h2>', '<h3>').replace('</h2>', '</h3>')}</article>"
        for act in acts
    )
    return f'<header><h1>{TITLE}</h1></header>\n<nav class="acts" aria-label="Contents">{cards}</nav>\n{bodies}'


def stress_test_act(run: Run, drawings: Mapping[str, str]) -> Act:
    """The stress test as an act of the report.

    Args:
      run: The run.
      drawings: SVG documents by figure name.
    """
    drawn = {section.name: _section(run, section, drawings) for section in SECTIONS if belongs(run, section)}
    first = [drawn.pop(name) for name in ("overview", "domains") if name in drawn]
    table, statistics = _table(run), _statistics(run, drawings)
    head = [*first, statistics, table] if len(run.cases) > MAX_CASE else [table, *first, statistics]
    parts = (*head, *drawn.values(), _data(run), _settings(run), _reproduce(run))
    return Act("trust", str(run.info.get("title") or "Stress test"), _summary(run), "\n".join(parts))


def _summary(run: Run) -> str:
    n_control = sum(case.control for case in run.cases)
    facts = [
        _dataset(run).get("name"),
        run.common("label", "").replace("_", " "),
        run.common("n_member", "") and f"{run.common('n_member')} members",
        f"{count(len(run.cases) - n_control, 'shift')}{' and a random control' if n_control else ''}",
        f"{count(len(run.methods), 'method')}, seed {run.common('seed')}",
    ]
    return summary(facts, notices(run), verdict(run)) + _convention(run)


def _convention(run: Run) -> str:
    """What must be said of a shift between anion classes wherever its numbers are shown."""
    domains = [case.held_out for case in run.cases if "anion" in case.shift]
    if not domains:
        return ""
    verb = "is" if "convention" in str(_dataset(run).get("notes")) else "can be"
    part = f"Part of the shift to {listing(domains)} {verb} a change of label convention"
    text = f"{part} (corrections by anion, mixed functionals), not of chemistry: "
    return f'<p class="convention">{escape(text)}<a href="#data">what the labels mean</a>.</p>'


def _table(run: Run) -> str:
    levels = {str(row.get("information")) for row in run.rows} & set(INFORMATION)
    level = percent(run.level) if run.level is not None else "an unrecorded level"
    sentences = (
        f"Errors in {run.unit or 'an unrecorded unit'}: inside, on test crystals of the training domains; outside, of the domain left out.",
        "Matched ×: error on the same materials when their domain is left out, over when it is not.",
        f"Intervals aim at {level}; width is their full mean width.",
        "AUROC: how well the shift score finds crystals of the new domain, and errors above the inside 90% quantile.",
        "Bold: best of its shift (for coverage: nearest the level). ▲: worse than the first row.",
        f"Settings were chosen by {run.common('selection')}.",
        *(f"{INFORMATION[name]}." for name in sorted(levels)),
        "A dash is a number that was not computed; its reason is on hover.",
        f"In the summary, methods within {percent(MARGIN)} count as equal.",
        *(
            ["Property tails shift the label itself and are not in the averages of the summary."]
            if any(case.tail for case in run.cases)
            else []
        ),
    )
    table = f'<div class="scroll" tabindex="0">{main_table(run)}</div>'
    if len(run.cases) > MAX_CASE:
        table = f"<details><summary>{len(run.cases)} splits, {len(run.rows)} rows</summary>{table}</details>"
    return f'<section id="methods"><h2>Every shift, every method</h2>{table}<p class="caption">{escape(" ".join(sentences))}</p></section>'


def _section(run: Run, section: Section, drawings: Mapping[str, str]) -> str:
    names = shown(section, list(drawings))
    lacking = not_drawn(run, section, list(drawings))
    absent = f' <em class="absent">{escape(lacking)}</em>' if lacking else ""
    drawn = "".join(f'<div class="panel">{inline(drawings[name], name, f"{section.alt}: {_subject(run, name)}")}</div>' for name in names)
    return (
        f'<section id="{section.name}"><h2>{escape(section.title)}</h2><figure><div class="{section.layout}">{drawn}</div>'
        f"<figcaption>{escape(caption(run, section))}{absent}</figcaption></figure></section>"
    )


def _statistics(run: Run, drawings: Mapping[str, str]) -> str:
    name = "statistics-forest"
    return statistics_section(run, inline(drawings[name], name, "Forest plot of methods by family of domains") if name in drawings else "")


def _subject(run: Run, name: str) -> str:
    """What the panel of this name is about: a case, or the last word of its name."""
    last = name.rpartition("-")[2]
    return run.cases[int(last) - 1].title if last.isdigit() else last.replace("_", " ")


def _dataset(run: Run) -> Mapping[str, Any]:
    dataset = run.info.get("dataset")
    return dataset if isinstance(dataset, dict) else {}


def _data(run: Run) -> str:
    dataset = _dataset(run)
    names = {
        "name": "data set",
        "n": "crystals",
        "set_aside": "set aside",
        "label": "label",
        "unit": "unit",
        "reference": "energies relative to",
        "functional": "functional",
        "structures": "structures",
        "citation": "cite",
        "license": "license",
        "key": "content hash",
    }
    notes = f"<p>{escape(str(dataset.get('notes') or f'Label conventions: {ABSENT}.'))}</p>"
    meaning = f'<div class="convention"><strong>What the labels mean</strong>{notes}</div>'
    return f'<section id="data"><h2>The data</h2>{meaning}{fact_list(dataset, names)}</section>'


def _settings(run: Run) -> str:
    names = {
        "supervised_by": "supervised by",
        "hardware": "hardware",
        "seconds": "seconds",
        "compiles": "compilations",
        "versions": "versions",
    }
    settings = str(run.info.get("settings") or ABSENT)
    promises = dict.fromkeys(str(row[name]) for name in ("guarantee", "guarantee_ldo") for row in run.rows if row.get(name))
    listed = bullets(list(promises))
    intervals = f"<p>What the intervals promise:</p><ul>{listed}</ul>" if listed else ""
    return f'<section id="settings"><h2>Settings</h2>{fact_list(run.info, names)}{intervals}<pre>{escape(settings)}</pre></section>'


def _reproduce(run: Run) -> str:
    missing = run.info.get("missing")
    items = missing if isinstance(missing, list) else [missing] if missing else []
    listed = bullets(items)
    left_out = f"<ul>{listed}</ul>" if listed else f"<p>{'Nothing: every planned row was run.' if missing == [] else ABSENT}</p>"
    budget = escape(plain(run.info.get("budget")))
    command = escape(str(run.info.get("command") or ABSENT))
    where = "Every number of this page is in stress_test.json and predictions of the run folder; every figure is in figures."
    return (
        f'<section id="missing"><h2>What was not run</h2><p>{budget}</p>{left_out}</section>'
        f'<section id="reproduce"><h2>Reproduce</h2><pre>{command}</pre><p>{where}</p></section>'
    )
