"""Every sentence follows from hand-made rows."""

import pytest

from matjax.report import read_run
from matjax.report.verdict import notices, verdict


def test_the_whole_paragraph(run_folder, rows):
    assert verdict(read_run(run_folder(rows))) == [
        "Where nothing shifts, the ERM ensemble errs by 0.110 eV/atom on average, below the composition baseline’s 0.220.",
        "On the same materials, its error grows 1.7× when nitride is left out. "
        "From inside to outside crystals, its error grows 1.5× when cubic is left out.",
        "Intervals of 90% calibrated inside cover 91% inside and 71% outside (62% for nitride); "
        "calibrated on domains left out they cover 88% outside (86% for nitride), at 1.4 times the width.",
        "The shift score tells crystals of a new domain from familiar ones with AUROC 0.80 "
        "and finds large errors with AUROC 0.65 (0.5 is chance).",
        "Outside, GroupDRO beats ERM in 1 of 2 shifts (worse in 1).",
    ]


def test_a_property_tail_is_in_no_average(run_folder, rows):
    tail = [{**row, "shift": "property_tail(gap)", "domain": "highest 10%", "coverage_out": 0.1, "auroc_domain": 0.1} for row in rows[2:4]]
    before, after = verdict(read_run(run_folder(rows))), verdict(read_run(run_folder(rows + tail)))
    assert after[2:] == before[2:]
    assert "when highest 10% of gap is left out" in after[1]


def test_without_a_control_the_model_is_named(run_folder, rows):
    first = verdict(read_run(run_folder(rows[2:])))[0]
    assert first.startswith("On the same materials, the ERM ensemble’s error grows 1.7× when nitride is left out.")


def test_a_method_that_never_wins_says_so(run_folder, rows):
    for row in rows:
        if row["method"] == "group_dro":
            row["mae_out"] = 0.151 if row["domain"] == "cubic" else 0.5
    assert verdict(read_run(run_folder(rows)))[-1] == "Outside, GroupDRO beats ERM in none of 2 shifts (equal within 3% in 1, worse in 1)."


def test_several_methods_share_a_sentence(run_folder, rows):
    third = [{**row, "method": "v_rex", "mae_out": 0.01} for row in rows if row["method"] == "erm"]
    last = verdict(read_run(run_folder(rows + third)))[-1]
    assert last == "Outside, GroupDRO beats ERM in 1 of 2 shifts (worse in 1); V-REx beats ERM in 2 of 2 shifts."


def test_with_one_shift_nothing_is_counted(run_folder, rows):
    assert verdict(read_run(run_folder(rows[:4])))[-1] == "Outside, GroupDRO is worse than ERM."


def test_a_shift_in_name_only_is_named(run_folder, rows):
    for row in rows:
        row["certificate"] = "interpolative" if row["domain"] in ("random", "cubic") else "partial"
    assert "By their certificate, little shifts for cubic." in verdict(read_run(run_folder(rows)))


def test_the_control_is_no_shift(run_folder, rows):
    """A method that wins only on the random split has won nothing."""
    for row in rows:
        if row["method"] == "group_dro":
            row["mae_out"] = 0.01 if row["domain"] == "random" else 0.9
    assert "none of 2 shifts" in verdict(read_run(run_folder(rows)))[-1]


def test_what_is_absent_is_left_out(run_folder, rows):
    bare = [{name: row[name] for name in ("shift", "domain", "method")} for row in rows]
    assert verdict(read_run(run_folder(bare))) == []
    assert notices(read_run(run_folder(bare))) == []


def test_error_that_does_not_grow(run_folder, rows):
    for row in rows:
        if row["domain"] == "cubic":
            row["mae_out"] = row["mae_in"]
    assert "The error does not grow when cubic is left out." in " ".join(verdict(read_run(run_folder(rows))))


@pytest.mark.parametrize(("error", "warned"), [(0.21, False), (0.22, True), (0.3, True)])
def test_red_notice_where_composition_is_as_good(run_folder, rows, error, warned):
    for row in rows:
        if row["domain"] == "random" and row["method"] == "erm":
            row["mae_out"] = error
    found = notices(read_run(run_folder(rows)))
    assert bool(found) == warned
    assert not warned or "does not beat the composition baseline" in found[0]


def test_red_notice_for_oracle_selection(run_folder, rows):
    rows[2]["selection"] = "oracle"
    assert notices(read_run(run_folder(rows))) == [
        "Settings of GroupDRO (nitride) were chosen with the test labels (selection: oracle). These rows are a diagnostic, not a result."
    ]
