"""Ask, measure, learn: budgets to the call, nothing false learned, and clear ends."""

import contextlib
import dataclasses
import itertools
import json
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from matjax import keys
from matjax.campaign import CampaignStopped, Inline, Processes, discover, read_measured, read_trace, status
from matjax.campaign.store import FILE
from matjax.types import Candidate
from matjax.value.acquisition import Greedy, Thompson
from matjax.value.proposers import Genetic, Random
from tests.campaign.tiny import ELEMENTS, SPACE, Ridges, Tiny, Unruly

FOREVER = 1000


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("memory"))


@pytest.fixture
def run(memory, tmp_path):
    """Runs or resumes a campaign of the test; settings by name."""

    def run(*how: tuple[str, str, int], **settings: Any) -> Any:
        oracle = Unruly(memory, str(tmp_path), how)
        defaults = {"problem": Tiny(), "oracle": oracle, "proposer": Random(), "acquisition": Thompson(), "budget": 5, "batch": 2}
        defaults |= {"run_dir": tmp_path / "run", "key": jax.random.key(0), "pool": 10}
        return discover(**(defaults | settings))

    return run


def asked(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "asked.log").read_text().split())


def test_a_campaign_spends_its_budget_to_the_call_and_measures_nothing_twice(run, tmp_path):
    events: list[dict[str, Any]] = []
    trace = run(report=events.append)
    assert [row["call"] for row in trace.rows] == [1, 2, 3, 4, 5] and [r["round"] for r in trace.rounds] == [-1, 0, 1, 2]
    assert [(row["round"], row["slot"]) for row in trace.rows] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert sum(asked(tmp_path).values()) == 2 * (len(ELEMENTS) + 5)
    assert trace.reason == "the budget is spent: 5 of 5 oracle calls" and trace.utility == [row["utility"] for row in trace.rows]
    assert Counter(e["kind"] for e in events) == {"known": 1, "result": 9, "round": 4, "learn": 3, "propose": 3, "picks": 3, "end": 1}
    lines = (tmp_path / "run" / "trace.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(trace.rows)


def test_what_has_ended_is_not_begun_again_and_a_larger_budget_goes_on(run, tmp_path, monkeypatch):
    first, n_asked = run(), asked(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "learn", lambda *a, **k: pytest.fail("learned again"))
        assert run().rows == first.rows
    more = run(budget=7)
    assert asked(tmp_path) > n_asked and len(more.rows) == 7
    assert more.rows[:5] == first.rows


def test_predictions_are_those_of_the_round_before_the_measurement(run, tmp_path):
    trace = run()
    measured, known = read_measured(tmp_path / "run"), read_measured(tmp_path / "run", known=True)
    assert len(known) == len(ELEMENTS) and len(measured) == len(ELEMENTS) + 5
    surrogate = Tiny().learn(known, round=0, run_dir=Path(), key=keys.child(jax.random.key(0), "round", 0, "learn"))
    row = trace.rows[0]
    samples = surrogate.stability([measured[row["key"]].candidate])[:, 0]
    assert row["predicted_stability_mean"] == pytest.approx(samples.mean(), abs=1e-12)
    assert row["predicted_stability_std"] == pytest.approx(samples.std(ddof=1), abs=1e-12)
    facts = trace.rounds[1]
    errors = [abs(r["predicted_stability_mean"] - r["stability"]) for r in trace.rows if r["round"] == 0]
    assert facts["mae_stability"] == pytest.approx(np.mean(errors)) and facts["n_train"] == 4 and facts["n_compared"] == 2


def test_what_failed_is_charged_shown_and_never_learned_from(run, tmp_path, monkeypatch):
    learned: list[set[str]] = []
    learn = Tiny.learn
    monkeypatch.setattr(Tiny, "learn", lambda self, measured, **k: learned.append(set(measured)) or learn(self, measured, **k))
    trace = run(("Ag Cu", "transform", FOREVER), ("Au Ni", "nan", FOREVER), budget=8)
    bad = {row["key"]: row for row in trace.rows if row["status"] != "converged"}
    assert {row["status"] for row in bad.values()} == {"transformed", "failed"} and len(trace.rows) == 8
    assert [row["call"] for row in trace.rows] == list(range(1, 9))
    assert all(row["utility"] is None and row["stability"] is None for row in bad.values())
    assert any("energy_per_atom is nan" in row["error"] for row in bad.values())
    assert not set.union(*learned) & bad.keys() and not read_measured(tmp_path / "run").keys() & bad.keys()
    assert trace.utility.count(None) == len(bad)
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / FILE)) as connection:
        attempts = dict(connection.execute("SELECT candidate, count(*) FROM task GROUP BY candidate"))
    assert all(attempts[key] == (2 if row["status"] == "failed" else 1) for key, row in bad.items())  # numerical ones once more


def test_an_oracle_at_fault_stops_the_campaign_and_a_mended_one_goes_on(run, tmp_path):
    with pytest.raises(CampaignStopped, match="unruly is at fault, not the candidate fcc .*Ni.*wrong atoms.*resume"):
        run(("Ni", "atoms", FOREVER))
    stood = status(tmp_path / "run")
    assert stood["last_event"]["kind"] == "stopped" and stood["spent"] == 0 and stood["pending"] == 1
    assert len(read_measured(tmp_path / "run")) == 3  # what came in the same call is kept
    once = asked(tmp_path)
    trace = run()
    assert len(trace.rows) == 5 and (asked(tmp_path) - once).keys().isdisjoint(once.keys() - asked_of(["Ni"]))


