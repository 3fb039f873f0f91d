"""Trade-offs between goals: which alloys no other beats in everything, and how much they dominate. Larger is better in every goal."""

from __future__ import annotations

import numpy as np


def non_dominated(points: np.ndarray) -> np.ndarray:
    """Whether no other point is at least as good in every goal and better in one.

    Equal points do not dominate each other. Sorted by their sum, a point can only be dominated by an earlier one, and then by one that
    is itself not dominated.

    Args:
      points: [n, n_goal], finite.

    Returns:
      Mask [n].

    Raises:
      ValueError: If a value is not finite.
    """
    points = _checked(points)
    kept, mask = np.zeros((0, points.shape[1])), np.zeros(len(points), bool)
    for i in np.lexsort((*points.T, points.sum(1)))[::-1]:
        beaten = (kept >= points[i]).all(1) & (kept > points[i]).any(1)
        if not beaten.any():
            kept, mask[i] = np.concatenate([kept, points[i : i + 1]]), True
    return mask


def non_dominated_sort(points: np.ndarray) -> np.ndarray:
    """The front of each point [n]: 0 where nothing dominates it, 1 where only points of front 0 do, and so on.

    Source:
      Deb, Pratap, Agarwal & Meyarivan (2002), NSGA-II, section III A.
    """
    points = _checked(points)
    front, left = np.zeros(len(points), int), np.arange(len(points))
    for k in range(len(points)):
        if not len(left):
            break
        best = non_dominated(points[left])
        front[left[best]], left = k, left[~best]
    return front


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume that is dominated by the points and better than `reference` in every goal, exactly.

    The sum over points of what each adds to those after it: its box less the hypervolume of the others cut to that box. Two goals are
    a staircase. The cost grows fast with goals and points; it is for fronts of some hundred points and up to about five goals.

    Args:
      points: [n, n_goal], finite; what is not better than the reference in every goal adds nothing.
      reference: The point that counts as worth nothing [n_goal].

    Raises:
      ValueError: If a value is not finite, or the shapes do not fit.

    Source:
      While, Bradstreet & Barone (2012), A fast way of calculating exact hypervolumes (WFG).
    """
    points, reference = _checked(points), np.asarray(reference, float)
    if reference.shape != points.shape[1:] or not np.isfinite(reference).all():
        raise ValueError(f"the reference is {reference.tolist()}; it must have one finite value for each of {points.shape[1]} goals")
    gains = points[(points > reference).all(1)] - reference
    return _volume(_front(gains))


def _volume(front: np.ndarray) -> float:
    """Volume between the origin and points [n, n_goal], positive, none dominated, none twice."""
    if front.shape[1] == 1 or not len(front):
        return float(front.max(initial=0.0))
    front = front[np.argsort(-front[:, 0])]
    if front.shape[1] == 2:
        return float(front[:, 0] @ np.diff(front[:, 1], prepend=0.0))
    return sum(float(p.prod()) - _volume(_front(np.minimum(front[i + 1 :], p))) for i, p in enumerate(front))


def _front(points: np.ndarray) -> np.ndarray:
    """The points that are not dominated, each once."""
    return np.unique(points[non_dominated(points)], axis=0)


def _checked(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, float)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError(f"points have shape {points.shape}; they must be finite and [n, n_goal]")
    return points
