"""Simulation: anything that answers as a potential, and the structures it is asked about."""

from matjax.simulate.batch_relax import batch_relax
from matjax.simulate.calculator import EnsembleCalculator
from matjax.simulate.eam import cutoffs, eam_energy
from matjax.simulate.elastic import elastic_tensor
from matjax.simulate.elastic_batch import elastic_constants
from matjax.simulate.energy_fn import energy_fn
from matjax.simulate.frank_kasper import FRANK_KASPER
from matjax.simulate.hessian import hessian, hessian_vector_product
from matjax.simulate.laboratory import Laboratory
from matjax.simulate.multi_orbit import MULTI_ORBIT
from matjax.simulate.orbits import merged, orbit_permutations
from matjax.simulate.prototypes import COMPOUNDS, LATTICES, Prototype, prototype, representative_cell
from matjax.simulate.relax import Relaxed, relax
from matjax.simulate.topology import Topology, edge_vectors, stack, topology

__all__ = [
    "COMPOUNDS",
    "FRANK_KASPER",
    "LATTICES",
    "MULTI_ORBIT",
    "EnsembleCalculator",
    "Laboratory",
    "Prototype",
    "Relaxed",
    "Topology",
    "batch_relax",
    "cutoffs",
    "eam_energy",
    "edge_vectors",
    "elastic_constants",
    "elastic_tensor",
    "energy_fn",
    "hessian",
    "hessian_vector_product",
    "merged",
    "orbit_permutations",
    "prototype",
    "relax",
    "representative_cell",
    "stack",
    "topology",
]
