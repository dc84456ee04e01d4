"""Decline: worse than the best, by more than noise."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import Noise, distance, hear, no_noise, none

# Observations before the noise is known.
_KNOWN = 5


class DeclineState(NamedTuple):
    """State of the rule of `decline`.

    Attributes:
      best: best value so far, f32[]; infinite before the first.
      bad: observations in a row that were far from it, i32[].
      noise: noise of the observations.
    """

    best: jax.Array
    bad: jax.Array
    noise: Noise


@checked
def decline(
    z: NonNegative = 5.0,
    patience: Count = 3,
    cooldown: CountOrZero = 0,
    window: Count = 1,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the metric has fallen from its best by more than its noise, and stays there.

    As when a validation accuracy starts to decrease. It takes `patience` observations in a row that
    are worse than the best by more than `z` times the noise, the standard deviation from absolute
    first differences of about the last 20. The best of n noisy values is itself about
    `sqrt(2 log n)` times the noise below their mean, 2 to 3 in practice, so that a `z` below 4
    is often chance. After a fire, the best starts anew: only a further decline fires again.

    Args:
      z: distance from the best, in units of the noise.
      patience: observations in a row at such a distance, at least 1.
      cooldown: observations after each fire that are not looked at.
      window: observations averaged into one, block by block; all else counts blocks.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> DeclineState:
        return DeclineState(jnp.asarray(sign * jnp.inf, jnp.float32), none(), no_noise())

    def update(
        state: DeclineState, value: jax.Array, resting: jax.Array
    ) -> tuple[DeclineState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        noise = hear(state.noise, value)
        best = sign * jnp.minimum(sign * state.best, sign * value)
        far = sign * distance(value, best) > jnp.asarray(z, jnp.float32) * noise.deviation
        bad = jnp.where(far & (noise.count >= _KNOWN), state.bad + 1, 0)
        return DeclineState(best, bad, noise), bad >= patience, (value, best)

    return watch(
        monitor,
        init,
        update,
        reason=Reason.DECLINE,
        window=window,
        cooldown=cooldown,
        grace=grace,
    )
