"""Campaigns: oracles that settle what models cannot, and the loop that asks them, stores their answers and learns."""

from matjax.campaign.ase_oracle import AseOracle, Emt
from matjax.campaign.baseline import run_baseline
from matjax.campaign.executor import Executor, Inline, Processes
from matjax.campaign.export import FORMATS, candidates_csv, export, write_candidates, write_structures, write_trace
from matjax.campaign.lammps_oracle import Lammps
from matjax.campaign.loop import discover
from matjax.campaign.oracle import FAILURES, Oracle, check_elements, check_result, failed, failure_class
from matjax.campaign.problem import Measured, Problem, Surrogate
from matjax.campaign.recipe import Recipe
from matjax.campaign.store import CampaignStopped
from matjax.campaign.trace import Trace, read_measured, read_trace, status

__all__ = [
    "FAILURES",
    "FORMATS",
    "AseOracle",
    "CampaignStopped",
    "Emt",
    "Executor",
    "Inline",
    "Lammps",
    "Measured",
    "Oracle",
    "Problem",
    "Processes",
    "Recipe",
    "Surrogate",
    "Trace",
    "candidates_csv",
    "check_elements",
    "check_result",
    "discover",
    "export",
    "failed",
    "failure_class",
    "read_measured",
    "read_trace",
    "run_baseline",
    "status",
    "write_candidates",
    "write_structures",
    "write_trace",
]
