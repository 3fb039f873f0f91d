"""`matjax new-layer`: an equivariant layer of your own, and the test that holds it against the contract."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

LAYER = '''"""{title}: a layer for matjax networks."""

import flax.linen as nn
import jax

from matjax.nn import EdgeFeatures, Features, Linear, NodeFeatures


class {title}(nn.Module):
    """Every atom hears its neighbours' scalars, from where they are; what it has is mixed and kept.

    Attributes:
      irreps: Output irreps, such as "32x0e+32x1o".
    """

    irreps: str

    @nn.compact
    def __call__(self, features: Features, edges: EdgeFeatures, nodes: NodeFeatures) -> Features:
        """Maps features to features; change what stands here.

        Args:
          features: {{irrep: [n_atom, 2l+1, n_channel]}}. Channels may be mixed, components may not.
          edges: lengths [n_edge] in Å; harmonics {{irrep: [n_edge, 2l+1]}} of the directions; basis [n_edge, n_basis] of the
            lengths, which fades out at the cutoff; senders and receivers [n_edge], receivers sorted.
          nodes: embedding [n_atom, n_channel] of the elements; mask [n_atom], False on padding; average_degree.
        """
        scalars = features["0e"]
        weight = nn.Dense(scalars.shape[-1], use_bias=False, name="radial")(edges.basis)  # a bias would be felt beyond the cutoff
        message = scalars[edges.senders] * weight[:, None, :]
        collect = lambda x: jax.ops.segment_sum(x, edges.receivers, len(scalars), indices_are_sorted=True) / nodes.average_degree
        heard = {{irrep: collect(message * y[:, :, None]) for irrep, y in edges.harmonics.items()}}
        update, kept = Linear(self.irreps, name="update")(heard), Linear(self.irreps, name="keep")(features)
        return {{**kept, **{{irrep: x + kept[irrep] if irrep in kept else x for irrep, x in update.items()}}}}
'''

TEST = '''"""{title} keeps the contract of layers: turned, reordered, padded, at the cutoff, under jit, vmap and grad."""

import jax
import pytest
from {module} import {title}

from matjax.nn import Equivariant
from matjax.testing import check_layer, check_model


@pytest.mark.parametrize("irreps_in", ["4x0e", "4x0e+2x1o"])
def test_it_keeps_the_contract(irreps_in):
    """As a layer, for whatever comes in."""
    check_layer({title}("4x0e+2x1o"), irreps_in=irreps_in, key=jax.random.key(0))


def test_a_network_with_it_keeps_the_laws_of_matter():
    """As a part of a network."""
    model = Equivariant("4x0e+2x1o", n_layer=1, n_basis=4, layers=({title}("4x0e+2x1o"),))
    check_model(model, key=jax.random.key(0))
'''


def new_layer(
    name: Annotated[str, typer.Argument(help="Name of the layer, such as my-layer, my_layer or MyLayer.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; made if it is not there.")] = Path("."),
) -> None:
    """Write an equivariant layer that works, and its test: a start for one of your own.

    The layer is a flax module (features, edges, nodes) -> features; the test turns, permutes, pads and differentiates it.
    Nothing is overwritten.

    **Examples**

    `matjax new-layer my-layer` writes my_layer.py and test_my_layer.py

    `matjax new-layer Attention --out layers && pytest layers`
    """
    module, title = names(name)
    files = {out / f"{module}.py": LAYER, out / f"test_{module}.py": TEST}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise ValueError(f"{' and '.join(there)}: already there, and nothing is overwritten; choose another NAME or another --out")
    out.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text.format(module=module, title=title), encoding="utf-8")
        typer.echo(f"wrote {path}")
    typer.echo(f"now: pytest {out / f'test_{module}.py'}")
    typer.echo(f'then: Equivariant(irreps="32x0e+32x1o", layers=({title}("32x0e+32x1o"),))')


def names(name: str) -> tuple[str, str]:
    """(module, class) of a layer's name: my-layer, my_layer and MyLayer are my_layer and MyLayer.

    Example:
      >>> names("my-layer"), names("RBFMixer2")
      (('my_layer', 'MyLayer'), ('rbf_mixer2', 'RBFMixer2'))

    Raises:
      ValueError: If no Python module can have the name.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name):
        raise ValueError(f"{name!r} cannot name a layer; use letters, digits and single dashes or underscores, a letter first: my-layer")
    words = [w for part in re.split("[-_]", name) for w in re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", part)]
    module, title = "_".join(words).lower(), "".join(w[0].upper() + w[1:] for w in words)
    modules = {"matjax", "flax", "jax", "pytest"} | sys.stdlib_module_names  # a file of that name would be imported in their place
    if keyword.iskeyword(module) or keyword.iskeyword(title) or module in modules or title in TAKEN:
        raise ValueError(f"{name!r} cannot name a layer: Python, JAX or matjax has the name {module!r} or {title!r} already")
    return module, title


TAKEN = ("Linear", "Features", "EdgeFeatures", "NodeFeatures", "Equivariant")
"""Names that the written files import."""
