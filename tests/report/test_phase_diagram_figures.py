import numpy as np

from matjax.report.phase_diagram_figures import binary_diagram, ternary_diagram
from matjax.thermo.calphad import TieLines


def lens(n: int = 9) -> TieLines:
    """Two phases that melt into each other between 800 and 1000 K, and a gap below 700 K."""
    levels = np.linspace(820, 980, n)
    x = (levels - 800) / 200
    ends = np.stack([x**1.5, x**0.7], 1)
    gap = np.array([[0.2, 0.8], [0.3, 0.7]])
    second = np.concatenate([gap, ends])
    phase = np.array([[0, 0]] * 2 + [[1, 0]] * n)
    return TieLines(np.concatenate([[500.0, 600.0], levels]), phase, np.stack([1 - second, second], -1))


def test_boundaries_are_curves_and_fields_have_names():
    figure = binary_diagram(("Cu", "Ni"), ("FCC", "LIQUID"), lens(), (400.0, 1100.0))
    axes = figure.axes[0]
    assert len(axes.lines) == 4  # two of the gap, two of the lens
    assert sorted(len(line.get_xdata()) for line in axes.lines) == [2, 2, 9, 9]
    assert {text.get_text() for text in axes.texts} == {"FCC", "LIQUID"}
    assert axes.get_ylim() == (400.0, 1100.0)


def test_triangles_are_filled():
    x = np.array([[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], [[0.7, 0.1, 0.2], [0.2, 0.6, 0.2]]])
    lines = TieLines(np.full(2, 900.0), np.array([[0, 1], [0, 1]]), x)
    corners = np.array([[[0.7, 0.1, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]])
    triangles = TieLines(np.full(1, 900.0), np.array([[0, 1, 2]]), corners)
    axes = ternary_diagram(("Al", "Co", "Ni"), ("A", "B", "C"), lines, triangles, 900.0).axes[0]
    assert len(axes.patches) == 2 and {"A", "B", "C", "Al", "Co", "Ni"} <= {text.get_text() for text in axes.texts}
    assert "900 K" in axes.get_title(loc="left")
