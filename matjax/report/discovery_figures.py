"""Every figure of the discovery pages by name."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from matjax.report.candidate_figures import measured_against_predicted
from matjax.report.curve_figures import discovery_curve, final_utility
from matjax.report.discovery import Discovery
from matjax.report.discovery_rounds import round_coverage, round_error, round_seconds, round_spread
from matjax.report.mixing_figures import MILLI, gibbs_of_mixing, stability_of_mixing, stability_trend
from matjax.report.pressure_figures import brake_record, pressure
from matjax.report.style import STYLE
from matjax.report.value_figures import pair_matrix, ternary_map

MAX_LINES = 8  # mixing lines and candidates over temperature that are drawn


def discovery_figures(discovery: Discovery) -> dict[str, Figure]:
    """Every figure that the campaign holds data for: {"curve-utility", "pressure-ensemble", "mixing-1-gibbs", ...}.

    A figure whose data the campaign did not store is absent.
    """
    with matplotlib.rc_context(STYLE):
        found = {
            "curve-utility": discovery_curve(discovery),
            "curve-final": final_utility(discovery),
            "pressure-ensemble": pressure(discovery, "pessimistic ensemble", "proxy", "truth"),
            "pressure-single": pressure(discovery, "single model", "proxy_single", "truth_single"),
            "pressure-brake": brake_record(discovery),
            "measured-stability": measured_against_predicted(discovery, "stability", "stability (meV/atom)", MILLI),
            "measured-utility": measured_against_predicted(discovery, "utility", "utility", 1.0),
            "rounds-error": round_error(discovery),
            "rounds-spread": round_spread(discovery),
            "rounds-coverage": round_coverage(discovery),
            "rounds-seconds": round_seconds(discovery),
        }
        for i, mixing in enumerate(discovery.mixing[:MAX_LINES], 1):
            found |= {f"mixing-{i}-gibbs": gibbs_of_mixing(mixing), f"mixing-{i}-stability": stability_of_mixing(mixing)}
        found |= {f"temperature-{i}": stability_trend(trend) for i, trend in enumerate(discovery.trends[:MAX_LINES], 1)}
        found |= {"value-pairs": pair_matrix(discovery.value), "value-ternary": ternary_map(discovery.value)}
    return {name: figure for name, figure in found.items() if figure is not None}
