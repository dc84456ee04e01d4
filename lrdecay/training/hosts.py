"""Several processes, on one host or many, as one."""

from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from lrdecay.arguments import Number

AUTO = "auto"

T = TypeVar("T")


def connect(hosts: str) -> None:
    """Joins this process with the others, before JAX starts.

    Args:
      hosts: "auto" where the cluster says who takes part (SLURM, Kubernetes, a TPU pod, Open MPI),
        or "ADDRESS:PORT,PROCESSES,INDEX" with the address of process 0 and this process's index.

    Raises:
      ValueError: neither of the two.
      RuntimeError: the cluster says nothing, or the others do not answer.
    """
    if hosts == AUTO:
        jax.distributed.initialize()
        return
    address, _, rest = hosts.partition(",")
    numbers = rest.split(",")
    _, _, port = address.rpartition(":")
    if len(numbers) != 2 or not all(n.isdigit() for n in (*numbers, port)):
        raise ValueError(f"hosts must be {AUTO!r} or 'ADDRESS:PORT,PROCESSES,INDEX', got {hosts!r}")
    processes, index = map(int, numbers)
    Number(int, low=0, high=processes - 1).check("the INDEX of hosts", index)
    jax.distributed.initialize(address, processes, index)


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def agreed(choice: T) -> T:
    """What the first process has chosen or found: an array, or a single value."""
    if jax.process_count() == 1:
        return choice
    return multihost_utils.broadcast_one_to_all(np.asarray(choice))


def wait(reason: str) -> None:
    """Returns when all processes have come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(reason)


def fetch(x: Any) -> Any:
    """Arrays of a mesh as NumPy's, whole on every host."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(x, tiled=True)
    return jax.device_get(x)
