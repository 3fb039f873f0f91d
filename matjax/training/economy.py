"""The same network at less cost: matrix products of fewer bits.

A wrapper around the network, so that the layers know nothing of it. Its parameters, energies and forces are float32 whatever
the setting, and a model that was trained so is saved and predicts without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax

from matjax.nn import Model
from matjax.types import Graph

PRECISIONS = {"default": None, "float32": "highest", "tensorfloat32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
"""What a setting is called in XLA; the last two round the factors of a product and add it up in float32."""


@dataclasses.dataclass(frozen=True)
class Economical:
    """A network whose matrix products have another precision.

    Attributes:
      inner: The network.
      matmul: One of `PRECISIONS`; "default" is the platform's (float32 on a CPU, TensorFloat-32 on recent NVIDIA GPUs).
    """

    inner: Any
    matmul: str = "default"

    @property
    def cutoff(self) -> float:
        """Of the network, in Å."""
        return self.inner.cutoff

    def __getattr__(self, name: str) -> Any:
        """What else is known of the network, such as its heads."""
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def init(self, rngs: Any, graph: Graph) -> Any:
        """Variables of the network."""
        return self.inner.init(rngs, graph)

    def apply(self, variables: Any, graph: Graph) -> Any:
        """Output of a packed batch."""
        precision = PRECISIONS[self.matmul]
        with contextlib.nullcontext() if precision is None else jax.default_matmul_precision(precision):
            return self.inner.apply(variables, graph)


def economical(model: Model, matmul: str) -> Model:
    """The network with this precision; itself where that changes nothing.

    Raises:
      ValueError: If the precision is not one of `PRECISIONS`, or the CPU would have to compute in it.
    """
    if matmul not in PRECISIONS:
        raise ValueError(f"matmul is {matmul!r}; allowed: {', '.join(PRECISIONS)}")
    if matmul in ("tensorfloat32", "bfloat16") and jax.default_backend() == "cpu":
        raise ValueError(f"matmul = {matmul!r} needs a GPU or TPU; XLA has no such matrix product on a CPU. Use 'default' or 'float32'")
    return model if matmul == "default" else Economical(model, matmul)  # type: ignore[return-value] (a property serves as the cutoff)
