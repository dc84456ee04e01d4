"""The plateau: no improvement on the best value for some observations in a row."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import INT32_MAX, Count, CountOrZero, NonNegative, Number, Steps, checked
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
    patience: CountOrZero = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: CountOrZero = 0,
    window: Count = 1,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
    convention: Literal["optax", "torch", "keras"] = "optax",
) -> Trigger:
    """Fires after `patience` observations in a row without an improvement on the best.

    An improvement is better than the best by more than `rtol * |best| + atol`, so that negative
    and zero metrics work. The best goes on being updated in a cooldown.

    The conventions differ in what they count, first for `patience=p`, then for `cooldown=c`:

    * "optax": fires at the p-th bad observation, p at least 1; none of the next c counts as bad.
    * "torch": fires at the (p + 1)-th, so that 0 fires at the first; cooldown as in Optax.
    * "keras": fires at the p-th, where 0 is the same as 1; only max(c - 1, 0) do not count.

    In all of them what is observed in one step acts in the next, as in PyTorch and Keras. Where the
    metric is finite and not negative, the decisions are those of PyTorch's `threshold` (`rtol` with
    its mode "rel", else `atol`), of Keras's `min_delta` (`atol`, with `rtol=0`) and of Optax's
    `rtol`, `atol` and `accumulation_size` (`window`), whose own cuts come one step earlier.

    Args:
      patience: observations without an improvement; at least 1, or 0 where the convention says so.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      cooldown: observations after each fire in which none counts as bad.
      window: observations averaged into one, block by block; patience and cooldown count blocks.
      mode: "min" where lower is better (a loss), "max" where higher is (an accuracy).
      monitor: name of the metric: "value" is the loss given to `tx.update(..., value=loss)`, any
        other comes through `observe`.
      grace: steps at the start, such as a warmup, whose observations are not looked at.
      convention: whose count of `patience` and `cooldown` is meant.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown word.
    """
    if convention == "optax":
        Number(int, low=1, high=INT32_MAX).check("patience", patience)
    # In Keras the observation that ends a cooldown counts again.
    rest = jnp.maximum(cooldown, 1) - 1 if convention == "keras" else cooldown
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
        # PyTorch bears `patience` bad observations, the others one fewer.
        fires = bad > patience if convention == "torch" else bad >= jnp.maximum(patience, 1)
        best = jnp.where(better, value, state.best)
        return PlateauState(best, jnp.where(fires, 0, bad)), fires, (best, bad)

    return watch(
        monitor,
        init,
        update,
        reason=Reason.PLATEAU,
        window=window,
        cooldown=rest,
        grace=grace,
        restarts=False,
    )
