"""What failed is measured again once the reason is gone: spent calls stay spent, later picks stand, and everything is told."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from typer.testing import CliRunner

from matjax.campaign import discover, read_measured, read_trace, retry, status, why
from matjax.campaign.lock import lock
from matjax.campaign.retry import find
from matjax.campaign.store import FILE
from matjax.cli.main import app
from matjax.simulate.cells import ordered
from matjax.value.acquisition import Thompson
from matjax.value.proposers import Random
from tests.campaign.tiny import Tiny, Unruly

NIAL = ordered("B2", "Ni", "Al")
SETTINGS = {"budget": 6, "batch": 2, "pool": 10, "key": jax.random.key(0)}


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("memory"))


@pytest.fixture
def run(memory, tmp_path):
    """Runs or resumes a campaign in which candidates that hold some elements fail in some way."""

    def run(*how: tuple[str, str, int], **settings):
        oracle = Unruly(memory, str(tmp_path), how)
        return discover(Tiny(), oracle, Random(), Thompson(), run_dir=tmp_path / "run", **(SETTINGS | settings))

    return run


def command(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["campaign", *arguments], env={"COLUMNS": "120"}, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.mark.parametrize("name", ["B2 Ni100 | Al100", "B2 Ni | Al", "B2_Ni100-Al100", " B2_Ni-Al", NIAL.key, NIAL.key[:6]])
def test_a_candidate_is_found_by_its_key_and_by_its_formula_however_spelt(name: str) -> None:
    records = [SimpleNamespace(candidate=c) for c in (NIAL, ordered("B2", "Al", "Ni"), ordered("L1_2", "Ni", "Al"))]
    assert find(records, name).candidate is NIAL  # type: ignore[arg-type]


def test_retried_candidates_are_learned_from_and_charged_twice(run, tmp_path: Path) -> None:
    before = run(("Au Ni", "nan", 1000))
    bad = [row for row in before.rows if row["status"] == "failed"]
    assert bad and len(before.rows) == 6
    learned = [tmp_path / "run" / "rounds" / f"{before.rounds[-1]['round'] + i:03d}" for i in (0, 1)]
    for folder in learned:
        folder.mkdir(parents=True, exist_ok=True)
    assert [record.candidate.key for record in retry(tmp_path / "run")] == [row["key"] for row in bad]
    assert [folder.exists() for folder in learned] == [True, False]  # the next round learns again, from more
    stood = status(tmp_path / "run")
    assert stood["spent"] == 6 and stood["pending"] == len(bad)  # what failed stays charged
    after = run()
    assert [row["key"] for row in after.rows] == [row["key"] for row in before.rows]
    assert all(row["status"] == "converged" and row["utility"] is not None for row in after.rows)
    assert len(read_measured(tmp_path / "run")) == 4 + 6
    n_call = 6 + len(bad)
    assert status(tmp_path / "run")["spent"] == n_call == len(after.utility) and after.utility.count(None) == len(bad)
    assert after.reason == f"the budget is spent: {n_call} of 6 oracle calls"
    assert [row["call"] for row in after.rows][-1] == n_call
    assert all(after.utility[row["call"] - 1] == row["utility"] for row in after.rows)
    assert not any(round["is_open"] for round in after.rounds)
    more = run(budget=n_call + 1)  # the campaign goes on behind them
    assert len(more.rows) == 7 and more.utility[:n_call] == after.utility


def test_transient_failures_cost_nothing_before_and_one_call_after(run, tmp_path: Path) -> None:
    before = run(("Au Ni", "memory", 1000), budget=4)
    gone = [row for row in before.rows if row["call"] is None]
    if not gone:
        pytest.fail("the campaign must pick an alloy that fails")
    retry(tmp_path / "run", ["transient"])
    assert status(tmp_path / "run")["spent"] == 4
    after = run(budget=4)
    assert status(tmp_path / "run")["spent"] == 4 + len(gone) == len(after.utility) and None not in after.utility


def test_the_default_leaves_final_failures_and_the_picked_one_is_taken_whatever_it_is(run, tmp_path: Path) -> None:
    trace = run(("Au Ni", "transform", 1000))
    bad = next(row for row in trace.rows if row["status"] == "transformed")
    good = next(row for row in trace.rows if row["status"] == "converged")
    folder = str(tmp_path / "run")
    assert "0 candidates are to be measured again" in command("retry", folder)
    for name, said in ((good["key"], "did not fail"), ("fcc Pu", "0 candidates are called")):
        with pytest.raises(ValueError, match=said):
            retry(folder, candidate=name)
    with pytest.raises(ValueError, match="class of failure typo is not known; known: transient"):
        retry(folder, ["typo"])
    with lock(tmp_path / "run"), pytest.raises(ValueError, match="process"):
        retry(folder, candidate=bad["key"])
    said = command("retry", folder, bad["key"][:6])
    assert bad["candidate"] in said and "next: matjax campaign resume" in said and "(1 oracle calls" in said
    with pytest.raises(ValueError, match="yet to be measured"):
        retry(folder, candidate=bad["key"])
    run(("Au Ni", "transform", 1000))
    found = why(folder, bad["candidate"])
    assert found["charged"] == 2 and len(found["attempts"]) == 2 and found["set_aside"][0]["status"] == "transformed"


def test_why_tells_what_the_rows_hold(run, tmp_path: Path) -> None:
    trace = run(("Au Ni", "nan", 1000))
    for row in trace.rows:
        found = why(tmp_path / "run", row["key"])
        assert (found["candidate"], found["round"], found["slot"], found["why"]) == tuple(
            row[name] for name in ("candidate", "round", "slot", "why")
        )
        assert found["predicted"]["reward"] == row["predicted_reward"] and found["model"]["n_train"] >= 4
        assert "Random" in found["proposer"] and "Thompson" in found["acquisition"] and found["oracle"] == "unruly 1"
        if row["status"] == "failed":
            assert [a["state"] for a in found["attempts"]] == ["failed", "done"] and found["truth"] is None
            assert "numerical" in {crystal["failure"] for crystal in found["crystals"]}
        else:
            assert found["truth"]["utility"] == row["utility"] and all(c["labels"] for c in found["crystals"])
        said = command("why", str(tmp_path / "run"), row["key"])
        assert row["candidate"] in said and "Thompson" in said and "attempt 1" in said
    known = why(tmp_path / "run", read_trace(tmp_path / "run").rows[0]["key"])
    assert known["of"] == 2
    with sqlite3.connect(tmp_path / "run" / FILE) as connection:
        first = connection.execute("SELECT key FROM candidate WHERE round = -1").fetchone()[0]
    connection.close()
    assert why(tmp_path / "run", first)["charged"] == 0 and "the known set" in command("why", str(tmp_path / "run"), first)
