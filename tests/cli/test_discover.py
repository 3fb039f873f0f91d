"""`matjax discover`: settings, refusals before anything is spent, folders, interruption; one small campaign from end to end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from matjax.campaign import CampaignStopped, Inline, Processes, Trace, discover, read_trace
from matjax.campaign.config import DiscoverConfig
from matjax.campaign.lock import lock
from matjax.campaign.store import FILE
from matjax.cli import discover_session
from matjax.cli.discover import EXAMPLE
from matjax.cli.discover_presets import ELEMENTS, ORACLES, leaves_out, preset, resolve
from matjax.cli.discover_session import claim_campaign, executor_for, identity
from matjax.cli.main import app, main
from matjax.cli.session import claim_folder
from matjax.config import kind_of
from matjax.toml import from_toml, to_toml
from matjax.value import Alloys, Greedy, Random
from tests.campaign.tiny import ELEMENTS as TINY_ELEMENTS
from tests.campaign.tiny import Remembered, Tiny


def matjax(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["matjax", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


# Settings


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("size", ["quick", "default"])
def test_the_printed_settings_are_the_settings(size: str, oracle: str) -> None:
    settings = preset(size, oracle)
    assert from_toml(to_toml(settings), DiscoverConfig) == settings
    settings.check()
    assert set(settings.space.available) <= set(settings.oracle.elements)


def test_quick_is_the_same_shape_and_less_of_everything() -> None:
    quick, default = preset("quick"), preset("default")
    for field in ("utility", "temperature", "oracle", "terms", "pessimism", "acquisition"):
        assert getattr(quick, field) == getattr(default, field)
    assert quick.budget < default.budget and len(quick.problem().known()) < len(default.problem().known()) / 3
    assert quick.budget / quick.batch >= 3  # it learns from its own picks at least twice
    assert "not for a claim" in leaves_out(quick, True) and leaves_out(default, False) == ""
    assert "comparison.seeds" in leaves_out(preset("default", "emt"), False)


def test_the_example_is_short_and_runs_as_it_stands(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["discover", "--example"])
    assert shown.output == EXAMPLE and len(EXAMPLE.splitlines()) <= 30
    settings = from_toml(EXAMPLE, DiscoverConfig)
    settings.check()
    assert settings.temperature == 1100.0 and settings.space.required == ("Ni",) and settings.space.n_leaf > 1000


@pytest.mark.parametrize(
    ("text", "oracle", "elements", "seeds"),
    [
        ("", None, ELEMENTS["laboratory"], 5),
        ("", "emt", ELEMENTS["emt"], 0),
        ('oracle = "lammps"', None, ELEMENTS["lammps"], 0),
        ('[space]\nelements = "Al Ni Cu Pd"', "emt", "Al Ni Cu Pd", 0),
        ('oracle = "emt"\n[comparison]\nseeds = 2', None, ELEMENTS["emt"], 2),
    ],
)
def test_where_a_file_is_silent_the_oracle_says(text: str, oracle: str | None, elements: str, seeds: int, tmp_path: Path) -> None:
    path = tmp_path / "alloys.toml"
    path.write_text(f"temperature = 900.0\n{text}")
    settings = resolve(path, oracle, False, 7, 3, ["batch=2"])
    assert " ".join(settings.space.available) == elements and settings.comparison.seeds == seeds
    assert (settings.temperature, settings.budget, settings.seed, settings.batch) == (900.0, 7, 3, 2)
    assert oracle is None or kind_of(type(settings.oracle)) == oracle


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "space.elements='Al Co Xx Ni'"], "Xx"),
        (["--oracle", "emt", "--set", "space.elements='Al Ni Cu Pd Ti'"], "has no Ti"),
        (["--oracle", "vasp"], "known: laboratory, lammps, emt"),
        (["--set", "utility.goals=[{kind='stability'}, {kind='stability', threshold=0.1}]"], "two stability goals"),
        (["--set", "utility.goals=[{kind='price', wanted=0.06}]"], "the cheapest of"),
        (["--set", "space.required='Ni'", "--set", "space.forbidden='Ni'"], "both required and forbidden"),
        (["--set", "space.max_count=3", "--set", "space.max_elements=5"], "fill 15 of 20 sites"),
        (["--set", "learner.n_epch=3"], "did you mean 'n_epoch'"),
        (["--set", "known.compounds=['B3']"], "prototype 'B3'"),
        (["--budget", "0"], "budget is 0"),
        (["--set", "pool=4"], "pool is 4"),
        (["--workers", "2"], "laboratory measures all crystals at once"),
        (["nowhere.toml"], "nowhere.toml"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(arguments, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert matjax("discover", *arguments, "--out", "run", monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert said in printed.err and len(printed.err.strip().splitlines()) == 1 and not printed.out
    assert not Path("run").exists()


def test_a_file_has_its_own_sizes(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "mine.toml").write_text(EXAMPLE)
    assert matjax("discover", str(tmp_path / "mine.toml"), "--quick", monkeypatch=monkeypatch) == 2
    assert "has its own sizes" in capsys.readouterr().err


def test_help_teaches() -> None:
    for command in (
        ["discover"],
        ["campaign", "status"],
        ["campaign", "resume"],
        ["campaign", "export"],
        ["campaign"],
        ["thermo"],
        ["thermo", "hull"],
        ["thermo", "mixing"],
    ):
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0 and len(shown.output) > 300, command


def test_where_an_oracle_runs() -> None:
    assert executor_for(preset("quick"), None) == Inline()
    assert executor_for(preset("quick", "emt"), 3) == Processes(3)
    assert executor_for(preset("quick", "lammps"), None) == Processes(os.cpu_count() or 1)
    with pytest.raises(ValueError, match="n_worker is 0"):
        executor_for(preset("quick", "emt"), 0)


# Folders


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A campaign's folder as it is once something was measured."""
    claim_campaign(tmp_path / "run", preset("quick"), False)
    (tmp_path / "run" / FILE).write_bytes(b"measured")
    (tmp_path / "run" / "rounds").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("the user's")
    return tmp_path / "run"


