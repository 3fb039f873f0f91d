"""The table of comparisons: pairing, families, levels of information, verdicts with known answers."""

import math
from typing import Any

import jax
import numpy as np
import pytest

from matjax.stress_test.comparison import compare_methods, errors_in, markdown
from matjax.stress_test.metrics import bootstrap_ratio
from matjax.stress_test.paired import POOLED
from matjax.stress_test.statistics import wilcoxon


def make_rows(effects: dict[str, tuple[float, float]], n_domain: int = 12, n_seed: int = 2, shift: str = "leave_out(anion)", seed: int = 0):
    """Rows of ERM and of methods whose log-ratio to it has a mean and a spread over domains."""
    rng, rows = np.random.default_rng(seed), []
    for d in range(n_domain):
        base = [rng.normal(-1.5, 0.3) for _ in range(n_seed)]
        for method, (mean, spread) in ({"ERM": (0.0, 0.0)} | effects).items():
            effect = rng.normal(mean, spread)
            rows += [
                {"shift": shift, "domain": f"d{d}", "method": method, "seed": s, "mae_out": math.exp(base[s] + effect)}
                for s in range(n_seed)
            ]
    return rows


def test_verdicts_of_known_effects():
    rows = make_rows({"good": (-0.12, 0.05), "bad": (0.12, 0.05), "same": (0.0, 0.01), "noisy": (0.0, 0.15)}, n_domain=16)
    table = {c.method: c for c in compare_methods(rows)}
    said = {name: c.verdict for name, c in table.items()}
    assert said == {"good": "better", "bad": "worse", "same": "equivalent within 3%", "noisy": "undecided"}
    assert all(c.n_domain == 16 and c.n_seed == 2 and c.family == "leave_out(anion)" for c in table.values())
    assert table["noisy"].detectable > 0.05 > table["same"].detectable


def test_numbers_are_those_of_the_parts():
    rows = make_rows({"a": (-0.1, 0.1)}, n_seed=3)
    (found,) = compare_methods(rows, key=jax.random.key(3))
    logs = []
    for d in range(12):
        mae = {(r["method"], r["seed"]): r["mae_out"] for r in rows if r["domain"] == f"d{d}"}
        logs.append(np.mean([math.log(mae["a", s] / mae["ERM", s]) for s in range(3)]))
    assert found.p == wilcoxon(np.array(logs)) == found.p_holm
    centre, low, high = bootstrap_ratio(np.array(logs), key=jax.random.key(0))
    assert found.ratio == pytest.approx(centre)
    assert (found.low, found.high) == pytest.approx((low, high), rel=5e-3)
    assert (found.worst_domain, found.worst_ratio) == (f"d{int(np.argmax(logs))}", pytest.approx(math.exp(max(logs))))


def test_holm_runs_over_the_whole_table_and_families_are_pooled_but_for_tails_and_the_control():
    rows = make_rows({"a": (-0.1, 0.1)}, shift="leave_out(anion)") + make_rows({"a": (-0.1, 0.1)}, shift="leave_out(period)", seed=1)
    rows += make_rows({"a": (0.5, 0.1)}, shift="property_tail(x)", n_domain=2) + make_rows({"a": (9.0, 0.1)}, shift="random", n_domain=1)
    table = {c.family: c for c in compare_methods(rows)}
    assert set(table) == {"leave_out(anion)", "leave_out(period)", "property_tail(x)", POOLED}
    assert table[POOLED].n_domain == 24
    p, p_holm = min((c.p or 0.0, c.p_holm or 0.0) for c in table.values())
    assert p_holm == pytest.approx(min(1.0, 4 * p))
    assert table["property_tail(x)"].note.startswith("2 domains cannot decide")


