"""What is lost, doubled or learned falsely when campaigns are killed, disks fill and oracles err; and how the store grows.

`python experiments/discovery/durability/run.py --json` prints the figures as one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sqlite3
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from _campaign import ELEMENTS, campaign  # noqa: E402
from _rounds import rounds  # noqa: E402

from matjax.campaign import CampaignStopped, read_measured, read_trace  # noqa: E402
from matjax.campaign.codec import encode  # noqa: E402
from matjax.campaign.records import learnable, n_charged, read_records  # noqa: E402
from matjax.campaign.store import FILE, Pick, digest, open_store  # noqa: E402
from matjax.types import Candidate, Crystal, Result  # noqa: E402

FAULTS = ("nan", "atoms", "hartree", "raises", "unconverged")


def child(folder: Path, config: dict[str, Any], limit: int | None = None) -> int:
    """Forks a process that runs the campaign; with a limit, one whose files cannot grow beyond it."""
    if process := os.fork():
        return process
    try:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        campaign(folder, config)
        os._exit(0)
    except CampaignStopped:
        os._exit(3)
    except BaseException as error:
        (folder / "error").write_text(repr(error))
        os._exit(1)


def ended(process: int) -> int:
    """How a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def contents(folder: Path) -> dict[str, Any]:
    """What the file says but for times, attempts and events."""
    with contextlib.closing(sqlite3.connect(folder / "run" / FILE)) as connection:
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in ("candidate", "result")}


