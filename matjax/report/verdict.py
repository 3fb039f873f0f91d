"""What a stress test found, in plain sentences computed from its rows, and what a reader must be warned of."""

from __future__ import annotations

import math

from matjax.report.run import Case, Run, average, growth
from matjax.report.words import family_name, listing, method_name, number, percent, spelled
from matjax.stress_test.comparison import Comparison
from matjax.stress_test.controls import read_controls
from matjax.stress_test.statistics import fewest_domains

MANY = 8  # domains beyond which a sentence speaks of families
MARGIN = 0.03  # relative difference of errors below which two methods are called equal


def verdict(run: Run) -> list[str]:
    """Sentences on the control, the degradation, the certificate, the intervals, the shift score and the robust methods.

    What the rows do not hold is left out, never guessed.
    """
    parts = (
        _control(run),
        _degradation(run),
        _beaten(run),
        _certified(run),
        _intervals(run),
        _detection(run),
        _methods(run),
        _controls(run),
    )
    return [sentence for sentence in parts if sentence]


def notices(run: Run) -> list[str]:
    """What stands in red: a model no better than composition alone on the random split, and settings chosen on the test."""
    found = []
    for case in run.cases:
        error, baseline = case.value(run.reference, "mae_out"), case.value(run.reference, "baseline_out")
        if case.control and error is not None and baseline is not None and error >= baseline:
            model, against = run.model.replace("the", "The", 1), f"{number(error)} against {number(baseline)} {run.unit}"
            found.append(
                f"{model} does not beat the composition baseline on the {case.title}: {against}. "
                "It has not learned more than composition says; read nothing below as a property of a good model."
            )
    twins = {row["domain"]: int(row["duplicates"]) for row in run.rows if row.get("duplicates")}
    if twins:
        listed = listing([f"{name} {n}" for name, n in twins.items()])
        found.append(f"Test crystals that are, atom by atom, crystals that the learner saw: {listed}. Those domains are not held out.")
    oracle = [row for row in run.rows if row.get("selection") == "oracle"]
    if oracle:
        names = listing(sorted({f"{method_name(row['method'])} ({row['domain']})" for row in oracle}))
        found.append(
            f"Settings of {names} were chosen with the test labels (selection: oracle). These rows are a diagnostic, not a result."
        )
    return found


def shifted(run: Run) -> list[Case]:
    """The cases in which something was held out: all but the random control."""
    return [case for case in run.cases if not case.control]


def averaged(run: Run) -> list[Case]:
    """The shifted cases that one may average: property tails only where there is nothing else."""
    return [case for case in shifted(run) if not case.tail] or shifted(run)


def _control(run: Run) -> str:
    case = next((case for case in run.cases if case.control), None)
    error = case.value(run.reference, "mae_out") if case else None
    if case is None or error is None:
        return ""
    baseline = case.value(run.reference, "baseline_out")
    against = "" if baseline is None else f", {'below' if error < baseline else 'not below'} the composition baseline’s {number(baseline)}"
    return f"Where nothing shifts, {run.model} errs by {number(error)} {run.unit} on average{against}."


