"""A wave of runs on disk, half-way, so that what has been stopped goes on from its last save."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from lrdecay.study.folder import write_atomically
from lrdecay.training.engine import Score, Steps

# An arm's index and a seed.
Pair = tuple[int, int]


class Snapshot(NamedTuple):
    """Where a wave is. All arrays have a first axis of runs.

    Attributes:
      pairs: the runs.
      under_way: what training goes on with, as NumPy's arrays.
      steps: what the steps so far have left behind, [runs, steps] each.
      scores: the validation scores so far, [runs, epochs] each.
    """

    pairs: tuple[Pair, ...]
    under_way: Any
    steps: Steps
    scores: Score

    def of(self, pairs: Sequence[Pair]) -> "Snapshot":
        """The same of some of its runs."""
        rows = [self.pairs.index(pair) for pair in pairs]
        under_way, steps, scores = jax.tree.map(lambda x: x[rows], self[1:])
        return Snapshot(tuple(pairs), under_way, steps, scores)


def _is_key(x: Any) -> bool:
    return jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)


def save(path: Path, snapshot: Snapshot) -> None:
    """Writes a snapshot atomically."""
    leaves = [jax.random.key_data(x) if _is_key(x) else x for x in jax.tree.leaves(snapshot[1:])]
    arrays: dict[str, Any] = {f"leaf_{i}": np.asarray(x) for i, x in enumerate(leaves)}
    write_atomically(path, lambda p: np.savez(p, pairs=np.array(snapshot.pairs), **arrays))


def load(path: Path, missing: Sequence[Pair], like: Any) -> Snapshot | None:
    """Reads what a snapshot has of the runs that are missing; None where that is nothing.

    Args:
      path: the file.
      missing: the runs.
      like: the arrays of a wave under way, which say how those of the file are put together.
    """
    if not path.exists():
        return None
    with np.load(path) as arrays:
        pairs = tuple((int(arm), int(seed)) for arm, seed in arrays["pairs"])
        wanted = [pair for pair in pairs if pair in missing]
        if not wanted:
            return None
        found = [arrays[f"leaf_{i}"] for i in range(len(arrays.files) - 1)]
    there = iter(found)

    def restored(x: Any) -> Any:
        array = next(there)
        return jax.random.wrap_key_data(array) if _is_key(x) else array

    under_way = jax.tree.map(restored, like)
    steps = Steps(*(next(there) for _ in Steps._fields))
    return Snapshot(pairs, under_way, steps, Score(*there)).of(wanted)
