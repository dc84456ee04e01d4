"""Triggers: *when* the rate should change, as small state machines over observed numbers.

A trigger is a pair of pure functions, like an Optax transformation. Its state is a pytree of
float32 and int32 scalars of fixed shape, whatever the precision of what it observes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, checked


class Observation(NamedTuple):
    """What has been observed of one metric since the step before.

    Attributes:
      value: mean of the finite values, f32[]; 0 where there were none.
      present: whether there was a finite value, bool[].
      nonfinite: number of values that were NaN or infinite, i32[].
    """

    value: jax.Array
    present: jax.Array
    nonfinite: jax.Array


class Trigger(NamedTuple):
    """When to act.

    Attributes:
      init: () -> state.
      update: (state, step, observed) -> (state, fires), called once a step. `step` is i32[], the
        index of the step about to run; `observed` maps each monitored name to an `Observation`;
        `fires` is bool[].
      monitors: the names of the metrics watched.
    """

    init: Callable[[], Any]
    update: Callable[[Any, jax.Array, Mapping[str, Observation]], tuple[Any, jax.Array]]
    monitors: tuple[str, ...]


def watch(
    monitor: str,
    init: Callable[[], Any],
    update: Callable[[Any, jax.Array], tuple[Any, jax.Array]],
) -> Trigger:
    """A trigger over one number, whose clock is the observations of it.

    Args:
      monitor: name of the metric.
      init: () -> state.
      update: (state, value) -> (state, fires), with a finite value, f32[]. Where a step brings no
        observation, the state is kept and the trigger does not fire.
    """

    def on_step(
        state: Any, step: jax.Array, observed: Mapping[str, Observation]
    ) -> tuple[Any, jax.Array]:
        del step
        value, present, _ = observed[monitor]
        new, fires = update(state, value)
        return jax.tree.map(lambda n, o: jnp.where(present, n, o), new, state), fires & present

    return Trigger(init, on_step, (monitor,))


class PlateauState(NamedTuple):
    """State of `plateau`.

    Attributes:
      best: best value so far, f32[]; infinite before the first.
      bad: observations in a row that were no improvement, i32[].
      cooldown: observations left in which nothing counts as bad, i32[].
      mean: mean of the window being filled, f32[].
      filled: values in the window being filled, i32[].
    """

    best: jax.Array
    bad: jax.Array
    cooldown: jax.Array
    mean: jax.Array
    filled: jax.Array


@checked
def plateau(
    patience: Count = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: CountOrZero = 0,
    window: Count = 1,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
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

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> PlateauState:
        return PlateauState(
            best=jnp.asarray(sign * jnp.inf, jnp.float32),
            bad=jnp.zeros((), jnp.int32),
            cooldown=jnp.zeros((), jnp.int32),
            mean=jnp.zeros((), jnp.float32),
            filled=jnp.zeros((), jnp.int32),
        )

    def update(state: PlateauState, value: jax.Array) -> tuple[PlateauState, jax.Array]:
        filled = state.filled + 1
        mean = state.mean + (value - state.mean) / filled.astype(jnp.float32)
        full = filled >= window
        scale = jnp.where(jnp.isfinite(state.best), jnp.abs(state.best), 0.0)
        margin = jnp.asarray(rtol, jnp.float32) * scale + jnp.asarray(atol, jnp.float32)
        better = full & (sign * mean < sign * state.best - margin)
        cooling = state.cooldown > 0
        bad = jnp.where(better | cooling, 0, state.bad + 1)
        fires = full & (bad >= patience)
        waited = jnp.maximum(state.cooldown - 1, 0)
        return PlateauState(
            best=jnp.where(better, mean, state.best),
            bad=jnp.where(fires, 0, jnp.where(full, bad, state.bad)),
            cooldown=jnp.where(
                fires, jnp.asarray(cooldown, jnp.int32), jnp.where(full, waited, state.cooldown)
            ),
            mean=jnp.where(full, 0.0, mean),
            filled=jnp.where(full, 0, filled),
        ), fires

    return watch(monitor, init, update)
