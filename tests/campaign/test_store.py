"""The campaign's file: all or nothing, once, by one, and nothing foreign."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from matjax.campaign import CampaignStopped, status
from matjax.campaign.records import n_charged, read_records, read_rounds
from matjax.campaign.store import FILE, KNOWN, Pick, open_store
from matjax.campaign.trace import open_read_only
from matjax.types import Candidate, Result

IDENTITY, LIMITS = {"key": "00", "oracle": "EMT 1", "settings": "a = 1\nb = 2\n"}, {"budget": "4", "oracle_note": ""}
AB = Candidate("fcc", ((("Ag", 2), ("Cu", 2)),))
AC = Candidate("B2", ((("Al", 1),), (("Ni", 1),)))
DONE = [Result("converged", labels={"energy_per_atom": -1.0}), Result("converged", labels={"energy_per_atom": -2.0})]


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path, IDENTITY, LIMITS) as opened:
        yield opened


def test_picks_come_back_in_order_with_reasons_and_predictions(store):
    store.open_round(KNOWN, [Pick(AC, "known")], {})
    store.open_round(0, [Pick(AB, "thompson", {"reward": 0.1 + 0.2})], {"n_train": 1})
    known, picked = read_records(store.connection)
    assert (known.candidate, known.round, known.why) == (AC, KNOWN, "known")
    assert (picked.candidate, picked.slot, picked.predicted) == (AB, 0, {"reward": 0.1 + 0.2})
    assert picked.status == "pending" and not picked.charged
    assert read_rounds(store.connection)[-1] == {"round": 0, "is_open": True, "n_train": 1}


def test_results_count_once_and_late_ones_are_noted(store):
    store.open_round(0, [Pick(AB, "why")], {})
    first, second = (store.submit([AB.key])[AB.key] for _ in range(2))
    assert (first, second) == (0, 1)
    assert store.add_results(AB.key, second, DONE)
    assert not store.add_results(AB.key, first, [Result("failed", error="physical: late")] * 2)
    (record,) = read_records(store.connection)
    assert record.converged and [r.labels["energy_per_atom"] for r in record.results] == [-1.0, -2.0]
    assert n_charged([record]) == 1
    assert store.connection.execute("SELECT count(*) FROM event WHERE kind = 'duplicate'").fetchone() == (1,)


@pytest.mark.parametrize(
    ("status_", "error", "charged"),
    [
        ("converged", "", True),
        ("unconverged", "numerical: steps", True),
        ("transformed", "physical: moved", True),
        ("failed", "physical: exploded", True),
        ("failed", "numerical: nan", True),
        ("failed", "transient: killed", False),
    ],
)
def test_what_is_charged_follows_from_rows(store, status_, error, charged):
    store.open_round(KNOWN, [Pick(AC, "known")], {})
    store.open_round(0, [Pick(AB, "why")], {})
    for key in (AC.key, AB.key):
        store.submit([key])
        store.add_results(key, 0, [DONE[0], Result(status_, error=error)])
    known, picked = read_records(store.connection)
    assert (known.charged, picked.charged) == (False, charged)
    assert (picked.status, picked.error) == (status_, error)  # the worst crystal decides
    assert picked.converged == (status_ == "converged")


def test_a_transaction_that_fails_leaves_nothing(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.open_round(0, [Pick(AC, "why"), Pick(AB, "why"), Pick(AB, "twice")], {})
    assert read_records(store.connection) == [] and read_rounds(store.connection) == []
    store.open_round(0, [Pick(AB, "why")], {})
    assert len(read_records(store.connection)) == 1


def test_truth_is_written_with_the_end_of_its_round_only(store):
    store.open_round(0, [Pick(AB, "why")], {})
    store.open_round(1, [Pick(AC, "why")], {})
    store.close_round(0, {AB.key: {"utility": 0.5}, AC.key: {"utility": 0.7}}, {"rms_z": 1.0})
    first, second = read_records(store.connection)
    assert first.truth == {"utility": 0.5} and second.truth is None
    assert [r["is_open"] for r in read_rounds(store.connection)] == [False, True]


def test_a_second_coordinator_is_refused_and_told_of_the_first(store):
    with pytest.raises(ValueError, match=f"process {os.getpid()} on .*one coordinator"), open_store(store.run_dir, IDENTITY, LIMITS):
        pass
    assert status(store.run_dir)["running"].startswith(f"process {os.getpid()} on ")


def test_what_a_killed_coordinator_leaves_does_not_block(tmp_path):
    code = f"""
