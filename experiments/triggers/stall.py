"""A trigger whose windows grow with the phase it looks at, so that it knows no time scale."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import Count, NonNegative, Steps, checked
from lrdecay.triggers import Trigger, watch
from lrdecay.triggers.trend import POINTS, distance, line


class StallState(NamedTuple):
    """State of the rule of `stall`.

    Attributes:
      points: means of the blocks of this phase, oldest first, f32[POINTS].
      there: how many there are, i32[].
      size: observations in a block, i32[].
      mean: mean of the block being filled, f32[].
      filled: observations in the block being filled, i32[].
    """

    points: jax.Array
    there: jax.Array
    size: jax.Array
    mean: jax.Array
    filled: jax.Array


@checked
def stall(
    window: Count = 16,
    z: NonNegative = 2.5,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the whole phase since the last fire shows no clear progress any more.

    A phase is kept as the means of at most 10 blocks. When all 10 are full, a line is fitted to
    them: where it falls by `z` standard errors, there is progress, and the blocks are joined two by
    two, so that the next test comes after as many observations again; else it fires. So the time
    that a phase gets doubles for as long as it pays, and the first test of the next phase comes
    after half of the time that this one took: the smaller the rate, the longer progress takes.

    Args:
      window: observations in the shortest blocks; it takes 10 blocks to fire.
      z: standard errors by which the line must fall; 8 degrees of freedom.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start in which nothing is looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def count(n: ArrayLike) -> jax.Array:
        return jnp.asarray(n, jnp.int32)

    def init() -> StallState:
        empty = jnp.zeros(POINTS, jnp.float32)
        return StallState(empty, count(0), count(window), jnp.float32(0), count(0))

    def update(
        state: StallState, value: jax.Array, resting: jax.Array
    ) -> tuple[StallState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        filled = state.filled + 1
        mean = state.mean + distance(sign * value, state.mean) / filled.astype(jnp.float32)
        full = filled >= state.size
        slot = jnp.minimum(state.there, POINTS - 1)
        points = jnp.where(full, state.points.at[slot].set(mean), state.points)
        there = state.there + full.astype(jnp.int32)

        tests = there >= POINTS
        _, change, error = line(points)
        falls = change + jnp.asarray(z, jnp.float32) * error < 0
        joined = jnp.mean(points.reshape(POINTS // 2, 2), axis=1)
        joins = tests & falls
        shorter = jnp.maximum(state.size // 2, count(window))
        after = StallState(
            points=jnp.where(joins, jnp.concatenate([joined, joined]), points),
            there=jnp.where(joins, POINTS // 2, jnp.where(tests, 0, there)),
            size=jnp.where(joins, 2 * state.size, jnp.where(tests, shorter, state.size)),
            mean=jnp.where(full, 0.0, mean),
            filled=jnp.where(full, 0, filled),
        )
        return after, tests & ~falls, (change, error)

    return watch(monitor, init, update, grace=grace, restarts=False)
