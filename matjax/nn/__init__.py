"""Equivariant networks: a NequIP-type core, its parts, and forces and stress outside the module."""

from matjax.nn.convolution import Convolution
from matjax.nn.derivatives import Model, evaluate
from matjax.nn.embedding import ElementEmbedding
from matjax.nn.features import EdgeFeatures, Features, NodeFeatures, from_irreps_array, to_irreps_array
from matjax.nn.geometry_tensor import GeometryTensor
from matjax.nn.head import Head
from matjax.nn.interaction import Interaction
from matjax.nn.invariant import invariant_twin, n_parameter
from matjax.nn.linear import Linear
from matjax.nn.many_body import ManyBody
from matjax.nn.model import Equivariant, Layer
from matjax.nn.nequip import nequip
from matjax.nn.norm import RMSNorm

__all__ = [
    "Convolution",
    "EdgeFeatures",
    "ElementEmbedding",
    "Equivariant",
    "Features",
    "GeometryTensor",
    "Head",
    "Interaction",
    "Layer",
    "Linear",
    "ManyBody",
    "Model",
    "NodeFeatures",
    "RMSNorm",
    "evaluate",
    "from_irreps_array",
    "invariant_twin",
    "n_parameter",
    "nequip",
    "to_irreps_array",
]
