"""Equivariant linear maps: channels mix within an irrep, components never."""

from __future__ import annotations

import flax.linen as nn

from matjax.nn.features import Features, channels


class Linear(nn.Module):
    """Maps {irrep: [n, 2l+1, n_channel]} to the irreps named; irreps that the input lacks are left out.

    Attributes:
      irreps: Such as "32x0e+16x1o".
    """

    irreps: str

    @nn.compact
    def __call__(self, features: Features) -> Features:
        """Mixes channels; no bias, so that zero stays zero."""
        wanted = channels(self.irreps)
        return {ir: nn.Dense(wanted[ir], use_bias=False, name=f"linear_{ir}")(x) for ir, x in features.items() if ir in wanted}
