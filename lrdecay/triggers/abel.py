"""ABEL: the norm of the parameters bounces."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import none, zero


class AbelState(NamedTuple):
    """State of the rule of `abel`.

    Attributes:
      last: norm in the window before, f32[].
      direction: where it went last, 1 for up and -1 for down, i32[]; 0 where not known.
      turns: turns since the last fire, i32[].
      count: windows so far, 0 or 1, i32[].
    """

    last: jax.Array
    direction: jax.Array
    turns: jax.Array
    count: jax.Array


@checked
def abel(
    window: Count = 1,
    turns: Count = 2,
    cooldown: CountOrZero = 0,
    monitor: str = "param_norm",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the norm of the parameters turns for the second time: a bounce.

    With normalisation and weight decay the norm falls at a high rate, and rises again when the rate
    has done its work; noise turns it at once. Two turns, a minimum and what follows it, are the
    sign (ABEL, Lewkowycz 2021, which also cuts once close to the end: `abel(...) | at([step])`).
    Without weight decay or normalisation the norm mostly just grows, and this never fires.

    Args:
      window: observations averaged into one: the steps of an epoch.
      turns: turns that it takes to fire.
      cooldown: windows after each fire in which it does not fire.
      monitor: the norm; "param_norm" comes with every update.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range.
    """

    def init() -> AbelState:
        return AbelState(zero(), none(), none(), none())

    def update(
        state: AbelState, value: jax.Array, resting: jax.Array
    ) -> tuple[AbelState, jax.Array, tuple[jax.Array, jax.Array]]:
        going = jnp.where(state.count > 0, jnp.sign(value - state.last), 0.0).astype(jnp.int32)
        so_far = state.turns + (going * state.direction < 0).astype(jnp.int32)
        so_far = jnp.where(resting, 0, so_far)
        fires = so_far >= turns
        after = AbelState(
            last=value,
            direction=jnp.where(going == 0, state.direction, going),
            turns=jnp.where(fires, 0, so_far),
            count=jnp.ones_like(state.count),
        )
        return after, fires, (value, so_far)

    return watch(
        monitor,
        init,
        update,
        reason=Reason.ABEL,
        window=window,
        cooldown=cooldown,
        grace=grace,
        restarts=False,
    )
