"""The report: what a stress test and a discovery found, as one HTML file that needs nothing beside it."""

from matjax.report.discovery import Discovery
from matjax.report.discovery_figures import discovery_figures
from matjax.report.discovery_read import find_discovery, read_discovery
from matjax.report.figures import figures
from matjax.report.page import write_report
from matjax.report.read import read_run
from matjax.report.run import Run

__all__ = ["Discovery", "Run", "discovery_figures", "figures", "find_discovery", "read_discovery", "read_run", "write_report"]