import os, signal; from pathlib import Path; from matjax.campaign.store import open_store, Pick
from matjax.types import Candidate
with open_store(Path({str(tmp_path)!r}), {IDENTITY!r}, {LIMITS!r}) as store:
    candidate = Candidate("fcc", ((("Ag", 2), ("Cu", 2)),))
    store.open_round(0, [Pick(candidate, "why")], {{}})
    store.submit([candidate.key])
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert (tmp_path / "campaign.lock").read_text().startswith("process ")
    assert status(tmp_path)["running"] is None and status(tmp_path)["pending"] == 1
    with open_store(tmp_path, IDENTITY, LIMITS) as store:
        assert [r.candidate for r in read_records(store.connection)] == [AB]
        assert store.connection.execute("SELECT state FROM task").fetchall() == [("interrupted",)]
        assert store.submit([AB.key]) == {AB.key: 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": "a = 1\nb = 3\n"}, "another settings: it has `b = 2` where this run has `b = 3`"),
        ({"settings": "a = 1\n"}, "another settings: it has `b = 2` where this run has ``"),
        ({"key": "01"}, "another key: it has 00, this run 01"),
        ({"proposer": "Random()"}, "another proposer: it has nothing, this run Random()"),
    ],
)
def test_another_campaign_is_refused(tmp_path, change, said):
    with open_store(tmp_path, IDENTITY, LIMITS):
        pass
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ValueError) as error, open_store(tmp_path, IDENTITY | change, LIMITS):
        pass
    assert said in str(error.value) and "choose another folder" in str(error.value)
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("name", ["schema", "version"])
def test_another_version_is_refused(tmp_path, name):
    with open_store(tmp_path, IDENTITY, LIMITS) as store:
        store.connection.execute("UPDATE meta SET value = '99' WHERE name = ?", (name,))
    with pytest.raises(ValueError, match=f"another {name}: it has 99"), open_store(tmp_path, IDENTITY, LIMITS):
        pass


def test_limits_may_change(tmp_path):
    for budget in ("4", "8"):
        with open_store(tmp_path, IDENTITY, LIMITS | {"budget": budget}):
            pass
    assert status(tmp_path)["budget"] == 8


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b"hello world " * 100)
    with pytest.raises(ValueError, match="damaged or no campaign"), open_store(tmp_path, IDENTITY, LIMITS):
        pass
    with pytest.raises(ValueError, match="cannot be read"):
        status(tmp_path)
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs(title)")
    other.close()
    with pytest.raises(ValueError, match="another program \\(tables songs\\)"), open_store(tmp_path, IDENTITY, LIMITS):
        pass
    path.unlink()
    with pytest.raises(ValueError, match="holds no campaign"):
        status(tmp_path)


def test_a_damaged_page_and_a_changed_result_are_found(tmp_path):
    with open_store(tmp_path, IDENTITY, LIMITS) as store:
        store.open_round(0, [Pick(AB, "why")], {})
        store.submit([AB.key])
        store.add_results(AB.key, 0, DONE)
        (payload,) = store.connection.execute("SELECT payload FROM result WHERE cell = 1").fetchone()
        store.connection.execute("UPDATE result SET payload = ? WHERE cell = 1", (payload.replace(b"-2.0", b"-3.0"),))
        with pytest.raises(ValueError, match=f"crystal 1 of candidate {AB.key} is damaged"):
            read_records(store.connection)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[4096 : 4096 + 2000] = b"\xff" * 2000
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ValueError, match="damaged"), open_store(tmp_path, IDENTITY, LIMITS):
        pass


