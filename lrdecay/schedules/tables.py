"""Rates given one by one."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import checked
from lrdecay.schedules import shapes
from lrdecay.schedules.base import Boundaries, Rates, Schedule, boundary_list
from lrdecay.schedules.clock import as_count, as_float
from lrdecay.schedules.compose import join


@checked
def table(values: Rates) -> Schedule:
    """The rates of steps 0, 1, 2, ... one by one; the last is held.

    Args:
      values: the rates, f32[n] with n >= 1.

    Raises:
      ValueError: no values.
    """
    if len(values) < 1:
        raise ValueError("values must have at least one rate, got none")

    def schedule(count: ArrayLike) -> jax.Array:
        rates = jnp.stack([as_float(v) for v in values])
        return rates[jnp.minimum(as_count(count).astype(jnp.int32), len(values) - 1)]

    return schedule


@checked
def piecewise_interpolate(
    values: Rates, boundaries: Boundaries, shape: Literal["linear", "cosine"] = "linear"
) -> Schedule:
    """A curve through given rates at given steps; the last is held.

    Args:
      values: the rates, at step 0 and then at each boundary.
      boundaries: the steps of all values but the first; never falling. Where two are equal the
        rate jumps.
      shape: the curve in between.

    Raises:
      ValueError: not one boundary fewer than values, or falling boundaries.
    """
    rates, ends = list(values), boundary_list(boundaries)
    if len(rates) != len(ends) + 1:
        raise ValueError(
            f"boundaries must be one fewer than values, got {len(ends)} for {len(rates)}"
        )
    weights = shapes.weights_of(shape)

    def piece(i: int) -> Schedule:
        def schedule(count: ArrayLike) -> jax.Array:
            count = as_count(count)
            first, last = (jnp.asarray(b, count.dtype) for b in ([0, *ends][i], ends[i]))
            return shapes.phase(rates[i], rates[i + 1], last - first, weights)(count)

        return schedule

    return join([*map(piece, range(len(ends))), rates[-1]], ends)
