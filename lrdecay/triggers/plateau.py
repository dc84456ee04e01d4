"""The plateau: no improvement on the best value for some observations in a row."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch


class PlateauState(NamedTuple):
    """State of the rule of `plateau`.

    Attributes:
      best: best value so far, f32[]; infinite before the first.
      bad: observations in a row that were no improvement, i32[].
    """

    best: jax.Array
    bad: jax.Array


@checked
def plateau(
    patience: Count = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: CountOrZero = 0,
    window: Count = 1,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires after `patience` observations in a row without an improvement on the best.

    An improvement is better than the best by more than `rtol * |best| + atol`, so that negative
    and zero metrics work. The best goes on being updated in a cooldown.

    `patience=n` fires at the n-th bad observation, as in Keras and Optax; PyTorch's `patience=n`
    cuts one later, and is `patience=n + 1` here. As in PyTorch and Keras, what is observed in one
    step acts in the next.

    Args:
      patience: observations without an improvement, at least 1.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      cooldown: observations after each fire in which none counts as bad.
      window: observations averaged into one, block by block; patience and cooldown count blocks.
      mode: "min" where lower is better (a loss), "max" where higher is (an accuracy).
      monitor: name of the metric: "value" is the loss given to `tx.update(..., value=loss)`, any
        other comes through `observe`.
      grace: steps at the start, such as a warmup, in which nothing is looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> PlateauState:
        return PlateauState(jnp.asarray(sign * jnp.inf, jnp.float32), jnp.zeros((), jnp.int32))

    def update(
        state: PlateauState, value: jax.Array, resting: jax.Array
    ) -> tuple[PlateauState, jax.Array, tuple[jax.Array, jax.Array]]:
        scale = jnp.where(jnp.isfinite(state.best), jnp.abs(state.best), 0.0)
        margin = jnp.asarray(rtol, jnp.float32) * scale + jnp.asarray(atol, jnp.float32)
        better = sign * value < sign * state.best - margin
        bad = jnp.where(better | resting, 0, state.bad + 1)
        fires = bad >= patience
        best = jnp.where(better, value, state.best)
        return PlateauState(best, jnp.where(fires, 0, bad)), fires, (best, bad)

    return watch(
        monitor,
        init,
        update,
        reason=Reason.PLATEAU,
        window=window,
        cooldown=cooldown,
        grace=grace,
        restarts=False,
    )
