"""`matjax campaign`: how a campaign stands, while it runs and after it was killed, and its results for other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jax
import pytest
from typer.testing import CliRunner

from matjax.campaign import discover
from matjax.campaign.config import DiscoverConfig
from matjax.campaign.lock import lock
from matjax.cli.campaign import status_lines
from matjax.cli.discover_presets import ORACLES
from matjax.cli.discover_session import claim_campaign
from matjax.cli.main import app
from matjax.value import Alloys, Greedy, Random
from tests.campaign.tiny import ELEMENTS, Remembered, Tiny

CONFIG = DiscoverConfig(space=Alloys(ELEMENTS), oracle=ORACLES["emt"](), budget=4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A campaign at its end."""
    folder = tmp_path_factory.mktemp("campaign") / "run"
    claim_campaign(folder, CONFIG, False)
    oracle = Remembered(str(tmp_path_factory.mktemp("memory")))
    discover(Tiny(), oracle, Random(), Greedy(), budget=4, batch=2, pool=6, run_dir=folder, key=jax.random.key(0))
    return folder


def shown(*arguments: str) -> str:
    """What a command prints; it must succeed."""
    ran = CliRunner().invoke(app, ["campaign", *arguments], env={"COLUMNS": "120"}, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_a_finished_campaign(finished: Path) -> None:
    said = shown("status", str(finished))
    assert "ended: the budget is spent: 4 of 4 oracle calls" in said and "(4 converged)" in said
    assert "smoke tests only" in said and "Best so far" in said and "next:" not in said


def test_it_is_looked_at_while_another_process_works_on_it(finished: Path) -> None:
    with lock(finished):
        said = shown("status", str(finished))
    assert "running (process" in said and "next:" not in said


def test_one_that_was_killed_says_how_to_go_on() -> None:
    found: dict[str, Any] = {
        "folder": "my run",
        "oracle": "laboratory 1",
        "oracle_note": "model system",
        "budget": 40,
        "spent": 9,
        "round": 1,
        "pending": 7,
        "n_known": 80,
        "statuses": {"pending": 7, "converged": 8, "transformed": 1},
        "known_failed": [(f"fcc A{i}", "numerical: it did not") for i in range(7)],
        "best": [],
        "running": None,
        "last_event": {"kind": "started", "text": ""},
    }
    lines = status_lines(found)
    assert lines[0] == "my run: interrupted" and lines[-1] == "next: matjax campaign resume 'my run'"
    assert "9 of 40 oracle calls in 2 rounds (8 converged, 7 pending, 1 transformed); known set of 80; 7 to be measured" in lines
    assert "  and 2 more of the known set" in lines
    stopped = status_lines(found | {"last_event": {"kind": "stopped", "text": "the disk is full"}})
    assert stopped[0] == "my run: stopped: the disk is full" and stopped[-1].startswith("next:")


def test_exports(finished: Path, tmp_path: Path) -> None:
    assert "candidates.csv" in shown("export", str(finished))
    with open(finished / "candidates.csv", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 4
    shown("export", str(finished), "--to", "json", "--out", str(tmp_path / "all.json"))
    assert len(json.loads((tmp_path / "all.json").read_text())["rows"]) == 4
    shown("export", str(finished), "--to", "extxyz", "--out", str(tmp_path / "all.extxyz"))
    assert (tmp_path / "all.extxyz").read_text().count("Lattice=") == 2 * (len(ELEMENTS) + 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "{here}"], "holds no campaign"),
        (["resume", "{here}"], "matjax discover --out"),
        (["export", "{run}", "--to", "xlsx"], "known: ase.db"),
    ],
)
def test_refusals(arguments: list[str], said: str, finished: Path, tmp_path: Path) -> None:
    filled = [argument.format(here=tmp_path, run=finished) for argument in arguments]
    with pytest.raises(ValueError, match=said):
        CliRunner().invoke(app, ["campaign", *filled], catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_the_best_are_confirmed_by_another_oracle(finished: Path, monkeypatch) -> None:
    monkeypatch.setattr(DiscoverConfig, "problem", lambda _: Tiny())
    said = shown("confirm", str(finished), "--oracle", "laboratory", "--top", "2", "--others", "2")
    assert said.count(" best ") == 2 and said.count(" spread ") == 2 and "rank correlation" in said
    assert (finished / "confirmed" / "laboratory" / "trace.jsonl").exists()
    told = json.loads(shown("confirm", str(finished), "--oracle", "laboratory", "--top", "2", "--others", "2", "--json"))
    assert len(told["rows"]) == 4 and {"cheap_utility", "dear_utility"} <= set(told["rows"][0])
    assert "confirmed" not in (finished / "trace.jsonl").read_text()


def test_an_oracle_that_is_none_cannot_confirm(finished: Path) -> None:
    ran = CliRunner().invoke(app, ["campaign", "confirm", str(finished), "--oracle", "vasp"])
    assert isinstance(ran.exception, ValueError) and "known: laboratory, lammps, emt" in str(ran.exception)
