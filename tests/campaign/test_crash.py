"""A campaign that is killed goes on to the campaign that was never killed: same picks, same results, nothing measured twice."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matjax.campaign import read_trace
from matjax.campaign.store import FILE
from tests.campaign.crash import BUDGET
from tests.campaign.tiny import ELEMENTS

pytestmark = pytest.mark.slow
N_POINT = 20
ROOT = Path(__file__).parents[2]


def run(folder: Path, plan: dict[str, Any]) -> dict[str, list[int]]:
    (folder / "memory").mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "tests.campaign.crash", folder, folder / "plan.json"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    ended = json.loads(found.stdout.splitlines()[-1])
    failed = {name: (folder / name / "error").read_text() for name in plan if (folder / name / "error").exists()}
    assert not failed, failed
    return ended


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a campaign that was never killed is called `whole`."""
    folder = tmp_path_factory.mktemp("crash")
    assert run(folder, {"whole": [None]}) == {"whole": [0]}
    return folder


def tables(state: Path) -> dict[str, Any]:
    """Everything that the file says but for times, attempts and events; and the lines of the trace."""
    connection = sqlite3.connect(state / "run" / FILE)
    timeless = lambda text: {name: value for name, value in json.loads(text).items() if not name.startswith("seconds_")}
    found: dict[str, Any] = {
        name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in ("candidate", "result", "meta")
    }
    found["round"] = [(i, timeless(a), timeless(b)) for i, a, b in connection.execute("SELECT * FROM round ORDER BY i")]
    connection.close()
    return found | {"trace": (state / "run" / "trace.jsonl").read_bytes()}


def asked(state: Path) -> Counter[str]:
    return Counter((state / "asked.log").read_text().split())


def test_the_campaign_is_one_that_can_show_it(folder):
    trace, state = read_trace(folder / "whole" / "run"), folder / "whole"
    statuses = Counter(row["status"] for row in trace.rows)
    assert statuses["converged"] >= 4 and statuses["transformed"] >= 1 and sum(statuses.values()) == BUDGET
    assert trace.reason == f"the budget is spent: {BUDGET} of {BUDGET} oracle calls" and len(trace.rounds) == 4
    with sqlite3.connect(state / "run" / FILE) as connection:
        states = Counter(state for (state,) in connection.execute("SELECT state FROM task"))
    connection.close()
    assert states == {"done": len(ELEMENTS) + BUDGET, "failed": 1}  # one attempt was repeated


def test_killed_at_twenty_lines_and_resumed_it_is_the_one_never_killed(folder):
    n_line, whole = int((folder / "whole" / "lines").read_text()), tables(folder / "whole")
    points = np.linspace(1, n_line, N_POINT + 2)[1:-1].astype(int)
    plan = {f"killed{n}": [{"at_line": int(n)}, None] for n in points}
    assert run(folder, plan) == {name: [-9, 0] for name in plan}
    for name in plan:
        assert tables(folder / name) == whole, name
        again = asked(folder / name) - asked(folder / "whole")
        assert sum(again.values()) <= 2, f"{name}: more than the candidate under way was measured again"


def test_killed_over_and_over_it_is_the_one_never_killed(folder):
    """By line in one, by the clock in the other; each process gets a little further, or nowhere."""
    n_line, draw = int((folder / "whole" / "lines").read_text()), np.random.default_rng(5)
    lines = [{"at_line": int(n)} for n in draw.integers(1, n_line // 3, 8)]
    seconds = [{"after_seconds": s} for s in draw.uniform(0.05, 1.5, 8)]
    ended = run(folder, {"lines": [*lines, None], "seconds": [*seconds, None]})
    assert -9 in ended["lines"] and ended["lines"][-1] == ended["seconds"][-1] == 0
    for name in ended:
        assert tables(folder / name) == tables(folder / "whole"), name
        again = asked(folder / name) - asked(folder / "whole")
        assert sum(again.values()) <= 2 * ended[name].count(-9)
