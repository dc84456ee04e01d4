"""The slope: a trend test on the last observations."""

from typing import Literal

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, select, watch
from lrdecay.triggers.trend import POINTS, Points, distance, line, no_points, push

# A value worse than the last by so many times the largest difference seen is a jump.
_JUMP = 3.0


def _jumps(points: Points, value: jax.Array) -> jax.Array:
    """Whether a value is a jump upwards, out of all proportion to the differences before."""
    steps = jnp.abs(distance(points.values[1:], points.values[:-1]))
    there = jnp.arange(POINTS - 1) >= POINTS - points.count
    largest = jnp.max(jnp.where(there, steps, 0.0))
    rise = distance(value, points.values[-1])
    return (points.count >= POINTS // 2) & (rise > _JUMP * largest)


@checked
def slope(
    window: Count = 20,
    rtol: NonNegative = 0.005,
    atol: NonNegative = 0.0,
    z: NonNegative = 2.0,
    cooldown: CountOrZero = 0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the metric makes no progress, and that is sure.

    A line is fitted to the means of the last 10 windows. It fires when what was gained along it is
    below the tolerance, `rtol * |mean| + atol`, by as much as `z` standard errors: an upper
    confidence limit of the progress. To fire when progress is *not significant* would be weaker:
    the noisier the metric, the sooner it would fire, in the midst of progress. So noise makes this
    one wait, and it can only tell a plateau where the tolerance is above about
    `z * sqrt(1.2 / window)` times the noise of an observation: choose the window by that. It looks
    at every point: in noise far above the tolerance, chance alone fires after some 50, 140, 490 or
    1800 points in the median for a z of 2, 3, 4 or 5, whatever the noise.

    `rtol` asks for progress relative to the level of the metric. An accuracy near 1 that creeps
    upwards by less than half a percent in 10 windows is flat to it, where the loss would still fall
    by much: set `rtol=0` and an `atol` there, or use `convergence`, whose measure is the gain so
    far.

    The means of windows stand for the observations (batch means), so that noise correlated over
    less than a window does no harm: the error is that of 8 degrees of freedom, where z = 1.9 is a
    one-sided 95 %. A jump for the worse, of more than 3 times the largest difference among the
    points, starts the line anew, so that a spike and the recovery after it are no plateau.

    Args:
      window: observations averaged into one point; it takes 10 points to fire.
      rtol: gain over all points that counts as progress, relative to the metric's mean.
      atol: the same, absolute.
      z: standard errors to be sure by.
      cooldown: points after each fire that are not looked at.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def update(
        points: Points, value: jax.Array, resting: jax.Array
    ) -> tuple[Points, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        value = sign * value
        points = push(select(_jumps(points, value), no_points(), points), value)
        level, change, error = line(points.values)
        limit = jnp.asarray(z, jnp.float32) * error - change
        tolerance = jnp.asarray(rtol, jnp.float32) * jnp.abs(level) + jnp.asarray(atol, jnp.float32)
        fires = (points.count >= POINTS) & (limit <= tolerance)
        return points, fires, (limit, tolerance)

    return watch(
        monitor,
        no_points,
        update,
        reason=Reason.SLOPE,
        window=window,
        cooldown=cooldown,
        grace=grace,
    )
