"""Where runs are computed: over the devices of a mesh, and several at once on each."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lrdecay.arguments import PositiveInt

RUNS, BATCH = "runs", "batch"

# Runs that share an accelerator: beyond, the step's time grows as fast as they do.
_MOST_LANES = 64


class Placement(NamedTuple):
    """How many runs are computed at once, and on what.

    Attributes:
      groups: groups of devices, which each have runs of their own.
      sharing: devices in a group, which share each mini-batch of its runs.
      lanes: runs at once in each group, vectorised by `vmap`.
    """

    groups: int
    sharing: int
    lanes: int

    @property
    def at_once(self) -> int:
        """Runs that are computed together: a wave."""
        return self.groups * self.lanes


def choose(
    runs: int,
    devices: int,
    backend: str,
    groups: PositiveInt | None = None,
    sharing: PositiveInt = 1,
    lanes: PositiveInt | None = None,
) -> Placement:
    """The placement that is fastest for many runs of a small model, but for what is given.

    A CPU computes one run after the other on each device: vectorised, a convolution with weights
    of its own for each run is slow there. An accelerator is filled by runs side by side.

    Args:
      runs: runs to be placed.
      devices: devices there are, of all hosts.
      backend: JAX's name of the platform.
      groups: groups of devices, if not as many as there are devices and runs for.
      sharing: devices in a group.
      lanes: runs at once in each group, if not 1 on a CPU and up to 64 elsewhere.
    """
    groups = groups or max(min(runs, devices // sharing), 1)
    if lanes is None:
        lanes = 1 if backend == "cpu" else min(math.ceil(runs / groups), _MOST_LANES)
    return Placement(groups, sharing, lanes)


def make_mesh(placement: Placement) -> Mesh:
    """The devices of a placement, with the axes `runs` and `batch`."""
    shape = (placement.groups, placement.sharing)
    devices = jax.devices()[: math.prod(shape)]
    axis_types = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, (RUNS, BATCH), axis_types, devices=devices)


def over_runs(
    function: Callable[[Any, Any], Any], placement: Placement, mesh: Mesh
) -> Callable[[Any, Any], Any]:
    """A function of one run, as one of a wave of them.

    Args:
      function: (what is this run's own, what all share) -> result, all pytrees.
      placement: where the runs go.
      mesh: its devices.

    Returns:
      The same with a first axis of `placement.at_once` runs on what is a run's own and on the
      result, spread over the axis `runs` of the mesh.
    """

    def on_device(own: Any, shared: Any) -> Any:
        if placement.lanes > 1:
            return jax.vmap(function, in_axes=(0, None))(own, shared)
        # Without vmap, the program is that of a run alone.
        result = function(jax.tree.map(lambda x: x[0], own), shared)
        return jax.tree.map(lambda x: x[None], result)

    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(RUNS), PartitionSpec()),
        out_specs=PartitionSpec(RUNS),
        axis_names={RUNS},
        check_vma=False,
    )


def share(x: Any, mesh: Mesh) -> Any:
    """Spreads the first axis of arrays, that of a mini-batch, over the axis `batch` of a mesh."""
    if mesh.shape[BATCH] == 1:
        return x
    sharding = NamedSharding(mesh, PartitionSpec(BATCH))
    return jax.lax.with_sharding_constraint(x, sharding)
