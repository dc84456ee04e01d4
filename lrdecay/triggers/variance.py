"""The variance: noise that is large against the progress made."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, select, watch
from lrdecay.triggers.trend import Noise, distance, hear, no_noise, none, zero


class VarianceState(NamedTuple):
    """State of the rule of `variance`.

    Means are kept as differences from the last value, so that a large offset costs no accuracy.

    Attributes:
      before: mean of the last full window, f32[].
      mean: mean of the window being filled, f32[].
      filled: values in the window being filled, i32[].
      windows: whether there was a full one, 0 or 1, i32[].
      noise: noise of the observations.
    """

    before: jax.Array
    mean: jax.Array
    filled: jax.Array
    windows: jax.Array
    noise: Noise


@checked
def variance(
    window: Count = 150,
    ratio: NonNegative = 0.1,
    cooldown: CountOrZero = 0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the metric gains less from window to window than a share of its own noise.

    Near a minimum, SGD at a constant rate stays in a noise that is proportional to the rate: once
    the progress is small against it, only a smaller rate goes lower. Noise alone, however large,
    does not fire: the gain of a window grows with its length, and the noise does not.

    The noise is the standard deviation of one observation, from absolute first differences of about
    the last 20 observations: a trend does not enter it, but correlation from one observation to
    the next makes it too small. The gain has a standard error of e = `sqrt(2 / window)` times the
    noise (0.115 by default): a window without progress fires with probability Phi(ratio / e), 0.81
    by default, and one with a gain of g times the noise with probability Phi((ratio - g) / e). So a
    long window, and not a high `ratio`, is what keeps it quiet in slow progress.

    Args:
      window: observations in each of the two windows compared.
      ratio: gain from one window to the next, in units of the noise, below which it fires.
      cooldown: observations after each fire that are not looked at.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> VarianceState:
        return VarianceState(zero(), zero(), none(), none(), no_noise())

    def update(
        state: VarianceState, value: jax.Array, resting: jax.Array
    ) -> tuple[VarianceState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        value = sign * value
        step = distance(value, state.noise.last)
        noise = hear(state.noise, value)
        filled = state.filled + 1
        mean = (1.0 - 1.0 / filled.astype(jnp.float32)) * distance(state.mean, step)
        before = distance(state.before, step)
        full = filled >= window
        gain = before - mean
        little = gain <= jnp.asarray(ratio, jnp.float32) * noise.deviation
        filling = VarianceState(before, mean, filled, state.windows, noise)
        done = VarianceState(mean, zero(), none(), jnp.ones_like(filled), noise)
        fires = full & (state.windows > 0) & little
        return select(full, done, filling), fires, (gain, noise.deviation)

    return watch(monitor, init, update, reason=Reason.VARIANCE, cooldown=cooldown, grace=grace)
