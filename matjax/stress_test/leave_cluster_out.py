"""Leave-one-cluster-out: crystals that resemble each other in composition and structure are held out together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from matjax.config import spec
from matjax.data.clusters import cluster_labels
from matjax.data.descriptors import element_fractions, property_statistics
from matjax.data.shifts import LeaveOut
from matjax.data.split import Sizes
from matjax.graph.descriptors import structure_descriptors
from matjax.types import Crystal, Dataset, Split

DESCRIPTORS: dict[str, Callable[[Sequence[Crystal]], np.ndarray]] = {
    "composition": lambda crystals: property_statistics(element_fractions(crystals)),
    "structure": lambda crystals: np.stack([structure_descriptors(crystal) for crystal in crystals]),
}
"""What clusters are made of, by name."""


@spec
class LeaveClusterOut:
    """Each cluster of similar crystals is held out in turn; clusters are of descriptors, limited in size, blind to labels.

    The splits carry the clusters as the domain column `cluster`. Clusters in a model's latent space are
    `LeaveOut("cluster")` on `dataset.with_domains(cluster=cluster_labels(features))`.

    Attributes:
      features: `composition` (statistics of elemental properties), `structure`, or `composition+structure`.
      n_cluster: Clusters that k-means starts from.
      smallest: Smallest share of the crystals in a cluster.
      largest: Largest share.
      seed: Of k-means; the clusters do not depend on the key, so that every seed and method has the same.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.

    Source:
      Meredig et al. (2018), Mol. Syst. Des. Eng. 3, 819 (leave-one-cluster-out).
    """

    features: str = "composition+structure"
    n_cluster: int = 20
    smallest: float = 0.01
    largest: float = 0.1
    seed: int = 0
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses unknown features."""
        if not set(self.features.split("+")) <= set(DESCRIPTORS):
            raise ValueError(f"features={self.features!r} of clusters; allowed, joined by +: {', '.join(DESCRIPTORS)}")

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split per cluster, the largest first.

        Raises:
          ValueError: If there are no such clusters (`matjax.data.clusters`), or crystals do not suffice for a part.
        """
        labels = cluster_labels(self._features(dataset), self.n_cluster, smallest=self.smallest, largest=self.largest, seed=self.seed)
        named = dataset.with_domains(cluster=np.array([f"cluster {label}" for label in labels]))
        for split in LeaveOut("cluster", min_size=2, sizes=self.sizes)(named, key):
            yield dataclasses.replace(split, shift=f"leave_cluster_out({self.features})")

    def _features(self, dataset: Dataset) -> np.ndarray:
        """Descriptors [n, n_feature]."""
        return np.concatenate([DESCRIPTORS[name](dataset.crystals) for name in self.features.split("+")], 1)

    def describe(self) -> str:
        """The shift in one line."""
        return f"clusters of similar {self.features.replace('+', ' and ')} held out, each in turn"
