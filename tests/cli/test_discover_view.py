"""What a campaign shows: every event at a terminal and in a log, and the figures of a round as they were written down."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from matjax.cli.discover_presets import preset
from matjax.cli.discover_view import DiscoverView, best_table, epochs_done, plan, read_best, round_line, show_best

ROW: dict[str, Any] = {
    "candidate": "fcc Al5 Co35 Ni35 Pd25",
    "round": 1,
    "utility": 0.4321,
    "stability": -0.0123,
    "predicted_stability_low": -0.03,
    "predicted_stability_high": 0.01,
    "pugh_ratio": 2.25,
    "price": 18.0,
    "flagged": True,
}


def printed(console: Console) -> str:
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=140, color_system=None)


def test_the_plan_says_what_is_sought_by_whom_and_what_is_left_out() -> None:
    config = preset("quick")
    text = "\n".join(plan(config, Path("here"), "a note"))
    for words in (f"{config.space.n_leaf:,} alloys of 4 to 5 elements on fcc, bcc, hcp", "1200 K", "USD/kg", "model system", "not charged"):
        assert words in text
    for words in ("12 oracle calls, 4 a round", "Debye", "not considered: liquid", "a note", "here"):
        assert words in text
    assert f"known set: {len(config.problem().known())} " in text


@pytest.mark.parametrize("terminal", [False, True])
def test_every_stage_is_told(terminal: bool, tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps(ROW | {"utility": None}))
    (tmp_path / "rounds" / "000" / "fit" / "3").mkdir(parents=True)
    (tmp_path / "rounds" / "000" / "fit" / "4.orbax-checkpoint-tmp").mkdir()
    shown = console(terminal)
    told = []
    with DiscoverView(shown, preset("quick"), tmp_path) as view:
        for event in (
            {"kind": "known", "n": 80, "pending": 60},
            {"kind": "learn", "round": 0, "n": 80},
            {"kind": "propose", "round": 0},
            {"kind": "picks", "round": 0, "candidates": ["a", "b"], "why": ["audit", "audit"]},
            {"kind": "result", "candidate": "a", "status": "transformed", "error": "physical: [it] moved", "done": 1, "of": 2},
            {"kind": "baseline", "proposer": "random", "calls": 8, "of": 6},
            {"kind": "summary", "stage": "audit"},
            {"kind": "end", "reason": "over"},
        ):
            view(event)
            shown.print(view.render())
            told.append((view.progress.tasks[0].description, view.progress.tasks[0].completed, view.progress.tasks[0].total))
    assert told[0] == ("measuring the known set", 20, 80)
    assert told[1] == ("round 1: learning from 80 measured crystals, 8 epochs", 3, 8)
    assert told[2] == ("round 1: proposing, 256 reward calls at most", 0, None)
    assert told[4] == ("round 1: measuring 2 picks", 1, 2)
    assert told[5] == ("random search beside it, calls", 6, 6)
    assert told[6][0] == "summary: audit"
    assert "not converged: a: physical: [it] moved" in printed(shown)


def test_epochs_are_those_whose_state_is_complete(tmp_path: Path) -> None:
    assert epochs_done(tmp_path / "absent") == 0
    for name in ("9", "10", "11.orbax-checkpoint-tmp"):
        (tmp_path / name).mkdir()
    assert epochs_done(tmp_path) == 10


def test_a_round_in_one_line() -> None:
    facts = {"round": 1, "mae_stability": 0.0123, "coverage_90": 0.75, "n_reward_calls": 1024}
    facts |= {"seconds_learn": 61.2, "seconds_propose": 9.9, "seconds_oracle": 3700.0}
    assert round_line(facts, ROW) == (
        "round 2; best utility 0.432 (fcc Al5 Co35 Ni35 Pd25); stability predicted to 12 meV/atom; 90% intervals cover 75%; "
        "learn 61 s, propose 10 s (1,024 reward calls), measure 01:01:40"
    )
    nothing = {"round": 0, "mae_stability": None, "coverage_90": None, "seconds_learn": 1, "seconds_propose": 1, "seconds_oracle": 1}
    assert round_line(nothing, None) == "round 1; nothing with a utility yet; learn 1 s, propose 1 s, measure 1 s"


def test_the_table_never_stands_without_its_oracle(tmp_path: Path) -> None:
    oracle, shown = preset("quick").oracle, console(False)
    show_best(shown, [ROW, ROW | {"stability": None, "pugh_ratio": None, "predicted_stability_low": None, "flagged": None}], oracle)
    said = printed(shown)
    assert "relative to the oracle laboratory" in said and "model system" in said
    assert "-12" in said and "-30 to 10" in said and "outside the training density" in said and "—" in said
    show_best(empty := console(False), [], oracle)
    assert "nothing to rank" in printed(empty) and read_best(tmp_path) == []
    assert best_table([], oracle).row_count == 0
