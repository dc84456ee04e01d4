"""What triggers measure on a metric: its level, its trend and its noise, in float32 safely.

Everything is centred before it is squared, and divided by its own size, so that neither a large
offset nor a huge value costs accuracy. Noise comes from absolute first differences: a trend hardly
enters them, one outlier weighs little, and nothing overflows.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

POINTS = 10
# Mean absolute difference of two independent normal values, to their standard deviation.
FROM_DIFFERENCES = math.sqrt(math.pi) / 2

_HUGE = float(np.finfo(np.float32).max)
_TINY = float(np.finfo(np.float32).tiny)


def zero() -> jax.Array:
    """A float32 zero in a buffer of its own."""
    return jnp.zeros((), jnp.float32)


def none() -> jax.Array:
    """A count of zero, i32[]."""
    return jnp.zeros((), jnp.int32)


def distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """a - b, at most the largest float32 where that would be infinite."""
    return jnp.clip(a - b, -_HUGE, _HUGE)


def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """a / b for b >= 0, finite also where b is 0; 0 / 0 is 0."""
    return jnp.clip(a / jnp.maximum(b, _TINY), -_HUGE, _HUGE)


class Points(NamedTuple):
    """The last values, oldest first.

    Attributes:
      values: the values, f32[POINTS]; those not there yet are 0.
      count: how many there are, i32[].
    """

    values: jax.Array
    count: jax.Array


def no_points() -> Points:
    """Before the first value."""
    return Points(jnp.zeros(POINTS, jnp.float32), none())


def push(points: Points, value: jax.Array) -> Points:
    """With one more value; the oldest is forgotten."""
    values = jnp.concatenate([points.values[1:], value[None]])
    return Points(values, jnp.minimum(points.count + 1, POINTS))


class Line(NamedTuple):
    """A straight line through the points, by least squares.

    Attributes:
      level: mean of the points, f32[].
      change: how much the line rises from the first point to the last, f32[].
      error: standard error of `change`, f32[], from the residuals: POINTS - 2 degrees of freedom.
    """

    level: jax.Array
    change: jax.Array
    error: jax.Array


_AT = np.arange(POINTS, dtype=np.float32) - np.float32((POINTS - 1) / 2)
_SPREAD = float(np.sum(_AT**2))


def line(values: jax.Array) -> Line:
    """The line through POINTS values, f32[POINTS]."""
    level = values[-1] + jnp.mean(distance(values, values[-1:]))
    centred = distance(values, level[None])
    size = jnp.maximum(jnp.max(jnp.abs(centred)), _TINY)
    y = centred / size
    slope = jnp.sum(y * _AT) / _SPREAD
    residuals = y - jnp.mean(y, keepdims=True) - slope[None] * _AT
    error = jnp.sqrt(jnp.sum(residuals**2) / ((POINTS - 2) * _SPREAD))
    return Line(level, slope * size * (POINTS - 1), error * size * (POINTS - 1))


def mean_and_error(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean of POINTS values, f32[POINTS], and its standard error: POINTS - 1 degrees of freedom."""
    size = jnp.maximum(jnp.max(jnp.abs(values)), _TINY)
    y = values / size
    mean = jnp.mean(y)
    error = jnp.sqrt(jnp.sum((y - mean[None]) ** 2) / ((POINTS - 1) * POINTS))
    return mean * size, error * size


class Noise(NamedTuple):
    """The standard deviation of a metric around its trend, over the last observations.

    Attributes:
      last: the value before, f32[].
      deviation: the standard deviation, f32[], right for normal noise; 0 before two values.
      count: values so far, i32[].
    """

    last: jax.Array
    deviation: jax.Array
    count: jax.Array


# The noise is an average over about the last 1 / 0.05 differences.
_WEIGHT = 0.05


def no_noise() -> Noise:
    """Before the first value."""
    return Noise(zero(), zero(), none())


def hear(noise: Noise, value: jax.Array) -> Noise:
    """With one more value: a plain mean of the first differences, an exponential one later."""
    size = FROM_DIFFERENCES * jnp.abs(distance(value, noise.last))
    weight = jnp.maximum(1.0 / jnp.maximum(noise.count, 1).astype(jnp.float32), _WEIGHT)
    deviation = noise.deviation + weight * (size - noise.deviation)
    count = jnp.minimum(noise.count + 1, 10**6)
    return Noise(value, jnp.where(noise.count > 0, deviation, 0.0), count)
