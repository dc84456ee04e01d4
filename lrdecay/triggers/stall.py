"""The stall: progress against noise, in phases that double, so that no time scale is assumed."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import POINTS, distance, line, none, zero

# The longest block, in observations; it fits an int32.
_LONGEST = 2**30


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
    ratio: NonNegative = 0.8,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when a phase has gained less than a share of the noise, in phases that double.

    A phase is ten blocks. At its end a line is fitted to their means, and it fires where the gain
    along the line is at most `ratio` times the noise. The blocks of the next phase are twice as
    long, whether it has fired or not: it looks after 10, 30, 70, 150, ... times `window`
    observations, each time at about the newer half of them. So no time scale is assumed, a long
    first descent delays nothing, and the rate falls by one cut at most while the run doubles.

    The noise is the standard deviation of one observation: within 1 %, the standard error of the
    gain times the square root of the block. It comes from the scatter of the means about the line,
    so that correlation within a block enters it, and a bend in the progress as well. As in
    `variance`, noise makes it fire: SGD at a constant rate stays in a noise that is proportional to
    the rate, and once doubling the run gains less than that, a smaller rate pays.

    Args:
      window: observations in each block of the first phase.
      ratio: gain of a phase, in units of the noise, up to which it fires.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start in which nothing is looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> StallState:
        size = jnp.asarray(window, jnp.int32)
        return StallState(jnp.zeros(POINTS, jnp.float32), none(), size, zero(), none())

    def update(
        state: StallState, value: jax.Array, resting: jax.Array
    ) -> tuple[StallState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        filled = state.filled + 1
        mean = state.mean + distance(sign * value, state.mean) / filled.astype(jnp.float32)
        full = filled >= state.size
        points = jnp.where(full, state.points.at[state.there].set(mean), state.points)
        there = state.there + full.astype(jnp.int32)
        ends = there >= POINTS
        _, change, error = line(points)
        noise = jnp.sqrt(state.size.astype(jnp.float32)) * error
        fires = ends & (-change <= jnp.asarray(ratio, jnp.float32) * noise)
        after = StallState(
            points=points,
            there=jnp.where(ends, 0, there),
            size=jnp.where(ends, 2 * jnp.minimum(state.size, _LONGEST // 2), state.size),
            mean=jnp.where(full, 0.0, mean),
            filled=jnp.where(full, 0, filled),
        )
        return after, fires, (-change, noise)

    return watch(monitor, init, update, reason=Reason.STALL, grace=grace, restarts=False)
