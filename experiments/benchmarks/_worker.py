"""One model in a process of its own, timed on request: what lets peers with other libraries be measured turn by turn.

The parent starts `PYTHON FILE SETTINGS` with `Worker`, bound to one core or two; FILE calls `serve` with a class. Building,
compiling and warming up happen before the first answer. Then the parent asks for jobs by name, one at a time, of one worker after
the other, so that whatever else the machine does meets all alike. Only NumPy is needed here: every peer's environment has it.
"""

import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent


class Worker:
    """A running model.

    Compiled programs are kept in `cache`, if there is one; without it the seconds to compile are true.

    Attributes:
      facts: What it says of itself: parameters, versions, seconds to be ready.
    """

    def __init__(self, python: str | Path, file: str, settings: dict, *, threads: int = 1, flags: str = "", cache: Path | None = None):
        cores = sorted(os.sched_getaffinity(0))[:threads]
        if len(cores) < threads:
            raise ValueError(f"{threads} threads are asked for; this process may use {len(cores)} cores")
        count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        kept = {"JAX_COMPILATION_CACHE_DIR": str(cache)} if cache else {"JAX_ENABLE_COMPILATION_CACHE": "false"}
        environment = {**os.environ, **count, **kept, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": flags}
        answers, wanted = os.pipe()  # a channel of its own: libraries print as they please
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [str(python), str(HERE / file), json.dumps({**settings, "threads": threads, "answers": wanted})],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            text=True,
            env=environment,
            pass_fds=(wanted,),
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        os.close(wanted)
        self._answers = os.fdopen(answers)
        self._name = f"{file} {settings.get('config', '')}"
        self.facts = self._answer()

    def __call__(self, job: str, **given) -> dict:
        """Runs a job: what it returned, with its processor and wall seconds."""
        self._process.stdin.write(json.dumps([job, given]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        line = self._answers.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            raise RuntimeError(f"{self._name} ended:\n" + self._said.read().decode(errors="replace").strip()[-2000:])
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()
        self._answers.close()
        self._said.close()


def serve(build: Callable[[dict], object]) -> None:
    """Answers the parent: builds the model from the settings, then calls its methods by name until the parent is done."""
    settings = json.loads(sys.argv[1])
    with os.fdopen(settings["answers"], "w") as answers:
        say = lambda answer: print(json.dumps(answer), file=answers, flush=True)
        start = time.process_time()
        model = build(settings)
        say({**model.facts, "ready_cpu_s": round(time.process_time() - start, 2)})
        for line in sys.stdin:
            job, given = json.loads(line)
            cpu, wall = time.process_time(), time.perf_counter()
            value = getattr(model, job)(**given)
            say({"value": value, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall})


def falling(done: float, warmup: float = 0.05) -> float:
    """Share of the peak learning rate when so much of a run is done: linear warm-up, then half a cosine."""
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * min((done - warmup) / (1 - warmup), 1.0)))


def rows_of(n: int, batch: int, n_step: int, seed: int) -> Iterator[list[int]]:
    """Rows of n_step batches, epoch after epoch in random order."""
    rng, left = random.Random(seed), n_step
    while left:
        order = rng.sample(range(n), n)
        for k in range(0, min(n, batch * left), batch):
            yield order[k : k + batch]
            left -= 1


def throughput(workers: dict[str, Worker], rounds: int) -> dict[str, dict]:
    """Crystals per second of processor and of wall time, in training and in inference: medians over rounds, turn by turn."""
    found = {name: {"train": [], "infer": []} for name in workers}
    for _ in range(rounds):
        for job in ("train", "infer"):
            for name, worker in workers.items():
                answer = worker(job)
                found[name][job].append((answer["value"] / answer["cpu"], answer["value"] / answer["wall"]))
    middle = lambda rows, k: round(statistics.median(row[k] for row in rows), 2)
    return {
        name: {f"{job}_per_{clock}_s": middle(rows, k) for job, rows in jobs.items() for k, clock in enumerate(("cpu", "wall"))}
        for name, jobs in found.items()
    }
