"""Convergence: little more is to be expected."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, select, watch
from lrdecay.triggers.trend import POINTS, Points, distance, line, no_points, none, push, zero


class ConvergenceState(NamedTuple):
    """State of the rule of `convergence`.

    Attributes:
      first: the first value, f32[].
      started: whether there was one, 0 or 1, i32[].
      points: the last values.
    """

    first: jax.Array
    started: jax.Array
    points: Points


@checked
def convergence(
    horizon: Count = 300,
    window: Count = 30,
    rtol: NonNegative = 0.015,
    atol: NonNegative = 0.0,
    z: NonNegative = 2.0,
    cooldown: CountOrZero = 0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when little more is to be expected, against what was gained so far.

    What the next `horizon` observations will gain is put at the present rate, from a line through
    the means of the last 10 windows, plus `z` standard errors; a metric that flattens out gains
    less. It fires when that is below `rtol` times what has been gained since the start, plus
    `atol`. With `atol=0` the rule does not change when the metric is scaled or shifted: neither its
    unit matters nor a part of it that no training removes. The excess over the limit is no measure:
    the limit is not known, its estimate is ill-conditioned, and under a power law the expected gain
    in units of the excess is exponent x horizon / time, a clock and nothing more.

    Args:
      horizon: observations to look ahead.
      window: observations averaged into one point; it takes 10 points to fire.
      rtol: share of what was gained so far below which no more is worth waiting for.
      atol: gain below which no more is worth waiting for.
      z: standard errors to be sure by.
      cooldown: points after each fire that are not looked at.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> ConvergenceState:
        return ConvergenceState(zero(), none(), no_points())

    def update(
        state: ConvergenceState, value: jax.Array, resting: jax.Array
    ) -> tuple[ConvergenceState, jax.Array, tuple[jax.Array, jax.Array]]:
        value = sign * value
        first = jnp.where(state.started > 0, state.first, value)
        points = push(state.points, value)
        level, change, error = line(points.values)
        ahead = jnp.asarray(horizon, jnp.float32) / (
            (POINTS - 1) * jnp.asarray(window, jnp.float32)
        )
        expected = ahead * (jnp.asarray(z, jnp.float32) * error - change)
        gained = jnp.maximum(distance(first, level + change / 2), 0.0)
        tolerance = jnp.asarray(rtol, jnp.float32) * gained + jnp.asarray(atol, jnp.float32)
        fires = (points.count >= POINTS) & (expected <= tolerance)
        points = select(fires | resting, no_points(), points)
        return (
            ConvergenceState(first, jnp.ones_like(state.started), points),
            fires,
            (expected, gained),
        )

    return watch(
        monitor,
        init,
        update,
        reason=Reason.CONVERGENCE,
        window=window,
        cooldown=cooldown,
        grace=grace,
        restarts=False,
    )
