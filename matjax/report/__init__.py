"""The report: what a stress test found, as one HTML file that needs nothing beside it."""

from matjax.report.figures import figures
from matjax.report.page import write_report
from matjax.report.read import read_run
from matjax.report.run import Run

__all__ = ["Run", "figures", "read_run", "write_report"]
