"""The tables of `result.json`, between marks in README.md (all of it) and in docs/transfer.md (errors alone, two tasks)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _summary import markdown

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[2] / "docs" / "transfer.md"
BEGIN, END = "<!-- tables: written by experiments/robustness/concept_shift/run.py -->", "<!-- end of tables -->"
DIGITS = {"gap": 2, "enthalpy": 3}
"""{task: digits after the point}; the compounds with a structure have no networks and stay in the README."""

BLOCKS = {
    ("", "its value for the tested crystal"): {
        ("as is", "PBE value"): "as it is",
        ("offset", "PBE value"): '`FewLabels("offset")`',
        ("scale", "PBE value"): '`FewLabels("scale")`',
        ("composition", "PBE value"): '`FewLabels("composition")`',
        ("difference", "trees, PBE value"): "trees on the difference",
        ("PBE as a feature", "trees, PBE value"): "a feature of trees",
    },
    **{
        (source, name): {
            ("as is", "network"): "as it is",
            ("scale", "network"): '`FewLabels("scale")`',
            ("composition", "network"): '`FewLabels("composition")`',
            ("fine-tuned", "network"): "fine-tuned",
            ("fine-tuned, adversarial", "network"): "fine-tuned, domain-adversarial",
            ("conditioned", "network"): "conditioned on fidelity",
        }
        for source, name in (("seen", "a network that saw PBE of the tested systems"), ("unseen", "a network that did not"))
    },
    ("none", "nothing"): {("separate", "network"): "a network of its own", ("separate", "trees"): "trees of their own"},
}
"""{(source model, what is known of PBE): {(method, model): its name}}."""


def write_pages(found: dict[str, Any]) -> None:
    """Puts the tables of a result into both files."""
    _fill(HERE / "README.md", f"{_missing(found)}\n\n{markdown(found)}")
    _fill(DOCUMENT, compact(found))


def compact(found: dict[str, Any]) -> str:
    """Mean absolute errors over the draws by method and number of labels, in the unit of the task."""
    lines = {(x["task"], x["source"], x["method"], x["model"], x["labels"]): x for x in found["summary"]}
    columns = [(task, k) for task in DIGITS for k in sorted({name[4] for name in lines if name[0] == task})]
    head = [f"{task}: {k:,}" if k == 0 else f"{k:,}" for task, k in columns]
    rows = [["what is known of PBE", "method", *head], ["---"] * (len(head) + 2)]
    for (source, known), methods in BLOCKS.items():
        for i, (method, name) in enumerate(methods.items()):
            cells = [(DIGITS[task], lines.get((task, source.replace("none", ""), *method, k))) for task, k in columns]
            shown = ["" if x is None else f"{x['mae']:.{digits}f}" for digits, x in cells]
            rows.append([known if i == 0 else "", name, *shown])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _missing(found: dict[str, Any]) -> str:
    draws = {line["task"]: line["n_draw"] for line in found["summary"]}
    there = ", ".join(f"`{task}` {n}" for task, n in draws.items())
    about = "Mean absolute errors (eV; eV/atom), in brackets 95 % over chemical systems; per cent: coverage of 90 % intervals."
    return f"Draws of {found['settings']['draws']} that were computed: {there}. {about}"


def _fill(path: Path, text: str) -> None:
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    if not rest:
        raise ValueError(f"{path} has no mark for the tables: {BEGIN}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
