"""Every sentence follows from hand-made numbers, also where the value learner loses."""

import numpy as np
import pytest

from matjax.report import read_discovery
from matjax.report.discovery_verdict import formula, milli, notices, verdict
from tests.report.campaigns import make_record, make_trace, write_campaign


def curves(**final):
    """One curve per final value, which is reached at the third of four calls."""
    return [
        {"proposer": name, "seed": seed, "utility": [0.1, None, value, 0.0]}
        for name, values in final.items()
        for seed, value in enumerate(values)
    ]


def told(tmp_path, record, trace=None):
    return verdict(read_discovery(write_campaign(tmp_path, record, trace)))


def test_the_whole_paragraph(tmp_path):
    best = {"prototype": "fcc", "composition": {"Co": 0.5, "Ni": 0.5}, "utility": 0.8, "stability": -0.0341, "low": -0.05, "high": 0.002}
    record = {
        "oracle": {"name": "laboratory", "version": "1", "note": "model system: mixed embedded atoms"},
        "temperature": 1200,
        "best": [{**best, "pugh_ratio": 1.914}],
        "curves": curves(random=[0.5, 0.51, 0.52, 0.53, 0.54], matjax=[0.7, 0.71, 0.72, 0.73, 0.74]),
        "pressure": [
            {"n": 1, "proxy": 0.4, "truth": 0.5},
            {"n": 64, "proxy": 0.7, "truth": 0.45, "proxy_single": 0.9, "truth_single": 0.2},
        ],
        "rounds": [{"round": 0, "coverage_90": 0.8, "mae_stability": 0.02}, {"round": 1, "coverage_90": 0.9, "mae_stability": 0.01}],
    }
    assert told(tmp_path, record) == [
        "Measured by laboratory 1, a model system: mixed embedded atoms.",
        "The best alloy found is fcc Co50 Ni50: true utility 0.800; stability −34 meV/atom at 1200 K, below every mixture of the other "
        "phases considered (90% interval −50 to +2.0, relative to the oracle); Pugh ratio 1.91.",
        "With 4 oracle calls each: value learning beat random (0.720 against 0.520, median of 5 seeds, p = 0.0079), whose final value "
        "it had after 3 calls.",
        "The best of 64 by the pessimistic proxy promises 0.700 and is worth 0.450 (a single model promises 0.900 and is worth 0.200); "
        "the truth was highest, 0.500, at best of 1.",
        "Before they were learned from, 85% of new stabilities fell into their 90% intervals, with a mean error of 20 meV/atom in the "
        "first round and 10 in the last.",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        ([0.7], [0.5], "value learning came out ahead of genetic (0.700 against 0.500, median of 1 seed, p = 1: chance is not ruled out)"),
        ([0.5, 0.6, 0.7], [0.55, 0.62, 0.65], "value learning did not beat genetic: it came out behind (0.600 against 0.620"),
        ([0.5, 0.6, 0.7], [0.6, 0.6], "value learning did not beat genetic (0.600 against 0.600, median of 3 and 2 seeds)"),
    ],
)
def test_what_seeds_cannot_tell_and_what_is_lost_is_said(tmp_path, ours, theirs, sentence):
    found = told(tmp_path, {"title": "t", "curves": curves(matjax=ours, genetic=theirs)})
    assert any(sentence in text for text in found)


def test_chance_by_counting(tmp_path):
    """The exact two-sided p of complete separation of 4 and 4 seeds is 2 of the 70 ways to choose 4 of 8."""
    found = " ".join(told(tmp_path, {"title": "t", "curves": curves(matjax=[0.8, 0.81, 0.82, 0.83], random=[0.1, 0.11, 0.12, 0.13])}))
    assert f"p = {2 / 70:.2g})" in found and "beat random" in found


def test_what_audit_picks_found_and_what_was_done_is_said(tmp_path):
    audit = {"n_audit": 6, "audit_gap": 0.25, "audit_evidence": 1.0, "n_breach": 2, "brake": 0.25}
    found = told(tmp_path / "a", {"title": "t", "audit": audit})
    assert (
        "Over 6 picks made at random the reward promised 0.250 more utility than was true; it was caught out 2 times, "
        "and the search was held back to 0.25." in found
    )
    honest = told(tmp_path / "b", {"title": "t", "audit": audit | {"n_audit": 1, "audit_gap": -0.25, "n_breach": 0, "brake": 1.0}})
    assert "Over 1 pick made at random the reward promised 0.250 less utility than was true; no breach." in honest
    assert not any("at random" in text for text in told(tmp_path / "c", {"title": "t", "audit": {"n_audit": 0, "audit_gap": None}}))


def test_stable_alloys_are_counted(tmp_path):
    trace = make_trace()
    stable = sum(row["stability"] is not None and row["stability"] < 0 for row in trace)
    assert f"Of 40 oracle calls, {stable} found an alloy that is stable; 4 gave no answer." in told(tmp_path, make_record(), trace)


def test_another_oracle_is_named(tmp_path):
    record = {**make_record(), "oracle": {"name": "LAMMPS", "version": "2NN-MEAM", "note": "a published potential."}}
    discovery = read_discovery(write_campaign(tmp_path, record, None))
    assert verdict(discovery)[0] == "Measured by LAMMPS 2NN-MEAM: a published potential."
    assert discovery.world == "by oracle LAMMPS"


def test_interrupted_and_fruitless_campaigns_are_warned_of(tmp_path):
    trace = [{"call": 0, "status": "failed", "utility": None}]
    discovery = read_discovery(write_campaign(tmp_path, None, trace))
    assert [text.partition(":")[0] for text in notices(discovery)] == ["Interrupted", "No calculation of 1 oracle call converged"]
    assert verdict(discovery) == ["Which oracle measured was not recorded.", "No alloy was found."]
    assert notices(read_discovery(write_campaign(tmp_path, make_record(), make_trace()))) == []


def test_energies_and_names_in_print():
    assert [milli(x) for x in (-0.0341, 0.0, 0.0025, -0.00994, 1.2)] == ["−34", "+0.0", "+2.5", "−9.9", "+1200"]
    assert formula({"prototype": "bcc", "composition": {"Al": 1 / 3, "Fe": 2 / 3}}) == "bcc Al33.33 Fe66.67"
    assert formula({"candidate": "x"}) == "x" and np.all([formula({})])
