"""Divergence: far worse than usual, or not finite."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Beta, Count, CountOrZero, NonNegative, Positive, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, select, watch
from lrdecay.triggers.trend import distance, none, zero

# Standard deviation of a normal value to its mean absolute deviation.
_FROM_DEVIATIONS = math.sqrt(math.pi / 2)

# Observations before anything can be called unusual.
_USUAL = 10


class DivergenceState(NamedTuple):
    """State of the rule of `divergence`.

    Attributes:
      last: last usual value, f32[].
      lag: running mean of the usual values less the last, f32[]: an offset costs no accuracy.
      deviation: running mean absolute deviation from it, f32[].
      count: usual values so far, i32[].
      outliers: values in a row that were not usual, i32[].
    """

    last: jax.Array
    lag: jax.Array
    deviation: jax.Array
    count: jax.Array
    outliers: jax.Array


@checked
def divergence(
    z: Positive = 3.0,
    patience: Count = 3,
    beta: Beta = 0.98,
    rtol: NonNegative = 1e-3,
    cooldown: CountOrZero = 0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the metric is far worse than usual, or not finite. Meant for `dip`.

    A value is an outlier where it is worse than the running mean by more than `z` standard
    deviations plus `rtol * |mean|`. An outlier does not enter the running statistics, so that the
    second of a burst stands out like the first; outliers for as long as the memory, 1 / (1 - beta)
    observations, are the new usual, and the statistics start again from there.

    The standard deviation is sqrt(pi / 2) times the mean absolute deviation, which is right for
    normal noise and less moved by tails. No value is an outlier before 10 have been usual. NaN and
    infinite values fire at once, unless it rests, and count as nothing else.

    While the metric falls fast, the running mean lags behind it, and the way from there counts as
    deviation: a rise is an outlier only where it more than undoes the fall just before.

    Args:
      z: standard deviations from the mean that are too far.
      patience: outliers in a row that it takes to fire, and to fire again.
      beta: weight of the past in the running mean and deviation, in [0, 1).
      rtol: distance from the mean, relative to it, that is never too far.
      cooldown: observations after each fire in which it does not fire.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> DivergenceState:
        return DivergenceState(zero(), zero(), zero(), none(), none())

    def update(
        state: DivergenceState, value: jax.Array, resting: jax.Array
    ) -> tuple[DivergenceState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        finite = jnp.isfinite(value)
        mean = state.last + state.lag
        away = distance(value, state.last) - state.lag
        near = jnp.asarray(rtol, jnp.float32) * jnp.abs(mean)
        far = jnp.asarray(z, jnp.float32) * _FROM_DEVIATIONS * state.deviation + near
        outlier = finite & (state.count >= _USUAL) & (sign * away > far)
        in_a_row = jnp.where(outlier, state.outliers + 1, 0)
        fires = ~finite | (outlier & (in_a_row % patience == 0))

        forget = 1.0 - jnp.asarray(beta, jnp.float32)
        first = state.count == 0
        weight = jnp.maximum(1.0 / (state.count + 1).astype(jnp.float32), forget)
        faster = jnp.maximum(1.0 / jnp.maximum(state.count, 1).astype(jnp.float32), forget)
        deviation = state.deviation + faster * (jnp.abs(away) - state.deviation)
        usual = DivergenceState(
            last=value,
            lag=(weight - 1.0) * away,
            deviation=jnp.where(first, 0.0, deviation),
            count=jnp.minimum(state.count + 1, 10**6),
            outliers=jnp.zeros_like(in_a_row),
        )
        anew = in_a_row.astype(jnp.float32) * forget >= 1.0
        start = init()._replace(last=value, count=jnp.ones_like(state.count))
        heard = select(outlier, select(anew, start, state._replace(outliers=in_a_row)), usual)
        return select(finite, heard, state), fires, (value, mean)

    return watch(
        monitor,
        init,
        update,
        reason=Reason.DIVERGENCE,
        cooldown=cooldown,
        grace=grace,
        restarts=False,
        hears_nonfinite=True,
    )
