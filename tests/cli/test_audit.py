"""`matjax audit` on campaigns that any oracle has run."""

import json

import jax
import pytest
from typer.testing import CliRunner

from matjax.campaign import discover
from matjax.cli.main import app
from matjax.value import Random, Thompson
from tests.campaign.test_held_back import Gamed
from tests.campaign.tiny import Remembered, Tiny


@pytest.fixture
def audited(tmp_path):
    def audited(problem, *options: str):
        settings = {"budget": 16, "batch": 4, "pool": 12, "run_dir": tmp_path / "run", "key": jax.random.key(0)}
        discover(problem, Remembered(str(tmp_path)), Random(), Thompson(0.0, 0.0, 1.0), **settings)
        return CliRunner().invoke(app, ["audit", str(tmp_path / "run"), *options])

    return audited


def test_a_reward_that_lies_fails_with_status_1(audited):
    result = audited(Gamed())
    assert result.exit_code == 1 and "FAILED" in result.output and "audit picks" in result.output


def test_an_honest_one_passes_and_json_is_all_there_is(audited):
    result = audited(Tiny(), "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0 and told["passed"] and set(told["checks"]) == {"best of n", "audit picks"}
    assert told["checks"]["audit picks"]["n_audit"] == 16 and len(told["checks"]["best of n"]["pressure"]) == 4


def test_a_folder_without_a_campaign_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert result.exit_code != 0 and "holds no campaign" in str(result.exception)
    assert "exit status is 1" in CliRunner().invoke(app, ["audit", "--help"], terminal_width=300).output.replace("\n", " ")