def test_a_full_disk_stops_with_a_message_and_loses_nothing(store):
    store.open_round(0, [Pick(AB, "why"), Pick(AC, "why")], {})
    attempts = store.submit([AB.key, AC.key])
    store.add_results(AB.key, 0, DONE)
    n_page = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {n_page}")
    large = [Result("failed", error="physical: " + "x" * 20_000)]
    with pytest.raises(CampaignStopped, match="disk is full.*kept.*resume"):
        store.add_results(AC.key, attempts[AC.key], large)
    assert [r.status for r in read_records(store.connection)] == ["converged", "pending"]
    store.connection.execute("PRAGMA max_page_count = 100000")
    assert store.add_results(AC.key, attempts[AC.key], large)


def test_a_file_that_may_not_grow_stops_with_a_message_and_loses_nothing(tmp_path):
    """The same by the operating system, in a process whose files are limited; first so tightly that no campaign can be made."""
    code = f"""
import resource, sys; from pathlib import Path; from matjax.campaign.store import *; from matjax.types import Candidate, Result
def fill(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    with open_store(Path({str(tmp_path)!r}), {IDENTITY!r}, {LIMITS!r}) as store:
        for i in range(100):
            candidate = Candidate("fcc", ((("Ag", 1 + i), ("Cu", 2)),))
            store.open_round(i, [Pick(candidate, "why")], {{}})
            store.submit([candidate.key])
            store.add_results(candidate.key, 0, [Result("failed", error="physical: " + "x" * 3000)])
            print("measured", flush=True)
for limit in (8192, 200_000):
    try:
        fill(limit)
    except CampaignStopped as error:
        print("stopped", limit, error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    first, *between, last = run.stdout.splitlines()
    assert first.startswith("stopped 8192 ") and last.startswith("stopped 200000 "), run.stderr
    assert all("is kept" in text and "resume with the same command" in text for text in (first, last))
    assert len(between) > 10
    with open_store(tmp_path, IDENTITY, LIMITS) as store:
        assert sum(r.status == "failed" for r in read_records(store.connection)) == len(between)


def test_status_after_a_kill_in_the_middle_of_a_commit(tmp_path):
    """The file and its hot journal, copied while a transaction has spilled to disk: what a kill would have left."""
    with open_store(tmp_path / "running", IDENTITY, LIMITS) as store:
        store.open_round(0, [Pick(AB, "why")], {})
        store.connection.execute("PRAGMA cache_size = 2")
        store.connection.execute("BEGIN IMMEDIATE")
        store.connection.executemany("INSERT INTO event VALUES (NULL, 0, 'x', ?)", [(json.dumps("y" * 5000),)] * 50)
        store.connection.execute("UPDATE candidate SET why = 'half'")
        (tmp_path / "killed").mkdir()
        for name in (FILE, f"{FILE}-journal"):
            shutil.copy(tmp_path / "running" / name, tmp_path / "killed" / name)
        store.connection.execute("ROLLBACK")
    assert (tmp_path / "killed" / f"{FILE}-journal").stat().st_size > 0
    assert (tmp_path / "killed" / FILE).stat().st_size > 100_000  # half of the transaction is in the file
    assert status(tmp_path / "killed")["pending"] == 1
    with open_read_only(tmp_path / "killed") as connection:
        assert connection.execute("SELECT why FROM candidate").fetchall() == [("why",)]
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (1,)


def test_status_reads_while_the_coordinator_writes(store):
    store.open_round(0, [Pick(AB, "why")], {})
    assert status(store.run_dir)["pending"] == 1
    store.connection.execute("BEGIN IMMEDIATE")
    store.connection.execute("UPDATE candidate SET why = 'half'")
    assert status(store.run_dir)["pending"] == 1
    store.connection.execute("ROLLBACK")
    with pytest.raises(ValueError, match="readonly"), open_read_only(store.run_dir) as connection:
        connection.execute("DELETE FROM candidate")
