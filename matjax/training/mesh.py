"""Many devices: a mesh of two axes, and what crosses between its devices.

Along `member` an ensemble is cut; members share nothing, so nothing crosses. Along `data` a batch is cut into shards. What
crosses there is the outcome per crystal, on the way to the risk, and the gradient, on the way back: every device has the
risk of the whole batch before it, so that any risk is exact, also one that is no mean over crystals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

MEMBER, DATA = "member", "data"


def make_mesh(members: int = 1, data: int = 0, *, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh (member, data) over the devices of all processes.

    Args:
      members: Parts that an ensemble is cut into; 0 for as many as the devices allow.
      data: Parts that a batch is cut into; 0 for as many as the devices allow.
      devices: Devices to use; all by default.

    Raises:
      ValueError: If there are fewer devices than the mesh has places, or a process would have no device of it.
    """
    found = list(jax.devices() if devices is None else devices)
    if members < 0 or data < 0 or members == data == 0:
        raise ValueError(f"mesh ({members}, {data}): each axis is a number of devices, at most one of them 0 for all that are left")
    members, data = members or len(found) // data, data or len(found) // members
    n_device = members * data
    if not 0 < n_device <= len(found):
        raise ValueError(f"a mesh of {members} x {data} (member x data) needs {members * data or 'more'} devices; there are {len(found)}")
    used = found[:n_device]
    idle = {d.process_index for d in found} - {d.process_index for d in used}
    if idle:
        raise ValueError(f"a mesh of {members} x {data} leaves process {min(idle)} without a device; use all {len(found)} devices")
    return Mesh(np.array(used).reshape(members, data), (MEMBER, DATA))


def mesh_of(setting: tuple[int, ...], n_member: int) -> Mesh | None:
    """The mesh of a setting (member, data), or None where one device does the work.

    Without a setting several processes cut batches over all their devices.

    Raises:
      ValueError: If the setting is no pair, the devices do not suffice, or the member axis does not divide the members.
    """
    if not setting and jax.process_count() == 1:
        return None
    if setting and len(setting) != 2:
        raise ValueError(f"mesh is {setting}; it must be (member, data), such as (1, 0) for all devices along data")
    mesh = make_mesh(*setting)
    check_members(n_member, mesh)
    return None if mesh.size == 1 else mesh


def check_members(n_member: int, mesh: Mesh) -> None:
    """Refuses an ensemble that cannot be cut into equal parts.

    Raises:
      ValueError: If the member axis does not divide the members.
    """
    n_part = mesh.shape[MEMBER]
    if n_member % n_part:
        near = n_member + n_part - n_member % n_part
        raise ValueError(
            f"{n_member} members cannot be cut along a member axis of {n_part}; train {near}, or choose an axis that divides them"
        )


def train_on(mesh: Mesh, update: Callable[..., Any]) -> Callable[..., Any]:
    """An update of (members, constants, graph, plan) that runs on every device with its members and its shard of the batch."""

    def local(members: Any, constants: Any, graph: Any, plan: Any) -> Any:
        return update(members, constants, _own(graph), plan, data_axis=_axis(mesh))

    # Every output is the same along `data`, because gradients are summed there; the check cannot see through the gathering.
    return jax.shard_map(local, mesh=mesh, in_specs=(P(MEMBER), P(), P(DATA), P()), out_specs=P(MEMBER), check_vma=False)


def predict_on(mesh: Mesh, predict: Callable[..., Any]) -> Callable[..., Any]:
    """A prediction of (params, constants, graph) as [n_member, n_shard, ...]; nothing crosses between devices."""

    def local(params: Any, constants: Any, graph: Any) -> Any:
        return jax.tree.map(lambda x: x[:, None], predict(params, constants, _own(graph)))

    return jax.shard_map(local, mesh=mesh, in_specs=(P(MEMBER), P(), P(DATA)), out_specs=P(MEMBER, DATA), check_vma=False)


def gathered(rows: Any, axis: str | None) -> Any:
    """The rows of all shards, one after the other, of which only a device's own carry a gradient.

    The gradients of all devices then add up to that of the whole batch (`summed`), whatever is computed from the rows.

    Args:
      rows: Arrays [n, ...] of this device's shard.
      axis: Name of the mesh axis; None leaves the rows as they are.
    """
    if axis is None:
        return rows

    def everyone(x: jax.Array) -> jax.Array:
        others = jax.lax.all_gather(jax.lax.stop_gradient(x), axis, tiled=True)
        return jax.lax.dynamic_update_slice_in_dim(others, x, jax.lax.axis_index(axis) * x.shape[0], axis=0)

    return jax.tree.map(everyone, rows)


def summed(tree: Any, axis: str | None) -> Any:
    """The sum over the shards of what each device has."""
    return tree if axis is None else jax.lax.psum(tree, axis)


def _own(graph: Any) -> Any:
    """A device's shard out of its piece [1, ...] of the stack."""
    return jax.tree.map(lambda x: x[0], graph)


def _axis(mesh: Mesh) -> str | None:
    return DATA if mesh.shape[DATA] > 1 else None
