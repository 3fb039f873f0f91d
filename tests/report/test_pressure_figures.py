"""Proxy against truth, and the record of the brake, drawn from what is stored alone."""

import numpy as np
from matplotlib.axes import Axes

from matjax.report import read_discovery
from matjax.report.pressure_figures import brake_record, pressure
from tests.report.campaigns import make_record, make_trace, write_campaign


def lines(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}


def test_the_brake_is_drawn_as_it_was_recorded(tmp_path):
    figure = brake_record(read_discovery(write_campaign(tmp_path, make_record(), make_trace())))
    assert figure is not None
    found = lines(figure.axes[0])
    np.testing.assert_allclose(found["evidence against the reward"], [[0, 1.0], [1, 3.5], [2, 1.0], [3, 0.9], [4, 0.8]])
    np.testing.assert_allclose(found["KL budget, of the first"][:, 1], [1, 1, 0.5, 0.5, 0.5])
    dotted = [line for line in figure.axes[0].get_lines() if len(set(np.asarray(line.get_xdata()))) == 1]
    assert [np.asarray(line.get_xdata())[0] for line in dotted] == [2], "the breach was found out before round 2"


def test_without_audit_picks_there_is_no_record(tmp_path):
    record = make_record()
    record["rounds"] = [{"round": 0, "coverage_90": 0.8}]
    assert brake_record(read_discovery(write_campaign(tmp_path, record, make_trace()))) is None


def test_the_gap_is_between_promise_and_truth(tmp_path):
    discovery = read_discovery(write_campaign(tmp_path, make_record(), make_trace()))
    figure = pressure(discovery, "ensemble", "proxy", "truth")
    assert figure is not None
    found = lines(figure.axes[0])
    last = discovery.pressure[-1]
    np.testing.assert_allclose(found["promised by the proxy"][-1], [last["n"], last["proxy"]])
    np.testing.assert_allclose(found["true"][-1], [last["n"], last["truth"]])
