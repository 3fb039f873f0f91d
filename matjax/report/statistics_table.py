"""The statistics of a run as tables: methods against the reference with a verdict in words, and what each family lost."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from matjax.report.run import Run
from matjax.report.words import family_name, method_name, number, percent
from matjax.stress_test.comparison import Comparison
from matjax.stress_test.summary import FamilySummary

Cell = Callable[[Comparison], str]


def statistics_section(run: Run, forest: str) -> str:
    """Verdicts, forest plot and families as a section; nothing where no domain was held out.

    Args:
      run: The run.
      forest: The forest plot as an element of the page, empty where there is none.
    """
    if not run.summaries:
        return ""
    drawn = f'<figure class="forest">{forest}</figure>' if forest else ""
    compared = (
        f'<div class="scroll" tabindex="0">{comparison_table(run)}</div><p class="caption">{_how(run)}</p>' if run.comparisons else ""
    )
    families = f'<div class="scroll" tabindex="0">{family_table(run)}</div><p class="caption">{_families_caption(run)}</p>'
    heading = "Better than the reference, or the same?" if run.comparisons else "What each family of domains lost"
    return f'<section id="statistics"><h2>{heading}</h2>{drawn}{compared}{families}</section>'


def comparison_table(run: Run) -> str:
    """One line per family and method."""
    heads = (
        "family",
        "method",
        "level",
        "against",
        "domains",
        "seeds",
        "ratio",
        "95% interval",
        "p, Holm",
        "detectable",
        "worst domain",
        "verdict",
    )
    families = list(dict.fromkeys(c.family for c in run.comparisons))
    table = sorted(run.comparisons, key=lambda c: families.index(c.family))
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _comparison(c))}</tr>" for c in table)
    return f'<table class="main statistics"><thead><tr>{"".join(f"<th>{h}</th>" for h in heads)}</tr></thead><tbody>{body}</tbody></table>'


def _comparison(c: Comparison) -> list[str]:
    interval = "—" if c.low is None or c.high is None else f"{c.low:.2f} to {c.high:.2f}"
    note = f' <abbr title="{escape(c.note)}">*</abbr>' if c.note else ""
    kind = c.verdict.split()[0]
    return [
        escape(family_name(c.family)),
        escape(method_name(c.method)),
        escape(c.information),
        escape(c.reference),
        str(c.n_domain),
        f"{c.n_seed:g}",
        f"{c.ratio:.3f}",
        interval,
        "—" if c.p_holm is None else _p(c.p_holm),
        "—" if c.detectable is None else f"{c.detectable:.0%}",
        f"{escape(c.worst_domain)} ×{c.worst_ratio:.2f}",
        f'<span class="verdict-{kind}">{escape(c.verdict)}</span>{note}',
    ]


def family_table(run: Run) -> str:
    """One line per family and method: errors, matched ratio, coverage."""
    heads = (
        *("family", "method", "domains", "inside", "outside", "matched ×", "90th percentile", "worst domain", "effective robustness"),
        *("covered", "worst", "too low", "LDO covered", "worst", "too low", "LDO width"),
    )
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _summary(s))}</tr>" for s in run.summaries)
    return f'<table class="main statistics"><thead><tr>{"".join(f"<th>{h}</th>" for h in heads)}</tr></thead><tbody>{body}</tbody></table>'


def _summary(s: FamilySummary) -> list[str]:
    shown = lambda value, form=number: "—" if value is None else form(value)
    ratio = lambda value: f"{value:.2f}"
    interval = "" if s.matched_low is None or s.matched_high is None else f" <small>{s.matched_low:.2f} to {s.matched_high:.2f}</small>"
    worst = escape(s.worst_domain) + ("" if s.worst_ratio is None else f" ×{s.worst_ratio:.2f}")
    return [
        escape(family_name(s.family)),
        escape(method_name(s.method)),
        str(s.n_domain),
        shown(s.mae_in),
        shown(s.mae_out),
        shown(s.matched_ratio, ratio) + interval,
        shown(s.matched_p90, ratio),
        worst,
        shown(s.effective_robustness, ratio),
        *(shown(value, percent) for value in (s.coverage_out, s.coverage_low, s.share_short)),
        *(shown(value, percent) for value in (s.coverage_out_ldo, s.coverage_low_ldo, s.share_short_ldo)),
        "—" if s.width_ratio is None else f"×{s.width_ratio:.2f}",
    ]


def _p(value: float) -> str:
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _how(run: Run) -> str:
    notes = list(dict.fromkeys(c.note for c in run.comparisons if c.note))
    sentences = (
        "The domain is the unit: seeds are paired and averaged first, then errors of two methods on the same crystals are compared as a "
        "ratio, a geometric mean over domains.",
        "Interval: BCa bootstrap over domains; over domains and chemical systems together where domains share crystals.",
        "p: two-sided Wilcoxon signed-rank, Holm over the whole table.",
        "Better and worse need both; equivalent is what two one-sided tests put within 3%.",
        "Detectable: the difference that so many domains of this scatter would show four times out of five.",
        *([f"* {'; '.join(notes)}."] if notes else []),
    )
    return escape(" ".join(sentences))


def _families_caption(run: Run) -> str:
    return escape(
        "Errors are geometric means over domains. Matched ×: on the same materials, with its interval over domains. Effective robustness: "
        "outside error of baselines as good inside, over that of the method; 1 is what its inside error explains. Too low: share of "
        "domains covered more than five points below the level."
    )
