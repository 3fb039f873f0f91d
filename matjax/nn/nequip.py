"""The NequIP network of a given size, made of convolution layers."""

from __future__ import annotations

from matjax.nn.convolution import Convolution
from matjax.nn.features import channels
from matjax.nn.head import Head
from matjax.nn.model import Equivariant


def nequip(
    irreps: str = "32x0e+32x1o",
    n_layer: int = 2,
    *,
    cutoff: float = 5.0,
    n_basis: int = 8,
    radial: tuple[int, ...] = (64,),
    norm: bool = True,
    skip: str = "shared",
    embedding: str = "table",
    width: int = 0,
    heads: tuple[Head, ...] = (),
    fidelities: tuple[str, ...] = (),
    charge: bool = False,
    wall: bool = False,
    backend: str = "xla",
) -> Equivariant:
    """A NequIP network: `n_layer` convolutions, the last of which keeps scalars (and what heads need), and a linear readout.

    Args:
      irreps: Hidden irreps; channels may taper, as in "128x0e+64x1o+32x2e+32x3o". Harmonics go up to its largest l.
      n_layer: Convolutions.
      cutoff: In Å.
      n_basis: Radial basis functions.
      radial: Hidden widths of the radial network.
      norm: Equivariant RMS norm (Nequix); without it, nequip.
      skip: "shared" (Nequix), or "element" (nequip: bilinear in features and element, none in the first layer).
      embedding: "table", or "network" for physical descriptors of the elements.
      width: Channels of the embedding; 0 for as many as there are scalars.
      heads: What it says beside the energy.
      fidelities: Levels of theory that the answer is conditioned on.
      charge: Condition the answer on a total charge.
      wall: Add the repulsion of screened nuclei at short range.
      backend: Of the edge operation, "xla" or "cuequivariance".

    Example:
      >>> len(nequip("8x0e+8x1o", 3).layers)
      3

    Source:
      Batzner et al. (2022), Nat. Commun. 13, 2453; Koker et al. (2025), arXiv 2508.16067.
    """
    needed = {"0e"}.union(*(channels(head.irreps) for head in heads))
    last = "+".join(f"{n}x{ir}" for ir, n in channels(irreps).items() if ir in needed)
    skips = ("none" if skip == "element" else skip,) + (skip,) * (n_layer - 1)
    layers = tuple(Convolution(irreps if i < n_layer - 1 else last, radial, norm, skips[i], backend) for i in range(n_layer))
    return Equivariant(
        irreps=irreps,
        n_layer=0,
        cutoff=cutoff,
        n_basis=n_basis,
        layers=layers,
        embedding=embedding,
        width=width,
        readout="linear",
        heads=heads,
        fidelities=fidelities,
        charge=charge,
        wall=wall,
        backend=backend,
    )