def test_only_paired_seeds_and_domains_count():
    rows = make_rows({"a": (0.0, 0.0)}, n_domain=8)
    for row in rows:
        if row["method"] == "ERM" and row["seed"] == 1:
            row["mae_out"] *= 5.0  # would look like a gain of the method if seeds were averaged apart
    kept = [r for r in rows if not (r["method"] == "a" and (r["seed"] == 1 or r["domain"] == "d0"))]
    (found,) = compare_methods(kept)
    assert (found.n_domain, found.n_seed, found.ratio) == (7, 1.0, pytest.approx(1.0))


def test_a_level_of_information_is_held_against_the_reference_of_its_own_level():
    rows: list[dict[str, Any]] = make_rows({"L1 method": (-0.1, 0.02), "few labels": (-0.5, 0.02)})
    level = {"L1 method": "L1", "few labels": "L2"}
    rows = [{**r, "information": level.get(r["method"], "L0")} for r in rows]
    rows += [{**r, "information": "L2", "mae_out": 0.5 * r["mae_out"]} for r in rows if r["method"] == "ERM"]
    table = {(c.method, c.information): c for c in compare_methods(rows, reference="ERM")}
    assert table["L1 method", "L1"].reference == "ERM (L0)"
    assert table["few labels", "L2"].reference == "ERM (L2)"
    assert table["few labels", "L2"].ratio == pytest.approx(2 * math.exp(-0.5), rel=0.05)
    assert table["ERM", "L2"].ratio == pytest.approx(0.5)


def test_certificates_can_be_families():
    rows = [{**r, "certificate": "partial" if r["domain"] < "d5" else "extrapolative"} for r in make_rows({"a": (0.0, 0.1)})]
    assert {c.family for c in compare_methods(rows, by="certificate")} == {"partial", "extrapolative", POOLED}


def test_shared_crystals_widen_the_interval(tmp_path):
    """Three elements whose test sets are nearly the same crystals are nearly one domain."""
    rng = np.random.default_rng(0)
    effect, rows = rng.normal(0, 0.5, 30), []
    (tmp_path / "predictions").mkdir()
    for d in range(6):
        members = rng.permutation(30)[:24]
        for method in ("ERM", "a"):
            error = np.repeat(np.exp(effect[members] * (method == "a")), 2)
            elements = np.zeros((48, 119), bool)
            elements[np.arange(48), np.repeat(members, 2)] = True
            ids = np.array([f"c{m}-{i}" for m in members for i in range(2)])
            name = f"predictions/{d}-{method}.npz"
            np.savez(tmp_path / name, outside_mean=error, outside_target=0 * error, outside_index=ids, outside_elements=elements)
            row = {"shift": "leave_element_out", "domain": f"d{d}", "method": method, "seed": 0, "mae_out": error.mean()}
            rows.append({**row, "predictions": name})
    (narrow,), (wide,) = compare_methods(rows), compare_methods(rows, errors=errors_in(tmp_path))
    assert "too narrow" in narrow.note and not wide.note
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert "leave_element_out" in markdown([wide])


def test_false_findings_are_as_rare_as_promised():
    """Six methods that differ from the reference by nothing but noise: any finding is false."""
    wrong = 0
    for trial in range(60):
        rows = make_rows({f"m{i}": (0.0, 0.1) for i in range(6)}, n_domain=10, n_seed=1, seed=trial)
        wrong += any(c.verdict in ("better", "worse") for c in compare_methods(rows, n_draw=200))
    assert wrong / 60 <= 0.1


def test_errors_teach():
    rows = make_rows({"a": (0.0, 0.1)})
    with pytest.raises(ValueError, match="no rows of the reference 'erm'; there are ERM, a"):
        compare_methods(rows, reference="erm")
    with pytest.raises(ValueError, match="two rows of seed 0"):
        compare_methods(rows + rows[:1])
    with pytest.raises(ValueError, match="log-ratios need positive numbers"):
        compare_methods([*rows[1:], {**rows[0], "mae_out": 0.0}])
    with pytest.raises(ValueError, match="random control"):
        compare_methods([{**row, "shift": "random"} for row in rows])
