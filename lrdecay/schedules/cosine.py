"""Cosines: one, several half waves, and with warm restarts."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import (
    Count,
    Factor,
    NonNegative,
    Number,
    Positive,
    PositiveSteps,
    Steps,
    checked,
)
from lrdecay.schedules import shapes
from lrdecay.schedules.base import Schedule
from lrdecay.schedules.clock import as_count, as_float, cycle, half_waves
from lrdecay.schedules.shapes import Pair, between, phase, raised

Growth = Annotated[ArrayLike, Number(low=1, high=1000)]


@checked
def cosine(
    init_value: NonNegative,
    decay_steps: Steps,
    end_value: NonNegative = 0.0,
    exponent: Positive = 1.0,
    half_cycles: Count = 1,
) -> Schedule:
    """Half a cosine wave from `init_value` down to `end_value`, or several half waves.

    Written with sin^2 of the distance to the nearest turning point, which keeps its relative
    accuracy in the tail, where 1 + cos cancels. Source: Loshchilov & Hutter 2017 (SGDR), eq. 5
    without restarts.

    Args:
      init_value: rate at step 0.
      decay_steps: length of the whole in steps.
      end_value: rate from step `decay_steps` on.
      exponent: power to which the wave is raised before it is scaled, above 0.
      half_cycles: number of half waves, down and up in turn; after an even number the schedule
        ends at `init_value`.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        steps = jnp.asarray(decay_steps, count.dtype)
        # A phase of no steps is over at once.
        count = jnp.where(steps > 0, jnp.minimum(count, steps), 1)
        turning = half_waves(count, jnp.maximum(steps, 1), half_cycles)
        return between(init_value, end_value, raised(*shapes.wave(*turning), exponent))

    return schedule


@checked
def k_decay(
    init_value: NonNegative,
    decay_steps: Steps,
    k: Positive = 2.0,
    end_value: NonNegative = 0.0,
) -> Schedule:
    """A cosine in `(t / decay_steps) ** k`: the larger `k`, the longer the rate stays high.

    Source: Zhang & Li 2020 (k-decay), with the cosine.

    Args:
      init_value: rate at step 0.
      decay_steps: length of the decay in steps.
      k: the exponent, above 0; 1 is `cosine`.
      end_value: rate from step `decay_steps` on.
    """

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        done, left = raised(done, left, k)
        return shapes.cosine(left, done)

    return phase(init_value, end_value, decay_steps, weights)


@checked
def cosine_restarts(
    init_value: NonNegative,
    cycle_steps: PositiveSteps,
    end_value: NonNegative = 0.0,
    length_factor: Growth = 1.0,
    peak_factor: Factor = 1.0,
) -> Schedule:
    """Cosine falls one after another, each from a peak down to `end_value`, for ever.

    To stop after some cycles, `join` it with `end_value`. Source: Loshchilov & Hutter 2017 (SGDR).

    Args:
      init_value: peak of the first cycle, the rate at step 0.
      cycle_steps: length of the first cycle in steps.
      end_value: rate that each cycle falls to; its next step is the peak of the next cycle.
      length_factor: how much longer each cycle is than the one before, in [1, 1000]. Cycles begin
        at the exact place, which need not be a whole step.
      peak_factor: what the height of the peak above `end_value` is multiplied by at each restart,
        in (0, 1].
    """

    def schedule(count: ArrayLike) -> jax.Array:
        index, left, done = cycle(count, cycle_steps, length_factor)
        height = as_float(peak_factor) ** index
        first, last = shapes.cosine(left, done)
        # The weights of the first peak and of the end, where the peak itself lies in between.
        return between(init_value, end_value, (height * first, last + first * (1.0 - height)))

    return schedule