def kills(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Campaigns that are killed at random moments of their run until there were kills enough, each compared with one that never was."""
    begun = time.perf_counter()
    assert ended(child(folder / "whole", config)) == 0, (folder / "whole" / "error").read_text()
    seconds, whole = time.perf_counter() - begun, contents(folder / "whole")
    draw, found = (
        np.random.default_rng(config["seed"]),
        {"kills": 0, "campaigns": 0, "ended_before": 0, "lost": 0, "duplicated": 0, "differ": 0, "asked_again": 0},
    )
    while found["kills"] < config["n_kills"]:
        place, n_killed = folder / f"killed{(i := found['campaigns'])}", 0
        while n_killed < config["n_kill"]:
            process = child(place, config)
            time.sleep(draw.uniform(0.0, seconds))
            os.kill(process, signal.SIGKILL)
            if ended(process) != -signal.SIGKILL:
                found["ended_before"] += 1
                break
            n_killed += 1
        found["campaigns"] += 1
        found["kills"] += n_killed
        code = ended(child(place, config))
        assert code == 0, (place / "error").read_text()
        now = contents(place)
        keys, wanted = [row[0] for row in now["result"]], [row[0] for row in whole["result"]]
        found["lost"] += len(set(wanted) - set(keys))
        found["duplicated"] += len(keys) - len(set(keys))
        found["differ"] += now != whole
        found["asked_again"] += len((place / "asked.log").read_text().split()) - len((folder / "whole" / "asked.log").read_text().split())
        print(f"campaign {i + 1}: {n_killed} kills, {'differs' if now != whole else 'same'}", file=sys.stderr)
    return found | {"labels": len(whole["result"]), "seconds_whole": seconds}


def full_disk(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Files that cannot grow beyond a limit, then can: the campaign must stop, and come to the one that was never stopped."""
    whole = contents(folder / "whole")
    size = (folder / "whole" / "run" / FILE).stat().st_size
    found = {"runs": 0, "stopped": 0, "differ": 0}
    for i, share in enumerate((0.5, 0.6, 0.7, 0.8, 0.9)):
        code = ended(child(place := folder / f"full{i}", config, int(share * size)))
        found["runs"] += 1
        found["stopped"] += code == 3
        assert ended(child(place, config)) == 0, (place / "error").read_text()
        found["differ"] += contents(place) != whole
    return found


def faults(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Labels that an oracle at fault gave and that were learned from, by fault."""
    found = {}
    for how in FAULTS:
        said = ""
        try:
            campaign(folder / how, config, how)
        except CampaignStopped as error:
            said = str(error).partition(":")[0]
        spoiled = [m for m in read_measured(folder / how / "run").values() if {"Au", "Ni"} <= set(m.candidate.elements)]
        met = [r for r in read_trace(folder / how / "run").rows if {"Au", "Ni"} <= r["composition"].keys()]
        found[how] = {"met": len(met), "learned": len(spoiled), "stopped": said}
    return found


def scale(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Seconds of what a round does with the store, against the number of labels in it."""
    n, draw, rows = config["n_candidate"], np.random.default_rng(config["seed"]), []
    crystal = Crystal(4 * np.eye(3), draw.random((12, 3)), np.full(12, 29))
    payload = encode(
        Result("converged", crystal=crystal, labels={"energy_per_atom": -3.0, "volume_per_atom": 5.3}, evidence={"max_force": 0.0})
    )
    counts = [(1 + i % 100, 1 + i // 100 % 100, 1 + i // 10000, 101) for i in range(n)]
    picks = [Pick(Candidate("fcc", (tuple(zip(ELEMENTS, c, strict=True)),)), "known") for c in counts]
    with open_store(folder / "scale", {}, {"budget": "1", "oracle_note": ""}) as store:
        store.open_round(0, picks, {})
        have = 0
        for n_label in config["n_label"]:
            new = [(p.candidate.key, 0, "converged", "", 0.0, payload, digest(payload)) for p in picks[have:n_label]]
            with store._transaction() as connection:
                connection.executemany("INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?)", new)
            have = n_label
            begun = time.process_time()
            records = read_records(store.connection)
            n_charged(records), learnable(records)
            read = time.process_time() - begun
            batch, begun = [p.candidate.key for p in picks[-8:]], time.process_time()
            store.submit(batch)
            rows.append({"labels": n_label, "read_s": read, "submit_s": time.process_time() - begun})
            print(rows[-1], file=sys.stderr)
    logs = np.log([[row["labels"], row["read_s"]] for row in rows])
    return {
        "candidates": n,
        "rounds": rows,
        "exponent": float(np.polyfit(*logs.T, 1)[0]),
        "file_MB": (folder / "scale" / FILE).stat().st_size / 1e6,
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


PARTS = (kills, full_disk, faults, scale, rounds)


def main() -> None:
    """Runs every part that has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--budget", type=float, default=20.0, metavar="MINUTES", help="start no further part after this")
    parser.add_argument("--quick", action="store_true", help="8 kills, a tenth of the candidates; result.json stays as it is")
    parser.add_argument("--smoke", action="store_true", help="one kill, a hundredth of the candidates")
    options = parser.parse_args()
    config, begun = tomllib.loads((HERE / "config.toml").read_text()), time.monotonic()
    small = options.smoke or options.quick
    if small:
        config |= {"n_kills": 1, "n_kill": 2} if options.smoke else {"n_kills": 8}
        config |= {"n_candidate": 1000, "n_label": [100, 400]} if options.smoke else {"n_candidate": 10000, "n_label": [250, 500, 1000]}
    path = HERE / "result.json"
    rows: dict[str, Any] = json.loads(path.read_text())["rows"] if path.exists() and not small else {}
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:  # processes are forked before this one has started anything of JAX's
            if part.__name__ in rows or (time.monotonic() - begun) / 60 > options.budget:
                continue
            if part is full_disk and not (Path(folder) / "whole").exists():
                assert ended(child(Path(folder) / "whole", config)) == 0
            rows[part.__name__] = part(Path(folder), config)
            missing = [p.__name__ for p in PARTS if p.__name__ not in rows]
            if not small:
                path.write_text(json.dumps({"config": config, "rows": rows, "missing": missing}, indent=1) + "\n")
    if options.smoke:
        assert not any(rows["kills"][name] for name in ("lost", "duplicated", "differ")) and rows["kills"]["kills"] >= 1
        assert rows["full_disk"]["differ"] == 0 and rows["full_disk"]["stopped"] >= 1
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
