"""Nequix weights in matjax's own layers: the file is read here, and answered by `nn.nequip` to float32's last digits.

A `.nqx` file is one line of JSON and then NumPy arrays, one after another. Nothing of it is code, and none of Nequix's
libraries is needed. What differs in convention is folded into the weights: the normalisation of linear maps and of the
radial basis, the gain of silu, the order of paths, and the direction of edges (the sign of odd harmonics).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from matjax.data.elements import N_ELEMENT
from matjax.graph import Shape
from matjax.nn import Equivariant, nequip
from matjax.nn.edge_operation import Path as Route
from matjax.nn.edge_operation import paths
from matjax.nn.features import channels, degree, irrep_of
from matjax.nn.radial_weights import GAIN
from matjax.thermo import References
from matjax.training.predictor import GraphPredictor
from matjax.training.supervision import Supervision

SHAPE = Shape(n_node=32, n_edge=2048, n_graph=9)
"""First batch shape: about one average crystal, since padding costs as much as edges do; larger ones get a higher rung."""

Tree = dict[str, Any]


def load_nequix(path: str | Path) -> GraphPredictor:
    """The potential in a Nequix file, as an ensemble of one.

    Energies are total energies of the functional it was trained on, forces and stress their derivatives.

    Args:
      path: A `.nqx` file, such as nequix-oam-1-pft.nqx.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file is damaged or describes a network that matjax's layers do not express.

    Source:
      Koker et al. (2025), arXiv 2508.16067; github.com/atomicarchitects/nequix (MIT).
    """
    path = Path(path)
    config, arrays = _read(path)
    try:
        return _predictor(path, config, arrays)
    except (StopIteration, KeyError, IndexError) as error:
        raise ValueError(f"{path}: the file is truncated, or its settings do not fit its arrays ({error!r})") from error


def _predictor(path: Path, config: dict[str, Any], arrays: Iterator[np.ndarray]) -> GraphPredictor:
    elements = sorted(int(z) for z in config["atomic_numbers"])
    model = _model(path, config, len(elements))
    atom_energies = next(arrays)
    params = _params(model, config, arrays, elements)
    if next(arrays, None) is not None:
        raise ValueError(f"{path}: has more arrays than its settings describe")
    references = np.zeros(N_ELEMENT + 1)
    references[elements] = atom_energies.astype(np.float64) + config["shift"]
    return GraphPredictor(
        model=model,
        params=_stacked(params),
        constants={"average_degree": jnp.float32(config["avg_n_neighbors"]), "scale": jnp.float32(config["scale"])},
        references=References(references),
        supervision=Supervision(
            label="energy_per_atom",
            unit="eV/atom",
            has=("energy", "forces", "stress"),
            structures="unrelaxed",
            reference="functional",
            functional="PBE and PBE+U, as the Materials Project",
            elements=tuple(elements),
            n_train=0,
            data=path.stem,
            source="Koker et al. (2025), arXiv 2508.16067; github.com/atomicarchitects/nequix, MIT licence",
        ),
        shape=SHAPE,
    )


def _read(path: Path) -> tuple[dict[str, Any], Iterator[np.ndarray]]:
    """Settings, and the arrays in their order."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        try:
            config = json.loads(file.readline())
            found = []
            while file.peek(1).strip():  # some files end with a line break
                found.append(np.lib.format.read_array(file, allow_pickle=False))
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path}: the file is truncated, damaged or no Nequix file ({error})") from error
    if not isinstance(config, dict) or "hidden_irreps" not in config:
        raise ValueError(f"{path}: is no Nequix file: its first line has no settings of a network")
    return config, iter([array for array in found if array.ndim])  # some files keep single numbers of no meaning here


