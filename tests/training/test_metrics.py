"""`metrics.jsonl` has whole lines, each once, and is JSON whatever the numbers."""

import json

import numpy as np
import pytest

from matjax.training.metrics import MetricsFile, plain, read_metrics
from matjax.training.progress import Progress


def test_rows_are_appended_and_what_will_be_done_again_is_taken_out(tmp_path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    file = MetricsFile(path, 0, 0)
    for row in ({"epoch": 1, "position": 1}, {"epoch": 1, "position": 2}, {"epoch": 1, "risk": 0.5}, {"epoch": 2, "position": 1}):
        file.append(row)
    assert len(read_metrics(path)) == 4
    MetricsFile(path, 1, 1)
    assert len(read_metrics(path)) == 4
    MetricsFile(path, 1, 0)
    assert len(read_metrics(path)) == 3
    MetricsFile(path, 0, 1)
    assert read_metrics(path) == [{"epoch": 1, "position": 1}]


def test_a_line_that_was_cut_off_is_gone_and_a_broken_one_is_refused(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2, "ris')
    MetricsFile(path, 5, 0).append({"epoch": 2})
    assert read_metrics(path) == [{"epoch": 1}, {"epoch": 2}]
    path.write_text('{"epoch": 1\n{"epoch": 2}\n')
    with pytest.raises(ValueError, match="a line is no JSON"):
        read_metrics(path)


def test_what_is_not_finite_is_null(tmp_path) -> None:
    row = {"a": np.array([1.0, np.nan]), "b": np.float32(np.inf), "c": np.int32(3), "d": "text", "e": None}
    assert json.loads(json.dumps({k: plain(v) for k, v in row.items()})) == {"a": [1.0, None], "b": None, "c": 3, "d": "text", "e": None}


def test_means_go_over_crystals_and_leave_out_what_is_not_finite() -> None:
    update = lambda risk, weight: {"risk": np.array(risk), "weight": np.array(weight)}
    updates = [update([1.0, 2.0], [8.0, 8.0]), update([3.0, np.nan], [2.0, 2.0])]
    progress = Progress(skipped=(0, 1)).after(updates, 2.0)
    np.testing.assert_allclose(progress.means()["risk"], [(8 * 1 + 2 * 3) / 10, 2.0])
    assert progress.position == 2 and progress.seconds == 2.0
    parts = Progress(skipped=(0, 1)).after(updates[:1], 1.0)
    again = Progress.from_json(json.loads(json.dumps(parts.to_json()))).after(updates[1:], 1.0)
    assert again.to_json() == progress.to_json(), "saved in between or not"
    assert progress.next_epoch({"epoch": 1}).to_json() == Progress(({"epoch": 1},)).to_json()
