"""A run folder is read whole or refused by name."""

import json

import numpy as np
import pytest

from matjax.report import read_run
from matjax.report.run import Case


def test_reference_first_and_cases_from_control_to_worst(run_folder, rows):
    run = read_run(run_folder(rows))
    assert run.methods == ("erm", "group_dro")
    assert [case.title for case in run.cases] == ["random split", "cubic left out", "nitride left out"]


@pytest.mark.parametrize(
    ("shift", "domain", "title"),
    [
        ("random", "random", "random split"),
        ("leave_out(anion)", "nitride", "nitride left out"),
        ("leave_element_out", "F", "F left out"),
        ("leave_out(space_group)", "225", "space_group 225 left out"),
        ("leave_out(n_elements)", "n_elements > 3", "n_elements > 3 left out"),
        ("property_tail(log_gvrh)", "highest 10%", "highest 10% of log_gvrh left out"),
    ],
)
def test_a_case_is_called_by_what_was_held_out(shift, domain, title):
    assert Case(shift, domain, ()).title == title


def test_without_erm_the_first_method_is_the_reference(run_folder, rows):
    run = read_run(run_folder([row for row in rows if row["method"] != "erm"]))
    assert run.reference == "group_dro"


def test_not_a_number_is_null(run_folder, rows):
    rows[0]["mae_out"] = float("nan")
    assert read_run(run_folder(rows)).rows[0]["mae_out"] is None


def test_seeds_are_averaged(run_folder, rows):
    again = [{**row, "seed": 1, "mae_out": row["mae_out"] + 0.02, "predictions": None} for row in rows]
    run = read_run(run_folder(rows + again))
    case = next(case for case in run.cases if case.domain == "nitride")
    assert case.value("erm", "mae_out") == pytest.approx(0.25)
    assert run.pair(case) is not None


def test_predictions_are_those_of_the_file(run_folder, rows):
    folder = run_folder(rows)
    run = read_run(folder)
    case = next(case for case in run.cases if case.domain == "cubic")
    pair = run.pair(case)
    stored = np.load(folder / "predictions/cubic-erm-0.npz")
    assert pair is not None
    np.testing.assert_array_equal(pair.outside.error, np.abs(stored["outside_mean"] - stored["outside_target"]))
    assert len(pair.inside) == 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ('[{"shift": "random"', "is not JSON"),
        ("[]", "has no rows"),
        ('{"shift": 1}', "must be a list of rows"),
        ("[1, 2]", "must be a list of rows"),
        ('[{"shift": "random", "domain": "random"}]', "method must be text"),
        ('[{"shift": "a", "domain": "b", "method": "c", "mae_in": "0.2"}]', "mae_in must be a number or null"),
        ('[{"shift": "a", "domain": "b", "method": "c", "predictions": 3}]', "predictions must be the name of a file"),
        ('[{"shift": "random", "domain": "random", "method": "erm", "predictions": "predictions/none.npz"}]', "none.npz is missing"),
    ],
)
def test_bad_rows_are_refused(tmp_path, content, message):
    (tmp_path / "stress_test.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_run(tmp_path)


def test_missing_folder_and_missing_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no run folder at"):
        read_run(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"stress_test\.json is missing"):
        read_run(tmp_path)


@pytest.mark.parametrize("n_byte", [0, 40, 900])
def test_truncated_predictions_are_refused(run_folder, rows, n_byte):
    folder = run_folder(rows)
    path = folder / rows[0]["predictions"]
    path.write_bytes(path.read_bytes()[:n_byte])
    with pytest.raises(ValueError, match=r"npz cannot be read as npz"):
        read_run(folder)


def test_foreign_predictions_are_refused(run_folder, rows):
    folder = run_folder(rows)
    path = folder / rows[0]["predictions"]
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "outside_score": arrays["outside_score"][:-1]})
    with pytest.raises(ValueError, match="one row per crystal"):
        read_run(folder)
    np.savez(path, **{**arrays, "inside_mean": np.full(60, np.nan)})
    with pytest.raises(ValueError, match="inside_mean has 60 values that are not finite"):
        read_run(folder)
    np.savez(path, **{**arrays, "inside_elements": arrays["inside_elements"][:, :90]})
    with pytest.raises(ValueError, match=r"elements \[n, 119\]"):
        read_run(folder)
    np.savez(path, inside_target=arrays["inside_target"])
    with pytest.raises(ValueError, match="has no inside_mean"):
        read_run(folder)


def test_bad_record_is_refused(run_folder, rows):
    folder = run_folder(rows)
    (folder / "run.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="must be an object"):
        read_run(folder)
