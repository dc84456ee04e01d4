"""Decays by a power of the time, which have no end."""

import jax
from jax.typing import ArrayLike

from lrdecay.arguments import NonNegative, Positive, PositiveSteps, checked
from lrdecay.schedules.base import Schedule
from lrdecay.schedules.clock import as_count, as_float, whole_and_part


@checked
def power(init_value: NonNegative, timescale: PositiveSteps, exponent: Positive = 0.5) -> Schedule:
    """`init_value * (1 + t / timescale) ** -exponent`.

    Args:
      init_value: rate at step 0.
      timescale: number of steps after which the rate has fallen by `2 ** -exponent`.
      exponent: the power, above 0.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        time, scale = as_float(as_count(count)), as_float(timescale)
        return as_float(init_value) * (scale / (time + scale)) ** as_float(exponent)

    return schedule


@checked
def inverse_sqrt(init_value: NonNegative, timescale: PositiveSteps) -> Schedule:
    """`init_value * sqrt(timescale / (t + timescale))`.

    `warmup(inverse_sqrt(peak, steps), steps)` is the Transformer's schedule (Vaswani et al. 2017,
    eq. 3), which falls with the square root of the step counted from the start of the warmup.

    Args:
      init_value: rate at step 0.
      timescale: number of steps after which the rate has fallen by sqrt(2).
    """
    return power(init_value, timescale, 0.5)


@checked
def inverse_time(
    init_value: NonNegative,
    decay_steps: PositiveSteps,
    decay_rate: NonNegative = 1.0,
    staircase: bool = False,
) -> Schedule:
    """`init_value / (1 + decay_rate * t / decay_steps)`.

    Args:
      init_value: rate at step 0.
      decay_steps: the unit of time, in steps.
      decay_rate: how fast the denominator grows.
      staircase: whether t / decay_steps is rounded down.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        whole, part = whole_and_part(count, decay_steps)
        time = whole if staircase else whole + part
        return as_float(init_value) / (1.0 + as_float(decay_rate) * time)

    return schedule
