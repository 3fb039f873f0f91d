"""Fronts and hypervolumes: by definition, by closed form, and by counting random points."""

import numpy as np
import pytest

from matjax.value.pareto import hypervolume, non_dominated, non_dominated_sort


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


@pytest.mark.parametrize("n_goal", [1, 2, 3, 4])
def test_the_front_is_what_nothing_dominates(n_goal):
    points = np.random.default_rng(n_goal).integers(0, 5, (60, n_goal)).astype(float)  # with ties and equal points
    written_out = [not any(dominates(q, p) for q in points) for p in points]
    np.testing.assert_array_equal(non_dominated(points), written_out)


def test_fronts_are_peeled_one_after_the_other():
    points = np.random.default_rng(0).integers(0, 6, (50, 3)).astype(float)
    front = non_dominated_sort(points)
    for i, p in enumerate(points):
        above = [front[j] for j, q in enumerate(points) if dominates(q, p)]
        assert front[i] == (max(above) + 1 if above else 0)
    assert front.max() > 2


def test_a_staircase_and_a_box():
    steps = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert hypervolume(steps, np.zeros(2)) == 6.0
    assert hypervolume(np.array([[2.0, 3.0, 4.0, 5.0]]), np.ones(4)) == 1 * 2 * 3 * 4
    assert hypervolume(np.array([[2.0, 0.5]]), np.ones(2)) == 0.0 == hypervolume(np.zeros((0, 3)), np.zeros(3))


def test_boxes_that_overlap_are_counted_once():
    """Inclusion and exclusion of three boxes."""
    boxes = np.array([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0], [2.0, 2.0, 1.0]])
    pairs = [np.minimum(boxes[i], boxes[j]).prod() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert hypervolume(boxes, np.zeros(3)) == pytest.approx(boxes.prod(1).sum() - sum(pairs) + boxes.min(0).prod())


@pytest.mark.parametrize("n_goal", [3, 5])
def test_against_counting(n_goal):
    rng = np.random.default_rng(n_goal)
    points, thrown = rng.random((25, n_goal)), rng.random((20_000, n_goal))
    share = (thrown[:, None] < points[None]).all(2).any(1)
    assert hypervolume(points, np.zeros(n_goal)) == pytest.approx(share.mean(), abs=4 * share.std() / np.sqrt(len(share)))


def test_laws():
    rng = np.random.default_rng(0)
    points, reference = rng.normal(size=(30, 3)), np.full(3, -3.0)
    volume = hypervolume(points, reference)
    assert hypervolume(points[::-1][:, [2, 0, 1]], reference) == pytest.approx(volume)
    assert hypervolume(points[non_dominated(points)], reference) == pytest.approx(volume)
    assert hypervolume(np.concatenate([points, points]), reference) == pytest.approx(volume)
    assert hypervolume(2 * points + 1, 2 * reference + 1) == pytest.approx(8 * volume)
    assert hypervolume(points[:20], reference) <= volume


def test_what_is_refused():
    with pytest.raises(ValueError, match="must be finite"):
        non_dominated(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="one finite value for each of 2 goals"):
        hypervolume(np.ones((3, 2)), np.zeros(3))
