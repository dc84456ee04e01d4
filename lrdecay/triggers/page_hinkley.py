"""Page-Hinkley: a metric that no longer lies below its own running mean."""

from typing import Literal

import jax
import jax.numpy as jnp

from lrdecay.arguments import Beta, CountOrZero, NonNegative, Positive, Steps, checked
from lrdecay.triggers.cusum import CusumState, add, start
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import distance, hear, ratio


@checked
def page_hinkley(
    slack: NonNegative = 0.2,
    threshold: Positive = 70.0,
    beta: Beta = 0.98,
    cooldown: CountOrZero = 0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the metric has stopped running ahead of its own mean.

    While a metric improves by m an observation, it is better than its exponential mean by
    `m / (1 - beta)`: the mean adds the progress of many observations up. With z_t the distance from
    it for the worse, in units of the noise, the sum `S_t = max(0, S_(t-1) + z_t + slack)` stays
    near 0 as long as that is more than `slack`, and fires above the threshold (Page 1954; Hinkley
    1971). Where there is no more progress it takes a few 1 / (1 - beta) for the mean to come
    down, and then `threshold / slack` observations.

    An observation for the worse adds 4 at most, so that one outlier does not fire.

    Args:
      slack: distance from the mean that still counts as a lack of progress, in units of the noise,
        the standard deviation from absolute first differences of about the last 20 observations.
      threshold: the sum, in units of the noise, that fires.
      beta: weight of the past in the mean, in [0, 1).
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
        seen = state.noise.count
        noise = hear(state.noise, value)
        # The mean moves by `weight` of the distance, and so lags behind the last value by the rest.
        forget = 1.0 - jnp.asarray(beta, jnp.float32)
        weight = jnp.maximum(1.0 / jnp.maximum(seen, 1).astype(jnp.float32), forget)
        away = distance(value, state.noise.last) + (1.0 - weight) * state.away
        away = jnp.where(seen > 0, away, 0.0)
        worse = ratio(sign * away, noise.deviation)
        total = add(state.total, worse, jnp.asarray(slack, jnp.float32))
        total = jnp.where(seen > 0, total, 0.0)
        fires = total >= jnp.asarray(threshold, jnp.float32)
        return CusumState(total, away, noise), fires, (total, noise.deviation)

    return watch(monitor, start, update, reason=Reason.PAGE_HINKLEY, cooldown=cooldown, grace=grace)