def _model(path: Path, config: dict[str, Any], n_species: int) -> Equivariant:
    """The network that the settings describe."""
    needs = {"index_weights": False, "layer_norm": True, "radial_polynomial_p": 6.0}
    for name, value in needs.items():
        if config.get(name) != value:
            raise ValueError(f"{path}: has {name} = {config.get(name)!r}; only {value!r} is expressed here")
    irreps = str(config["hidden_irreps"]).replace(" ", "")
    if odd := [ir for ir in channels(irreps) if irrep_of(ir).p != (-1) ** degree(ir)]:
        raise ValueError(f"{path}: has hidden irreps {', '.join(odd)}; only those with the parity of harmonics, (-1)^l, are expressed here")
    if config["lmax"] != max(degree(ir) for ir in channels(irreps)):
        raise ValueError(f"{path}: harmonics go up to l = {config['lmax']}, hidden irreps {irreps} do not")
    return nequip(
        irreps,
        config["n_layers"],
        cutoff=config["cutoff"],
        n_basis=config["radial_basis_size"],
        radial=(config["radial_mlp_size"],) * config["radial_mlp_layers"],
        width=n_species,
    )


def _params(model: Equivariant, config: dict[str, Any], arrays: Iterator[np.ndarray], elements: list[int]) -> Tree:
    """Parameters of the network, taking the arrays in the order in which the file has them."""
    table = np.zeros((N_ELEMENT + 1, len(elements)), np.float32)
    table[elements, np.arange(len(elements))] = 1.0  # features start as one-hot vectors of the element
    tree: Tree = {"element": {"embedding": table}}
    incoming = {"0e": len(elements)}
    harmonics = tuple(channels(model.irreps))
    for i, layer in enumerate(model.layers):
        outgoing = channels(layer.irreps)  # type: ignore[attr-defined]
        tree[f"layers_{i}"] = _layer(arrays, incoming, outgoing, harmonics, len(layer.radial) + 1, config["cutoff"])  # type: ignore[attr-defined]
        incoming = outgoing
    tree["energy"] = {"kernel": _normalised(next(arrays))}
    return tree


def _layer(
    arrays: Iterator[np.ndarray],
    incoming: dict[str, int],
    outgoing: dict[str, int],
    harmonics: tuple[str, ...],
    n_dense: int,
    cutoff: float,
) -> Tree:
    routes = paths(tuple(sorted(incoming)), tuple(sorted(harmonics)), tuple(outgoing))
    radial = [next(arrays) for _ in range(n_dense)]
    radial[0] = radial[0] * (2 * np.sqrt(2) / cutoff**2)  # both bases are sin(k pi r / c) / r times the envelope
    radial[1:] = [kernel / GAIN for kernel in radial[1:]]
    radial[-1] = _reordered(radial[-1], routes, incoming)
    linear = lambda irreps: {f"linear_{ir}": {"kernel": _normalised(next(arrays))} for ir in irreps}
    return {
        "weights": {f"Dense_{i}": {"kernel": kernel.astype(np.float32)} for i, kernel in enumerate(radial)},
        "up": linear(incoming),
        "mix": linear(outgoing),
        "skip": linear([ir for ir in incoming if ir in outgoing]),
        "norm": {f"gain_{ir}": next(arrays) for ir in outgoing},
    }


def _reordered(kernel: np.ndarray, routes: tuple[Route, ...], incoming: dict[str, int]) -> np.ndarray:
    """Columns of the last radial map: there by output irrep, here by route; odd harmonics change sign with the direction."""
    theirs = sorted(routes, key=lambda route: irrep_of(route[2]))  # stable
    ends = np.cumsum([incoming[route[0]] for route in theirs])[:-1]
    columns = dict(zip(theirs, np.split(kernel, ends, axis=1), strict=True))
    return np.concatenate([columns[route] * (-1) ** degree(route[1]) for route in routes], axis=1)


def _normalised(kernel: np.ndarray) -> np.ndarray:
    """e3nn divides by the square root of the number of inputs when it applies a map; here the kernel carries it."""
    return (kernel / np.sqrt(len(kernel))).astype(np.float32)


def _stacked(params: Tree) -> Tree:
    """The same with a member axis of one."""
    return {k: _stacked(v) if isinstance(v, dict) else jnp.asarray(v)[None] for k, v in params.items()}
