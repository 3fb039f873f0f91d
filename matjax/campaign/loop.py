"""Ask, measure, learn, write down. The loop has no state but the store's: wherever it stopped, it goes on from there."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax import keys
from matjax.campaign.executor import Executor, Inline, Pool, Task
from matjax.campaign.export import write_trace
from matjax.campaign.held_back import HeldBack, audit_facts, audit_state, eased, held_back
from matjax.campaign.limits import Limits
from matjax.campaign.measure import Report, measure
from matjax.campaign.oracle import Oracle, check_elements
from matjax.campaign.prediction import predicted, prospective
from matjax.campaign.problem import Problem
from matjax.campaign.records import Record, history, learnable, n_charged, read_records, read_rounds, reference_energies
from matjax.campaign.store import KNOWN, CampaignStopped, Pick, Store, open_store
from matjax.campaign.trace import Trace, trace_of
from matjax.config import kind_of
from matjax.types import Candidate
from matjax.value.acquisition import Acquisition
from matjax.value.brake import Brake
from matjax.value.proposers import Context, Proposer


def discover(
    problem: Problem,
    oracle: Oracle,
    proposer: Proposer,
    acquisition: Acquisition | None,
    *,
    budget: int,
    batch: int,
    run_dir: str | Path,
    key: jax.Array,
    pool: int = 256,
    executor: Executor | None = None,
    report: Report | None = None,
    settings_text: str = "",
    brake: Brake | None = None,
    limits: Limits | None = None,
) -> Trace:
    """Searches for candidates of high utility, a batch of oracle calls at a time.

    The known set is measured first and not charged. Then, until the budget is spent: a surrogate is learned from all that
    converged, the proposer gives a pool, the acquisition picks a batch, the picks are written down with their predictions,
    measured, and compared with what was predicted. A campaign that was killed, interrupted or stopped goes on when
    it is called again with the same arguments, to the same picks and the same trace.

    Args:
      problem: What is sought.
      oracle: What measures.
      proposer: What proposes.
      acquisition: What picks from the proposals; None for the first of them, without a model.
      budget: Oracle calls: candidates, each with all its crystals. Failures count unless the machine is at fault. It may be
        raised when a campaign is resumed.
      batch: Candidates per round.
      run_dir: Folder of the campaign.
      key: Randomness of all rounds.
      pool: Candidates that are proposed per round.
      executor: Where the oracle runs; in this process by default.
      report: Told what happens, as dicts with a `kind`: known, learn, propose, picks, result, round, end.
      settings_text: The settings as TOML; a campaign with other settings is not resumed.
      brake: Watches the audit picks; where the reward promises too much the search is held back, and at last stopped. Left out,
        the default one.
      limits: Hours and money beside the budget of calls; without limit where left out. They may be changed when a campaign is resumed.

    Returns:
      The trace of everything measured, which also lies in `trace.jsonl`.

    Raises:
      ValueError: If a number makes no sense, the oracle lacks elements, or the folder holds something else.
      CampaignStopped: If the oracle is at fault or out of reach, or the disk is full.
      KeyboardInterrupt: If interrupted, with a message; what has arrived is kept.
    """
    for name, value in (("budget", budget), ("batch", batch), ("pool", pool)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    check_elements(oracle, problem.elements)
    known, run_dir = problem.known(), Path(run_dir)
    brake = Brake() if brake is None else brake
    identity = _identity(known, oracle, proposer, acquisition, batch, pool, key, brake) | {"settings": settings_text}
    changeable = {"budget": str(budget), "oracle_note": oracle.note}
    with open_store(run_dir, identity, changeable) as store, (executor or Inline()).start() as workers:
        tell = report or (lambda _: None)
        campaign = _Campaign(
            problem, oracle, proposer, acquisition, budget, batch, pool, key, store, workers, tell, brake, limits or Limits()
        )
        try:
            reason = campaign.run(known)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(store)) from None
        except CampaignStopped as error:
            _note(store, "stopped", str(error))
            raise
        _note(store, "ended", reason)
        write_trace(run_dir, trace := trace_of(store.connection))
        campaign.report({"kind": "end", "reason": reason})
    return trace


@dataclasses.dataclass(frozen=True, eq=False)
class _Campaign:
    """Everything a round needs, once."""

    problem: Problem
    oracle: Oracle
    proposer: Proposer
    acquisition: Acquisition | None
    budget: int
    batch: int
    pool: int
    key: jax.Array
    store: Store
    workers: Pool
    report: Report
    brake: Brake
    limits: Limits

    def run(self, known: Sequence[Candidate]) -> str:
        """Opens and finishes rounds until there is a reason to end; returns it."""
        if not read_rounds(self.store.connection):
            self.store.open_round(KNOWN, [Pick(candidate, "known") for candidate in known], {})
        while True:
            records, rounds = read_records(self.store.connection), read_rounds(self.store.connection)
            if (unfinished := next((r["round"] for r in rounds if r["is_open"]), None)) is not None:
                self.finish(unfinished, records)
                continue
            spent = n_charged(records)
            if spent >= self.budget:
                return f"the budget is spent: {spent} of {self.budget} oracle calls"
            if (payable := self.limits.n_left(records)) < 1:
                return self.limits.reason(records)
            if (audit := audit_state(self.brake, records)).stopped:
                return f"the reward was caught out {audit.n_breach} times by the audit picks; `matjax audit` says more"
            picks, facts = self.ask(i := len(rounds) - 1, records, int(min(self.batch, self.budget - spent, payable)))
            if not picks:
                return f"nothing is left to propose after {spent} of {self.budget} oracle calls"
            self.store.open_round(i, picks, facts)
            self.report({"kind": "picks", "round": i, "candidates": [p.candidate.formula for p in picks], "why": [p.why for p in picks]})

    def finish(self, i: int, records: Sequence[Record]) -> None:
        """Measures what is pending in a round, then settles what its candidates are worth."""
        pending = [record for record in records if record.round == i and not record.results]
        begun = time.perf_counter()
        if i == KNOWN:
            self.report({"kind": "known", "n": sum(record.round == i for record in records), "pending": len(pending)})
        tasks = [Task(record.candidate.key, tuple(self.problem.cells(record.candidate))) for record in pending]
        measure(self.store, self.oracle, self.workers, pending, tasks, self.report, reference_energies(records))
        seconds = time.perf_counter() - begun
        records = read_records(self.store.connection)
        measured = learnable(records)
        if i == KNOWN and records and not measured:
            raise CampaignStopped(f"nothing of the known set converged; the first error: {records[0].error}")
        truth = self.problem.truth(measured)
        own = [record for record in records if record.round == i]
        truth = {r.candidate.key: truth[r.candidate.key] for r in own if r.converged and (i != KNOWN or r.candidate.key in truth)}
        told = [dataclasses.replace(record, truth=truth.get(record.candidate.key)) for record in own]
        facts = {**(prospective(told) if i != KNOWN else {}), "seconds_oracle": seconds}
        self.store.close_round(i, truth, facts)
        write_trace(self.store.run_dir, trace_of(self.store.connection))
        self.report({"kind": "round", "round": i, **facts})

    def ask(self, i: int, records: Sequence[Record], n: int) -> tuple[list[Pick], dict[str, Any]]:
        """The picks of a round with their predictions, and what its record shows; a function of records and key alone."""
        key, measured, begun = keys.child(self.key, "round", i), learnable(records), time.perf_counter()
        surrogate, n_reward, facts = None, [0], dict[str, Any](n_train=len(measured))
        audit = audit_state(self.brake, records)
        if self.acquisition is not None:
            self.report({"kind": "learn", "round": i, "n": len(measured)})
            surrogate = self.problem.learn(measured, round=i, run_dir=self.store.run_dir, key=keys.child(key, "learn"))
            surrogate = held_back(surrogate, records, audit)
            facts |= {**surrogate.facts, **audit_facts(audit)}
        learned = time.perf_counter()
        self.report({"kind": "propose", "round": i})
        context = self._context(surrogate, records, n_reward)
        found = eased(self.proposer, audit.factor).propose(self.pool, context, keys.child(key, "propose"))
        found = list({c.key: c for c in found if c.key not in context.seen}.values())
        picks = self._pick(surrogate, found, n, keys.child(key, "pick"), records)
        facts |= {"n_pool": len(found), "n_reward_calls": n_reward[0]}
        return picks, facts | {"seconds_learn": learned - begun, "seconds_propose": time.perf_counter() - learned}

    def _context(self, surrogate: HeldBack | None, records: Sequence[Record], n_reward: list[int]) -> Context:
        """What the proposer may know; counts candidates whose reward it asks for."""
        space = self.problem.space

        def reward(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
            n_reward[0] += len(lattice)
            assert surrogate is not None
            return surrogate.reward(space.decode(lattice, counts))

        seen = frozenset(record.candidate.key for record in records)
        return Context(space=space, reward=None if surrogate is None else reward, history=history(records), seen=seen)

    def _pick(
        self, surrogate: HeldBack | None, found: Sequence[Candidate], n: int, key: jax.Array, records: Sequence[Record]
    ) -> list[Pick]:
        """The batch; an acquisition that can be set `against` a value is set against the best measured log utility."""
        if surrogate is None or self.acquisition is None:
            return [Pick(candidate, kind_of(type(self.proposer))) for candidate in found[:n]]
        if not found:
            return []
        log_utility = np.asarray(surrogate.log_utility(found), float)
        bad = np.flatnonzero(~np.isfinite(log_utility).all(axis=0))
        if len(bad):
            raise ValueError(
                f"the surrogate's log utility is not finite for {len(bad)} of {len(found)} candidates, such as {found[bad[0]].formula}"
            )
        measured = [float(r.truth["log_utility"]) for r in records if r.picked and r.truth]
        against = getattr(self.acquisition, "against", None)
        acquisition = self.acquisition if against is None else against(max(measured, default=-math.inf))
        chosen = acquisition.pick(log_utility + surrogate.log_probability(found), min(n, len(found)), key)
        picked = [found[index] for index, _ in chosen]
        told = predicted(surrogate, picked, log_utility[:, [index for index, _ in chosen]])
        return [Pick(candidate, why, said) for candidate, (_, why), said in zip(picked, chosen, told, strict=True)]


def _identity(
    known: Sequence[Candidate],
    oracle: Oracle,
    proposer: Proposer,
    acquisition: Acquisition | None,
    batch: int,
    pool: int,
    key: jax.Array,
    brake: Brake,
) -> dict[str, str]:
    """What must be the same when a campaign is resumed."""
    shown = lambda thing: repr(thing) if dataclasses.is_dataclass(thing) else type(thing).__qualname__
    return {
        "key": np.asarray(jax.random.key_data(key)).astype(np.uint32).tobytes().hex(),
        "oracle": f"{oracle.name} {oracle.version}",
        "proposer": shown(proposer),
        "acquisition": shown(acquisition),
        "batch": str(batch),
        "pool": str(pool),
        "brake": shown(brake),
        "known set": f"{len(known)} candidates, {hashlib.sha256(''.join(c.key for c in known).encode()).hexdigest()[:16]}",
    }


def _note(store: Store, kind: str, text: str) -> None:
    """An event at the end of a run; a disk that is full must not hide why the run ended."""
    try:
        store.event(kind, text=text)
    except CampaignStopped:
        if kind == "ended":
            raise


def _interrupted(store: Store) -> str:
    records = read_records(store.connection)
    _note(store, "interrupted", "")
    return f"interrupted; {n_charged(records)} oracle calls are kept in {store.run_dir}, and the same command goes on from there"
