"""Runs on disk, as far as they are, so that what has been stopped goes on from its last save."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lrdecay.study.folder import write_atomically
from lrdecay.training.hosts import fetch

# What training goes on with is in the file of a run as arrays of this name and a number.
_STATE = "state_"


def _is_key(x: Any) -> bool:
    return jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)


def leaves(under_way: Any) -> list[np.ndarray]:
    """What training goes on with, of a wave, as NumPy's arrays with a first axis of runs."""
    arrays = jax.tree.leaves(under_way)
    return fetch([jax.random.key_data(x) if _is_key(x) else x for x in arrays])


def restored(leaves: Sequence[Any], like: Any) -> Any:
    """What `leaves` has taken apart, put together again.

    Args:
      leaves: the arrays.
      like: what is under way in a wave of the same arms.
    """
    there = iter(leaves)

    def one(x: Any) -> Any:
        array = next(there)
        # NumPy's files do not know bfloat16.
        return jax.random.wrap_key_data(array) if _is_key(x) else array.view(x.dtype)

    return jax.tree.map(one, like)


def save(path: Path, record: Mapping[str, np.ndarray], state: Sequence[np.ndarray]) -> None:
    """Writes a run atomically.

    Args:
      path: the file.
      record: what the run has left behind so far, by the names in `History`.
      state: what training goes on with, nothing if it does not.
    """
    arrays: dict[str, Any] = {**record, **{f"{_STATE}{i}": x for i, x in enumerate(state)}}
    write_atomically(path, lambda p: np.savez(p, **arrays))


def load_record(path: Path) -> dict[str, np.ndarray]:
    """What a run has left behind so far."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files if not name.startswith(_STATE)}


def load_state(path: Path) -> list[np.ndarray]:
    """What training goes on with."""
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files if name.startswith(_STATE)]


def steps_on(path: Path) -> int:
    """How many steps of a run are on disk."""
    if not path.exists():
        return 0
    with np.load(path) as arrays:
        return len(arrays["loss"])
