"""Campaigns: oracles that settle what models cannot, and the loop that asks them, stores their answers and learns."""

from matjax.campaign.ase_oracle import AseOracle, Emt
from matjax.campaign.baseline import run_baseline
from matjax.campaign.command_oracle import Command
from matjax.campaign.confirm import Confirmation, Listed, confirm
from matjax.campaign.executor import Executor, Inline, Processes
from matjax.campaign.export import FORMATS, candidates_csv, export, write_candidates, write_structures, write_trace
from matjax.campaign.futures import Submitted, Threads
from matjax.campaign.gpaw_oracle import Gpaw
from matjax.campaign.human_oracle import Human
from matjax.campaign.lammps_oracle import Lammps
from matjax.campaign.limits import Limits, spent_hours
from matjax.campaign.loop import discover
from matjax.campaign.oracle import FAILURES, Oracle, check_elements, check_result, failed, failure_class
from matjax.campaign.outside import Imported, import_results
from matjax.campaign.potential_oracle import Potential
from matjax.campaign.problem import Measured, Problem, Surrogate
from matjax.campaign.recipe import Recipe
from matjax.campaign.retry import retry
from matjax.campaign.scratch import Scratch
from matjax.campaign.store import CampaignStopped
from matjax.campaign.table_oracle import Table
from matjax.campaign.trace import Trace, read_measured, read_trace, status
from matjax.campaign.why import why
from matjax.simulate.dynamics import Dynamics

__all__ = [
    "FAILURES",
    "FORMATS",
    "AseOracle",
    "CampaignStopped",
    "Command",
    "Confirmation",
    "Dynamics",
    "Emt",
    "Executor",
    "Gpaw",
    "Human",
    "Imported",
    "Inline",
    "Lammps",
    "Limits",
    "Listed",
    "Measured",
    "Oracle",
    "Potential",
    "Problem",
    "Processes",
    "Recipe",
    "Scratch",
    "Submitted",
    "Surrogate",
    "Table",
    "Threads",
    "Trace",
    "candidates_csv",
    "check_elements",
    "check_result",
    "confirm",
    "discover",
    "export",
    "failed",
    "failure_class",
    "import_results",
    "read_measured",
    "read_trace",
    "retry",
    "run_baseline",
    "spent_hours",
    "status",
    "why",
    "write_candidates",
    "write_structures",
    "write_trace",
]
