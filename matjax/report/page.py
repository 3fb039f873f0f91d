"""The page: one self-contained HTML file, with its figures also as SVG files beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from matjax.report.figures import caption, figures, not_drawn, shown
from matjax.report.read import read_run
from matjax.report.run import Run
from matjax.report.sections import SECTIONS, Section
from matjax.report.style import inline, to_svg
from matjax.report.table import INFORMATION, main_table
from matjax.report.verdict import MARGIN, notices, verdict
from matjax.report.words import listing, percent

ABSENT = "not recorded"


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Writes `report.html` and `figures/*.svg` for a run folder.

    Args:
      run_dir: Folder with `stress_test.json`, and where present `run.json` and `predictions/*.npz`.
      out: Folder to write to; the run folder itself where left out.

    Returns:
      Path of `report.html`.

    Raises:
      ValueError: If the run folder is missing, empty or corrupt; the message names the file.
    """
    run = read_run(Path(run_dir))
    out = Path(out) if out is not None else run.folder
    drawings = {name: to_svg(figure) for name, figure in figures(run).items()}
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, svg in drawings.items():
        (out / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    path = out / "report.html"
    path.write_text(page(run, drawings), encoding="utf-8")
    return path


def page(run: Run, drawings: Mapping[str, str]) -> str:
    """The report as HTML.

    Args:
      run: The run.
      drawings: SVG documents by figure name.
    """
    title = str(run.info.get("title") or "Stress test")
    style = (resources.files("matjax.report") / "style.css").read_text(encoding="utf-8")
    body = "\n".join(
        [
            _header(run, title),
            _table(run),
            *(_section(run, section, drawings) for section in SECTIONS),
            _data(run),
            _settings(run),
            _reproduce(run),
        ]
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _header(run: Run, title: str) -> str:
    facts = [
        _dataset(run).get("name"),
        run.common("label", "").replace("_", " "),
        run.common("n_member", "") and f"{run.common('n_member')} members",
    ]
    n_control = sum(case.control for case in run.cases)
    facts.append(f"{_count(len(run.cases) - n_control, 'shift')}{' and a random control' if n_control else ''}")
    facts.append(f"{_count(len(run.methods), 'method')}, seed {run.common('seed')}")
    warnings = "".join(f'<p class="warning" role="alert">{escape(text)}</p>' for text in notices(run))
    line = " · ".join(escape(str(fact)) for fact in facts if fact)
    found = f'<p class="verdict">{_strong(" ".join(verdict(run)))}</p>'
    return f'<header><h1>{escape(title)}</h1><p class="facts">{line}</p>{warnings}{found}{_convention(run)}</header>'


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _strong(text: str) -> str:
    """Text with its ratios and percentages in bold: they carry the finding."""
    return re.sub(r"\d[\d.]*[×%]", r"<b>\g<0></b>", escape(text))


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
    return f'<section><h2>Every shift, every method</h2>{table}<p class="caption">{escape(" ".join(sentences))}</p></section>'


def _section(run: Run, section: Section, drawings: Mapping[str, str]) -> str:
    names = shown(section, list(drawings))
    lacking = not_drawn(run, section, list(drawings))
    absent = f' <em class="absent">{escape(lacking)}</em>' if lacking else ""
    drawn = "".join(f'<div class="panel">{inline(drawings[name], name, f"{section.alt}: {_subject(run, name)}")}</div>' for name in names)
    return (
        f'<section><h2>{escape(section.title)}</h2><figure id="{section.name}"><div class="{section.layout}">{drawn}</div>'
        f"<figcaption>{escape(caption(run, section))}{absent}</figcaption></figure></section>"
    )


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
    return f'<section id="data"><h2>The data</h2>{meaning}{_facts(dataset, names)}</section>'


def _facts(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(values.get(key)))}</dd>" for key, name in names.items())
    return f'<dl class="facts">{lines}</dl>'


def _text(value: Any) -> str:
    if value is None or value == "" or value == {} or value == []:
        return ABSENT
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


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
    listed = "".join(f"<li>{escape(promise)}</li>" for promise in promises)
    intervals = f"<p>What the intervals promise:</p><ul>{listed}</ul>" if listed else ""
    return f'<section id="settings"><h2>Settings</h2>{_facts(run.info, names)}{intervals}<pre>{escape(settings)}</pre></section>'


def _reproduce(run: Run) -> str:
    missing = run.info.get("missing")
    items = missing if isinstance(missing, list) else [missing] if missing else []
    listed = "".join(f"<li>{escape(': '.join(map(_text, item)) if isinstance(item, list) else _text(item))}</li>" for item in items)
    left_out = f"<ul>{listed}</ul>" if listed else f"<p>{'Nothing: every planned row was run.' if missing == [] else ABSENT}</p>"
    budget = escape(_text(run.info.get("budget")))
    command = escape(str(run.info.get("command") or ABSENT))
    where = "Every number of this page is in stress_test.json and predictions of the run folder; every figure is in figures."
    return (
        f'<section id="missing"><h2>What was not run</h2><p>{budget}</p>{left_out}</section>'
        f'<section id="reproduce"><h2>Reproduce</h2><pre>{command}</pre><p>{where}</p></section>'
    )
