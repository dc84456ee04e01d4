"""Pflug's test: gradients that oppose each other on average."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import CountOrZero, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import distance, none, zero


class PflugState(NamedTuple):
    """State of the rule of `pflug`.

    Attributes:
      mean: mean inner product since the start or the last fire, f32[].
      count: observations since then, i32[].
    """

    mean: jax.Array
    count: jax.Array


@checked
def pflug(
    burn_in: CountOrZero = 100,
    cooldown: CountOrZero = 0,
    monitor: str = "grad_alignment",
    grace: Steps = 0,
) -> Trigger:
    """Fires when successive gradients oppose each other on average.

    On the way to the minimum their inner product is positive in the mean; around it they jump back
    and forth across, and it is negative (Pflug 1990; Chee & Toulis 2018). The sum of the inner
    products is tested after each observation, once there were more than `burn_in`.

    It is here for comparison: for small rates the mean around the minimum is tiny against its
    noise, and the sign of the sum is a coin that is tossed at every step, so that it fires far too
    early (Pesme, Dieuleveut & Flammarion 2020). It is meant for plain SGD: gradients are what it
    compares, and it remembers one, in the parameters' memory.

    Args:
      burn_in: observations, from the start and after each fire, before it looks at the sign.
      cooldown: observations after each fire that are not looked at.
      monitor: the inner product; "grad_alignment" comes with every update.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range.
    """

    def init() -> PflugState:
        return PflugState(zero(), none())

    def update(
        state: PflugState, value: jax.Array, resting: jax.Array
    ) -> tuple[PflugState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        count = state.count + 1
        mean = state.mean + distance(value, state.mean) / count.astype(jnp.float32)
        return PflugState(mean, count), (count > burn_in) & (mean < 0.0), (mean, count)

    return watch(monitor, init, update, reason=Reason.PFLUG, cooldown=cooldown, grace=grace)
