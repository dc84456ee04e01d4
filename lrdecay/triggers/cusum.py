"""CUSUM: a lack of progress that adds up."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import CountOrZero, Positive, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import Noise, distance, hear, no_noise, ratio, zero

# What one observation for the worse may add, in units of the noise, however bad it is.
_MOST = 4.0


class CusumState(NamedTuple):
    """State of the rules of `cusum` and `page_hinkley`.

    Attributes:
      total: the lack of progress so far, in units of the noise, f32[], at least 0.
      away: how far the last value was from the running mean before it, f32[]; 0 in `cusum`.
      noise: noise of the observations.
    """

    total: jax.Array
    away: jax.Array
    noise: Noise


def start() -> CusumState:
    """Before the first observation."""
    return CusumState(zero(), zero(), no_noise())


def add(total: jax.Array, worse: jax.Array, slack: jax.Array) -> jax.Array:
    """The sum with one more lack of progress, both in units of the noise."""
    return jnp.maximum(total + jnp.minimum(worse, _MOST) + slack, 0.0)


@checked
def cusum(
    slack: Positive = 0.01,
    threshold: Positive = 11.0,
    cooldown: CountOrZero = 0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the progress has stayed behind for so long that it cannot be chance.

    With g_t the gain of an observation over the one before, in units of the noise, the sum
    `S_t = max(0, S_(t-1) + slack - g_t)` fires above the threshold (Page 1954). Gains cancel along
    the way: S is the time since some moment times `slack`, less all that was gained since, for the
    moment that makes it largest. So it stays near 0 while the metric gains more than `slack`
    per observation, and fires about `threshold / slack` observations after that has ended. CUSUM
    is optimal for a change of known size: no rule with as rare false alarms has a shorter
    worst mean delay (Lorden 1971, Moustakides 1986).

    Noise alone moves S up by its own range, so that the threshold should be 6 at least. An
    observation for the worse adds 4 at most, and a recovery counts in full: a spike does not fire.

    Args:
      slack: gain per observation below which progress counts as lacking, in units of the noise, the
        standard deviation from absolute first differences of about the last 20 observations.
      threshold: the sum, in units of the noise, that fires.
      cooldown: observations after each fire that are not looked at.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def update(
        state: CusumState, value: jax.Array, resting: jax.Array
    ) -> tuple[CusumState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        noise = hear(state.noise, value)
        worse = ratio(sign * distance(value, state.noise.last), noise.deviation)
        total = add(state.total, worse, jnp.asarray(slack, jnp.float32))
        total = jnp.where(state.noise.count > 0, total, 0.0)
        fires = total >= jnp.asarray(threshold, jnp.float32)
        return CusumState(total, state.away, noise), fires, (total, noise.deviation)

    return watch(monitor, start, update, reason=Reason.CUSUM, cooldown=cooldown, grace=grace)