def _degradation(run: Run) -> str:
    """Growth on the same materials where the matched fit was run, from inside to outside crystals elsewhere, worst first."""
    found = {case: value for case in reversed(shifted(run)) if (value := growth(case, run.reference)) is not None}
    if len(found) > MANY:
        return _by_family(run)
    grown = {case: value for case, value in found.items() if value > 1 + MARGIN}
    matched = [case for case in grown if case.value(run.reference, "matched_ratio") is not None]
    other = [case for case in grown if case not in matched]
    flat = [case.held_out for case in found if case not in grown]
    whose = "its" if _control(run) else f"{run.model}’s"
    list_of = lambda cases: listing([f"{grown[case]:.1f}× when {case.held_out} is left out" for case in cases])
    sentences = (
        f"On the same materials, {whose} error grows {list_of(matched)}." if matched else "",
        f"From inside to outside crystals, {whose} error grows {list_of(other)}." if other else "",
        f"The error does not grow when {listing(flat)} is left out." if flat else "",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _by_family(run: Run) -> str:
    """Growth per family of domains, the geometric mean and the worst domain: more than a reader would follow one by one."""
    families: dict[str, list[Case]] = {}
    for case in averaged(run):
        families.setdefault(case.shift, []).append(case)
    parts = []
    for shift, cases in families.items():
        grown = [(value, case) for case in cases if (value := growth(case, run.reference)) is not None]
        if grown:
            worst, case = max(grown, key=lambda pair: pair[0])
            mean = math.exp(sum(math.log(value) for value, _ in grown) / len(grown))
            aside = f" ({worst:.1f}× for {case.domain})" if len(grown) > 1 else ""
            parts.append(f"{mean:.2f}× over {len(grown)} domains of {family_name(shift)}{aside}")
    return f"Held out, a domain’s error grows {listing(parts, 8)}; geometric means."


def _beaten(run: Run) -> str:
    """Where a composition baseline does better outside than the reference: what a reader would least like to miss."""
    found = []
    for case in shifted(run):
        error = case.value(run.reference, "mae_out")
        rivals = [
            (value, field) for field in ("baseline_out", "second_baseline_out") if (value := case.value(run.reference, field)) is not None
        ]
        if error is not None and rivals and min(rivals)[0] < error * (1 - MARGIN):
            value, field = min(rivals)
            kind = next((spelled(str(row[field[:-4]])) for row in case.rows if row.get(field[:-4])), "a composition baseline")
            found.append(f"{case.held_out} ({kind} {number(value)} against {number(error)})")
    n = len(shifted(run))
    if n > MANY and len(found) > 1:
        return f"A composition baseline does better outside for {len(found)} of {n} domains."
    return f"A composition baseline does better outside for {listing(found)}." if found else ""


def _intervals(run: Run) -> str:
    cases = averaged(run)
    rows = [row for case in cases for row in case.of(run.reference)]
    level, inside, outside, safe = (average(rows, field) for field in ("level", "coverage_in", "coverage_out", "coverage_out_ldo"))
    if level is None or outside is None:
        return ""
    cover = f"cover {percent(inside)} inside and {percent(outside)} outside" if inside is not None else f"cover {percent(outside)} outside"
    first = f"Intervals of {percent(level)} calibrated inside {cover}{_worst(run, cases, 'coverage_out')}"
    if safe is None:
        return f"{first}."
    width, wide = average(rows, "width"), average(rows, "width_ldo")
    price = f", at {wide / width:.1f} times the width" if width and wide is not None else ""
    return f"{first}; calibrated on domains left out they cover {percent(safe)} outside{_worst(run, cases, 'coverage_out_ldo')}{price}."


def _worst(run: Run, cases: list[Case], field: str) -> str:
    """The case of smallest coverage, where there are several."""
    found = {case.held_out: value for case in cases if (value := case.value(run.reference, field)) is not None}
    worst = min(found, key=lambda name: found[name], default="")
    return f" ({percent(found[worst])} for {worst})" if len(found) > 1 else ""


def _detection(run: Run) -> str:
    rows = [row for case in averaged(run) for row in case.of(run.reference)]
    domain, error = average(rows, "auroc_domain"), average(rows, "auroc_error")
    told = f"tells crystals of a new domain from familiar ones with AUROC {domain:.2f}" if domain is not None else ""
    found = f"finds large errors with AUROC {error:.2f}" if error is not None else ""
    parts = [part for part in (told, found) if part]
    return f"The shift score {listing(parts)} (0.5 is chance)." if parts else ""


def _certified(run: Run) -> str:
    """Which of the shifts are shifts in name only."""
    mild = [case.held_out for case in shifted(run) if any(row.get("certificate") == "interpolative" for row in case.rows)]
    if len(mild) > MANY:
        return f"By their certificate, {len(mild)} of {len(shifted(run))} domains held out are hardly a shift."
    return f"By their certificate, little shifts for {listing(mild)}." if mild else ""


def _methods(run: Run) -> str:
    """Every other method against the reference outside: by the statistics where domains suffice, else by counting."""
    methods = [m for m in run.methods[1:] if any(row["method"] == m for row in run.results)]
    pooled = {c.method: c for c in run.comparisons if c.n_domain >= fewest_domains()}  # the last of a method is the widest
    tested = [f"{method_name(m)} is {_decided(pooled[m])}" for m in methods if m in pooled]
    counted = [text for m in methods if m not in pooled and (text := _against(run, m))]
    sentences = (
        f"Against {method_name(run.reference)} outside, {'; '.join(tested)}." if tested else "",
        f"Outside, {'; '.join(counted)}." if counted else "",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _decided(c: Comparison) -> str:
    return f"{c.verdict} ({number(c.ratio)} of its error over {c.n_domain} domains)"


def _controls(run: Run) -> str:
    return " ".join(read_controls(run.rows, run.reference, MARGIN))


def _against(run: Run, method: str) -> str:
    pairs = [(case.value(method, "mae_out"), case.value(run.reference, "mae_out")) for case in averaged(run)]
    ratios = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
    if not ratios:
        return ""
    better, worse = sum(ratio < 1 - MARGIN for ratio in ratios), sum(ratio > 1 + MARGIN for ratio in ratios)
    equal = len(ratios) - better - worse
    detail = [text for n, text in ((equal, f"equal within {percent(MARGIN)} in {equal}"), (worse, f"worse in {worse}")) if n]
    ours, theirs = method_name(method), method_name(run.reference)
    if len(ratios) == 1:
        return f"{ours} {'beats' if better else 'is worse than' if worse else 'is no better than'} {theirs}"
    aside = f" ({', '.join(detail)})" if detail else ""
    return f"{ours} beats {theirs} in {better or 'none'} of {len(ratios)} shifts{aside}"
