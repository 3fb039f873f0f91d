"""A campaign is read whole, read as far as it went, or refused by the name of the file and field."""

import contextlib
import json
import math
import sqlite3

import numpy as np
import pytest

from matjax.report import find_discovery, read_discovery, write_report
from matjax.report.discovery import Curve, best_so_far, weight_percent
from tests.report.campaigns import NOTE, make_record, make_trace, write_campaign


def test_what_is_written_is_read(tmp_path):
    record, trace = make_record(), make_trace()
    discovery = read_discovery(write_campaign(tmp_path, record, trace))
    assert [dict(row) for row in discovery.trace] == trace
    assert [dict(row) for row in discovery.best] == record["best"]
    assert discovery.proposers == ("matjax", "random", "genetic")
    np.testing.assert_array_equal(discovery.mixing[1].arrays["low"], record["mixing"][1]["low"])
    assert np.isnan(discovery.value.pairs[4, 7]) and discovery.value.points.shape == (231, 4)
    assert discovery.world == "model system" and discovery.budget == 40
    assert len(discovery.measured) == sum(row["status"] == "converged" for row in trace)


def test_best_so_far_by_loop():
    utility = np.array([np.nan, 0.2, 0.1, np.nan, 0.5, 0.4])
    best, seen = Curve("matjax", 0, utility).best, 0.0
    for value, found in zip(utility, best, strict=True):
        seen = max(seen, value) if not math.isnan(value) else seen
        assert found == seen
    both = best_so_far([Curve("matjax", 0, utility), Curve("matjax", 1, utility[:4])])
    np.testing.assert_array_equal(both, [[0, 0.2, 0.2, 0.2]] * 2)


def test_weight_percent_against_masses():
    """Steel: 0.02 of 12.011 in 0.98 of 55.845 and 0.02 of 12.011."""
    share = weight_percent({"Fe": 0.98, "C": 0.02})
    assert share["C"] == pytest.approx(100 * 0.02 * 12.011 / (0.98 * 55.845 + 0.02 * 12.011), rel=1e-4)
    assert sum(share.values()) == pytest.approx(100)


def test_an_interrupted_campaign_has_its_trace(tmp_path):
    trace = make_trace(13)
    discovery = read_discovery(write_campaign(tmp_path, None, trace))
    waiting = {**trace[0], "call": None, "status": "pending", "utility": None}
    assert len(read_discovery(write_campaign(tmp_path, None, [*trace, waiting])).calls) == 13
    assert not discovery.finished and discovery.best == () and discovery.rounds == ()
    (curve,) = discovery.curves
    np.testing.assert_array_equal(curve.utility, [math.nan if row["utility"] is None else row["utility"] for row in trace])


def test_an_interrupted_campaign_names_its_oracle(tmp_path):
    folder = write_campaign(tmp_path, None, make_trace(2))
    with contextlib.closing(sqlite3.connect(folder / "campaign.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [("oracle", "laboratory"), ("oracle_note", NOTE)])
    discovery = read_discovery(folder)
    assert discovery.world == "model system" and not discovery.finished
    (folder / "campaign.sqlite").write_text("no database, but long enough to be taken for one" * 9)
    with pytest.raises(ValueError, match=r"campaign\.sqlite cannot be read"):
        read_discovery(folder)


def test_not_a_number_is_null(tmp_path):
    record = make_record()
    record["rounds"][0]["rms_z"] = math.nan
    record["mixing"][0]["low"][0][0] = math.inf
    discovery = read_discovery(write_campaign(tmp_path, record, None))
    assert discovery.rounds[0]["rms_z"] is None and np.isnan(discovery.mixing[0].arrays["low"][0, 0])


def test_where_it_lies(tmp_path):
    assert find_discovery(tmp_path) is None
    write_campaign(tmp_path / "discovery", None, [])
    assert find_discovery(tmp_path) is None  # begun, but nothing is written yet
    write_campaign(tmp_path / "discovery", None, make_trace(1))
    assert find_discovery(tmp_path) == tmp_path / "discovery"
    write_campaign(tmp_path, make_record(), None)
    assert find_discovery(tmp_path) == tmp_path


@pytest.mark.parametrize("content", ['{"title": "cut', '{"a": 1}}', "\x00"])
def test_corrupt_files_are_named(tmp_path, content):
    (tmp_path / "discovery.json").write_text(content)
    with pytest.raises(ValueError, match=r"discovery\.json is not JSON"):
        write_report(tmp_path)
    (tmp_path / "discovery.json").unlink()
    (tmp_path / "trace.jsonl").write_text(f"{json.dumps(make_trace(1)[0])}\n{content}\n")
    with pytest.raises(ValueError, match=r"trace\.jsonl, line 2 is not JSON"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curves": {}}, None),
        ({"curves": {"a": 1}}, "curves must be a list of objects"),
        ({"curves": [{"utility": [1]}]}, "curves 0: proposer must be text"),
        ({"curves": [{"proposer": "random", "utility": ["high"]}]}, "curves 0 utility must be numbers and nulls"),
        ({"rounds": [{"round": "first"}]}, "rounds 0: round must be a number or null"),
        ({"best": [3]}, "best 0 holds int"),
        ({"best": [{"composition": {"Xx": 1.0}}]}, "Xx, which is no element"),
        ({"best": [{"composition": [1]}]}, "composition must be an object"),
        ({"best": [{"competitors": ["bcc"]}]}, "competitors must be a list of objects"),
        ({"temperature": [{"candidate": "a"}]}, "temperature must be a number"),
        ({"mixing": [{"x": [0, 1], "temperatures": [300], "gibbs_mixing": [[0, 1, 2]]}]}, r"shape \(1, 2\)"),
        ({"value": {"elements": ["Al"], "pairs": [[1, 2]]}}, "pairs must be 1 by 1"),
        ({"value": {"ternary": {"elements": ["Al", "Co"], "points": [[1, 1, 1, 0]]}}}, "ternary needs 3 elements"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, change, message):
    folder = write_campaign(tmp_path, {**make_record(), **change}, None)
    if message is None:
        read_discovery(folder)
    else:
        with pytest.raises(ValueError, match=rf"discovery\.json.*{message}"):
            read_discovery(folder)


def test_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no oracle call in trace\.jsonl and no discovery\.json"):
        read_discovery(tmp_path)