def asked_of(symbols: list[str]) -> set[str]:
    return {c.key for s in symbols for c in Tiny().cells(Candidate("fcc", (((s, 4),),)))}


@pytest.mark.parametrize("how", ["raise", "unspeakable", "few", "dict"])
def test_oracles_that_raise_or_return_nonsense_stop_the_campaign(run, how):
    with pytest.raises(CampaignStopped, match="is at fault.*nothing was learned"):
        run(("Ni", how, FOREVER))


def test_failures_of_the_machine_are_repeated_and_not_charged(run, tmp_path):
    trace = run(("Ag Cu", "memory", FOREVER), budget=6, batch=6)
    bad = [row for row in trace.rows if row["status"] == "failed"]
    assert bad and all(row["call"] is None and row["error"].startswith("transient: MemoryError") for row in bad)
    assert [row["call"] for row in trace.rows if row["call"]] == [1, 2, 3, 4, 5, 6]  # others were measured in their place
    assert status(tmp_path / "run")["spent"] == 6 and trace.utility.count(None) == 0


def test_an_oracle_out_of_reach_stops_the_campaign_uncharged_until_it_answers(run, tmp_path):
    for _ in range(4):
        with pytest.raises(CampaignStopped, match="none of 4 candidates could be measured by unruly.*MemoryError.*resume"):
            run(*[(symbol, "memory", FOREVER) for symbol in ELEMENTS])
    assert status(tmp_path / "run")["pending"] == 4
    assert len(run().rows) == 5


def test_a_candidate_that_always_takes_the_machine_down_is_given_up_in_the_end(run, tmp_path):
    pairs = [(f"{a} {b}", "memory", FOREVER) for a, b in itertools.combinations(ELEMENTS, 2)]
    for _ in range(3):
        with pytest.raises(CampaignStopped, match="none of 1 candidates"):
            run(*pairs, batch=1)
    first, second = read_trace(tmp_path / "run").rows
    assert (first["status"], first["call"], second["status"]) == ("failed", None, "pending")


def test_a_known_set_of_which_nothing_converges_stops(run):
    with pytest.raises(CampaignStopped, match="nothing of the known set converged; the first error: physical: it moved"):
        run(*[(symbol, "transform", FOREVER) for symbol in ELEMENTS])


def test_an_exhausted_space_ends_the_campaign(run):
    trace = run(budget=100, batch=16, acquisition=Greedy())
    assert len(trace.rows) == SPACE.n_leaf == 30
    assert trace.reason == "nothing is left to propose after 30 of 100 oracle calls"


def test_without_a_model_nothing_is_learned_or_predicted(run, monkeypatch):
    monkeypatch.setattr(Tiny, "learn", lambda *a, **k: pytest.fail("learned"))
    trace = run(acquisition=None, proposer=Genetic())
    assert len(trace.rows) == 5
    assert {row["why"] for row in trace.rows} == {"genetic"} and {row["predicted_utility_mean"] for row in trace.rows} == {None}


def test_ctrl_c_keeps_what_has_arrived(run, tmp_path):
    whole = run(run_dir=tmp_path / "whole")

    def interrupt(event: dict[str, Any]) -> None:
        while event["kind"] == "result" and event["of"] == 2:  # again, if it lands in a finaliser: Python drops it there
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="interrupted; 1 oracle calls are kept in .*the same command goes on"):
        run(report=interrupt, executor=Inline(1))
    assert status(tmp_path / "run")["last_event"]["kind"] == "interrupted" and status(tmp_path / "run")["pending"] == 1
    assert run(executor=Inline(1)).rows == whole.rows


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"pool": -1}, "pool is -1"),
    ],
)
def test_settings_without_sense_are_refused_before_anything_is_written(run, tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        run(**settings)
    assert not (tmp_path / "run").exists()


def test_elements_that_the_oracle_lacks_are_named_at_once(run, tmp_path):
    @dataclasses.dataclass(frozen=True)
    class WithIron(Tiny):
        elements = ("Ag", "Fe")  # type: ignore[assignment]

    with pytest.raises(ValueError, match="does not know Fe"):
        run(problem=WithIron())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key": jax.random.key(1)}, "another key"),
        ({"batch": 3}, "another batch: it has 2, this run 3"),
        ({"acquisition": Greedy()}, "another acquisition"),
        ({"settings_text": "tau = 2\n"}, "another settings"),
    ],
)
def test_other_settings_do_not_resume(run, settings, said):
    run(budget=1)
    with pytest.raises(ValueError, match=said):
        run(**settings)


def test_a_surrogate_that_is_not_finite_is_refused(run, monkeypatch):
    monkeypatch.setattr(Ridges, "log_utility", lambda self, candidates: np.full((4, len(candidates)), np.nan))
    with pytest.raises(ValueError, match="log utility is not finite for 10 of 10 candidates, such as fcc"):
        run()


@pytest.mark.slow
def test_processes_give_the_same_trace_in_whatever_order_they_answer(run, tmp_path):
    inline = run(run_dir=tmp_path / "inline")
    both = run(("Ni", "die", 1), executor=Processes(2, time_limit=60.0))
    assert both.rows == inline.rows
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / FILE)) as connection:
        errors = [error for (error,) in connection.execute("SELECT error FROM task WHERE state = 'failed'")]
    assert len(errors) == 1 and errors[0].startswith("transient: the oracle's process died")
    assert read_trace(tmp_path / "run").rows == both.rows