def test_a_folder_goes_on_with_the_same_campaign_only(begun: Path) -> None:
    quick = preset("quick")
    more = dataclasses.replace(quick, budget=99, comparison=dataclasses.replace(quick.comparison, seeds=1))
    claim_campaign(begun, more, False)  # neither changes what is learned
    assert from_toml(begun / "config.toml", DiscoverConfig) == more
    with pytest.raises(ValueError, match=r"its temperature is 1200.0, this run's is 900.0.*--fresh"):
        claim_campaign(begun, dataclasses.replace(quick, temperature=900.0), False)
    with pytest.raises(ValueError, match="its proposer.kind is 'value_guided', this run's is 'random'"):
        claim_campaign(begun, dataclasses.replace(quick, proposer=Random()), False)
    assert from_toml(begun / "config.toml", DiscoverConfig) == more
    assert "budget" not in identity(more) and "seed" in identity(more)


def test_fresh_deletes_the_campaign_and_nothing_else(begun: Path) -> None:
    claim_campaign(begun, preset("default"), True)
    assert not (begun / FILE).exists() and not (begun / "rounds").exists()
    assert (begun / "notes.txt").read_text() == "the user's"
    assert from_toml(begun / "config.toml", DiscoverConfig) == preset("default")


def test_fresh_never_deletes_what_another_process_works_on(begun: Path) -> None:
    with lock(begun):
        for fresh in (False, True):
            with pytest.raises(ValueError, match=f"worked on by process {os.getpid()}"):
                claim_campaign(begun, preset("quick"), fresh)
    assert (begun / FILE).read_bytes() == b"measured"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_somebody_else_is_never_touched(fresh: bool, tmp_path: Path) -> None:
    (tmp_path / "structures").mkdir()
    (tmp_path / "structures" / "mine.cif").write_text("dear to me")
    with pytest.raises(ValueError, match="no run of matjax"):
        claim_campaign(tmp_path, preset("quick"), fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["structures"] and (tmp_path / "structures" / "mine.cif").exists()


def test_a_stress_test_and_a_campaign_keep_out_of_each_others_folders(begun: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other settings"):
        claim_folder(begun, "a = 1", "key", False)
    claim_folder(tmp_path / "test", "a = 1", "key", False)
    (tmp_path / "test" / "rows").mkdir()
    with pytest.raises(ValueError, match="no campaign"):
        claim_campaign(tmp_path / "test", preset("quick"), False)


def test_the_second_act_may_come_first(tmp_path: Path) -> None:
    claim_campaign(tmp_path / "discovery", preset("quick"), False)
    claim_folder(tmp_path, "a = 1", "key", False)
    claim_folder(tmp_path, "a = 1", "key", True)
    assert (tmp_path / "discovery" / "config.toml").exists()


# Campaigns of seconds: four-atom cells, a model of the composition

TINY = DiscoverConfig(
    space=Alloys(TINY_ELEMENTS), oracle=ORACLES["emt"](), budget=5, batch=2, pool=6, proposer=Random(), acquisition=Greedy()
)


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("memory"))


@pytest.fixture
def tiny(tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes every campaign a tiny one; returns its settings file."""

    def search(_: Any, oracle: Any, *others: Any, **settings: Any) -> Trace:
        return discover(Tiny(), Remembered(memory), *others, **settings)

    def summary(run_dir: Path, config: DiscoverConfig, *, command: str, seconds: float, report: Any) -> None:
        report({"kind": "summary", "stage": "nothing much"})
        with open(tmp_path / "summaries.log", "a") as log:
            log.write("once\n")
        curve = {"proposer": "matjax", "seed": 0, "utility": read_trace(run_dir).utility}
        record = {"settings": to_toml(config), "curves": [curve], "temperature": 1200.0, "command": command}
        (run_dir / "discovery.json").write_text(json.dumps(record))

    monkeypatch.setattr(discover_session, "discover", search)
    monkeypatch.setattr(discover_session, "write_summary", summary)
    monkeypatch.setattr(discover_session, "executor_for", lambda config, workers: Inline(n_candidate=1))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(to_toml(TINY))
    return tmp_path / "tiny.toml"


def n_summary(folder: Path) -> int:
    return len((folder / "summaries.log").read_text().splitlines())


def test_a_campaign_leaves_its_files_and_says_what_it_did(tiny, monkeypatch, capsys) -> None:
    assert matjax("discover", str(tiny), "--out", "run", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    for words in ("smoke tests only", "not considered", "measuring the known set", "round 3: measuring 1 picks", "Best so far", "5 of 5"):
        assert words in said
    for name in ("config.toml", FILE, "trace.jsonl", "discovery.json", "report.html"):
        assert (tiny.parent / "run" / name).exists(), name
    assert len(read_trace("run").utility) == 5


def test_run_again_it_neither_measures_nor_summarises_again(tiny, monkeypatch, capsys) -> None:
    for _ in range(2):
        assert matjax("discover", str(tiny), "--out", "run", monkeypatch=monkeypatch) == 0
    assert n_summary(tiny.parent) == 1 and len(read_trace("run").utility) == 5
    assert matjax("campaign", "resume", "run", "--budget", "7", monkeypatch=monkeypatch) == 0
    assert n_summary(tiny.parent) == 2 and len(read_trace("run").utility) == 7
    assert from_toml(Path("run/config.toml"), DiscoverConfig) == dataclasses.replace(TINY, budget=7)


def test_an_interrupted_campaign_goes_on_to_the_same_trace(tiny, monkeypatch, capsys) -> None:
    assert matjax("discover", str(tiny), "--out", "whole", monkeypatch=monkeypatch) == 0
    told = discover_session.DiscoverView.__call__

    def interrupting(view: Any, event: dict[str, Any]) -> None:
        told(view, event)
        if event["kind"] == "result" and len(read_trace("cut").rows) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(discover_session.DiscoverView, "__call__", interrupting)
    assert matjax("discover", str(tiny), "--out", "cut", monkeypatch=monkeypatch) == 130
    printed = capsys.readouterr()
    assert "oracle calls are kept in cut, and the same command goes on" in printed.err and "Traceback" not in printed.err
    monkeypatch.setattr(discover_session.DiscoverView, "__call__", told)
    assert matjax("campaign", "resume", "cut", monkeypatch=monkeypatch) == 0
    assert Path("cut/trace.jsonl").read_text() == Path("whole/trace.jsonl").read_text()


def test_an_interrupted_summary_is_written_by_the_same_command(tiny, monkeypatch, capsys) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(discover_session, "write_summary", interrupted)
        assert matjax("discover", str(tiny), "--out", "run", monkeypatch=monkeypatch) == 130
    assert "what was measured is kept in run" in capsys.readouterr().err
    assert matjax("discover", str(tiny), "--out", "run", monkeypatch=monkeypatch) == 0 and n_summary(tiny.parent) == 1


def test_a_campaign_that_cannot_go_on_says_why(tiny, monkeypatch, capsys) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise CampaignStopped("the disk is full; make room and resume with the same command")

    monkeypatch.setattr(discover_session, "discover", stopped)
    assert matjax("discover", str(tiny), "--out", "run", monkeypatch=monkeypatch) == 3
    printed = capsys.readouterr()
    assert printed.err == "matjax: the disk is full; make room and resume with the same command\n"


# The real thing, as small as it gets

SMALL = """
budget = 2
batch = 1
pool = 8
n_decoration = 1
n_epoch_more = 1
proposer = "random"
[space]
elements = "Al Co Ni"
lattices = "fcc"
min_elements = 3
max_elements = 3
max_count = 10
[known]
binaries = [0.5]
ternaries = 0.0
compounds = ["L1_2"]
[learner]
members = 1
n_epoch = 1
[learner.model]
kind = "equivariant"
irreps = "8x0e+8x1o"
n_layer = 1
[comparison]
seeds = 1
audit = 2
"""


def _interrupted(process: subprocess.Popen) -> str:
    """Presses ctrl-C until the process ends; returns what it says on stderr. Python drops a signal that arrives in a finaliser."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=60)[1]
    raise AssertionError("the process cannot be interrupted")


@pytest.mark.slow
def test_a_small_campaign_interrupted_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    command = [sys.executable, "-m", "matjax.cli.main"]
    settings: dict[str, Any] = {"cwd": tmp_path, "text": True, "env": {**os.environ, "COLUMNS": "120"}}
    first = subprocess.Popen(
        [*command, "discover", "small.toml", "--out", "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings
    )
    deadline = time.monotonic() + 400
    while not (tmp_path / "run" / "trace.jsonl").exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)  # written as soon as the known set is measured
    said = _interrupted(first)
    assert first.returncode == 130, said
    assert "the same command goes on" in said and "Traceback" not in said
    status = subprocess.run([*command, "campaign", "status", "run"], capture_output=True, timeout=100, **settings)
    assert "interrupted" in status.stdout and "0 of 2 oracle calls" in status.stdout and "model system" in status.stdout
    done = subprocess.run([*command, "campaign", "resume", "run"], capture_output=True, timeout=600, **settings)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "discovery.json").read_text())
    assert {curve["proposer"] for curve in record["curves"]} == {"matjax", "random", "genetic"}
    assert all(len(curve["utility"]) == 2 for curve in record["curves"])
    assert "model system" in (tmp_path / "run" / "report.html").read_text()
    assert list((tmp_path / "run" / "structures").glob("*.cif"))
