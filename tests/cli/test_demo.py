"""`matjax demo`: two acts in one folder, one alone where asked, one report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from matjax.cli import discover_session, session
from matjax.cli.discover_presets import preset
from matjax.cli.main import app


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, dict[str, Any]]]:
    """What was played, where and how; nothing is run."""
    played: list[tuple[str, Path, dict[str, Any]]] = []

    def stress_test(settings: Any, dataset: Any, out: Path, **others: Any) -> Any:
        played.append(("stress-test", out, {"settings": settings} | others))
        out.mkdir(parents=True, exist_ok=True)
        (out / "stress_test.json").write_text("[]")
        return SimpleNamespace(missing=(("a row", "it diverged"),) if settings.seed == 13 else ())

    def campaign(settings: Any, out: Path, **others: Any) -> None:
        played.append(("discover", out, {"settings": settings} | others))

    monkeypatch.setattr(session, "run_stress_test", stress_test)
    monkeypatch.setattr(discover_session, "run_discovery", campaign)
    monkeypatch.setattr("matjax.cli.demo.play", lambda arguments: demo(*arguments))  # in this process, where nothing is run
    return played


def demo(*arguments: str) -> int:
    return CliRunner().invoke(app, ["demo", *arguments], catch_exceptions=False).exit_code


def test_two_acts_share_sizes_seed_and_report(acts, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert demo("--out", str(out), "--quick", "--seed", "5", "--fresh") == 0
    (first, where, how), (second, inside, then) = acts
    assert (first, where, second, inside) == ("stress-test", out, "discover", out / "discovery")
    assert how["settings"].seed == then["settings"].seed == 5 and how["fresh"] and then["fresh"]
    assert how["settings"].learner.n_epoch == 8
    assert then["settings"].space == preset("quick").space and then["page"] == out and "not for a claim" in then["note"]


@pytest.mark.parametrize(("act", "page"), [("stress-test", None), ("discover", None)])
def test_one_act_alone(act: str, page: Path | None, acts, tmp_path: Path) -> None:
    assert demo("--out", str(tmp_path / "demo"), "--only", act) == 0
    assert [name for name, _, _ in acts] == [act]
    assert acts[0][2].get("page") == page  # the report of a campaign without a first act lies beside it


def test_the_second_act_alone_joins_the_first_ones_report(acts, tmp_path: Path) -> None:
    (tmp_path / "stress_test.json").write_text("[]")
    assert demo("--out", str(tmp_path), "--only", "discover") == 0
    assert acts[0][2]["page"] == tmp_path


def test_unfinished_rows_are_told_by_the_exit_code(acts, tmp_path: Path) -> None:
    assert demo("--out", str(tmp_path / "demo"), "--seed", "13") == 1
    assert [name for name, _, _ in acts] == ["stress-test", "discover"]


def test_sizes_go_to_folders_of_their_own(acts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo("--quick")
    demo("--only", "discover", "--full")
    assert [out for _, out, _ in acts] == [Path("runs/demo-quick"), Path("runs/demo-quick/discovery"), Path("runs/demo-full/discovery")]
    assert acts[-1][2]["settings"] == preset("default")


@pytest.mark.parametrize("code", [2, 3, 130])
def test_an_act_that_fails_ends_the_play(code: int, acts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("matjax.cli.demo.play", lambda arguments: asked.append(arguments) or code)
    assert demo("--out", str(tmp_path / "demo")) == code and len(asked) == 1


def test_an_act_has_a_process_of_its_own(tmp_path: Path) -> None:
    from matjax.cli.demo import play

    assert play(["--only", "third", "--out", str(tmp_path / "demo")]) == 2
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(("arguments", "said"), [(["--only", "third"], "stress-test or discover"), (["--quick", "--full"], "choose one")])
def test_refusals(arguments: list[str], said: str, acts, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        demo("--out", str(tmp_path / "demo"), *arguments)
    assert not acts
