"""Several schedules in one program, chosen by an index that may be traced."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int
from optax.schedules import StatefulSchedule, WrappedSchedule

from lrdecay.schedules import as_schedule


class Schedules(NamedTuple):
    """Schedules side by side; of those that differ in their numbers alone, the numbers stacked.

    Attributes:
      makers: for each structure, a pytree of numbers [n, ...] that makes a schedule when called
        with one row of them.
      structure: which of the makers is each schedule's, i32[schedules].
      row: which row of it, i32[schedules].
    """

    makers: tuple[Any, ...]
    structure: Int[Array, " schedules"]
    row: Int[Array, " schedules"]


def _is_list_of_numbers(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(item, int | float) for item in x)


def _array(x: Any) -> np.ndarray:
    array = np.asarray(x)
    return array.astype(np.int32 if array.dtype.kind == "i" else np.float32)


def stack(makers: Sequence[Callable[[], Any]]) -> Schedules:
    """Puts schedules side by side.

    Args:
      makers: a function a schedule, as a pytree of the numbers that may be traced: a list of
        numbers is one array of them.
    """
    structures: list[Any] = []
    rows: list[list[list[np.ndarray]]] = []
    places = []
    for maker in makers:
        numbers = jax.tree.map(_array, maker, is_leaf=_is_list_of_numbers)
        leaves, treedef = jax.tree.flatten(numbers)
        structure = (treedef, [(x.shape, x.dtype) for x in leaves])
        if structure not in structures:
            structures.append(structure)
            rows.append([])
        index = structures.index(structure)
        places.append((index, len(rows[index])))
        rows[index].append(leaves)
    stacked = (
        jax.tree.unflatten(treedef, [np.stack(column) for column in zip(*table, strict=True)])
        for (treedef, _), table in zip(structures, rows, strict=True)
    )
    structure, row = np.array(places, np.int32).T
    return Schedules(tuple(stacked), jnp.asarray(structure), jnp.asarray(row))


class _OneOf:
    """One of several schedules, as a `StatefulSchedule`; the states of all are kept."""

    def __init__(self, schedules: Sequence[StatefulSchedule], index: Array) -> None:
        self._schedules, self._index = schedules, index

    def init(self) -> tuple[Any, ...]:
        return tuple(schedule.init() for schedule in self._schedules)

    def __call__(self, state: tuple[Any, ...], **extra_args: Any) -> Array:
        def rate(i: int) -> Array:
            rate = self._schedules[i](state[i], **extra_args)
            return jnp.asarray(rate, jnp.result_type(float))

        return self._switch(rate)

    def update(self, state: tuple[Any, ...], **extra_args: Any) -> tuple[Any, ...]:
        def updated(i: int) -> tuple[Any, ...]:
            return (
                *state[:i],
                self._schedules[i].update(state[i], **extra_args),
                *state[i + 1 :],
            )

        return self._switch(updated)

    def _switch(self, branch: Callable[[int], Any]) -> Any:
        branches = [lambda i=i: branch(i) for i in range(len(self._schedules))]
        return lax.switch(self._index, branches)


def pick(schedules: Schedules, index: Int[Array, ""]) -> StatefulSchedule:
    """One of several schedules.

    Args:
      schedules: made by `stack`.
      index: which one, in the order of `stack`.
    """
    structure, row = schedules.structure[index], schedules.row[index]

    def made(maker: Any) -> StatefulSchedule:
        # Clamped, where the row is one of another structure's.
        numbers = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, row, keepdims=False), maker)
        schedule = numbers()
        if isinstance(schedule, StatefulSchedule):
            return schedule
        return WrappedSchedule(as_schedule(schedule))

    all_made = [made(maker) for maker in schedules.makers]
    return all_made[0] if len(all_made) == 1 else _OneOf(all_made, structure)
