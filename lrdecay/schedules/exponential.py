"""Exponential decays, smooth and in stairs."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import Factor, NonNegative, PositiveSteps, checked
from lrdecay.schedules.base import Boundaries, Schedule
from lrdecay.schedules.clock import as_count, as_float, whole_and_part


@checked
def exponential(
    init_value: NonNegative,
    decay_steps: PositiveSteps,
    decay_rate: Factor,
    end_value: NonNegative = 0.0,
    staircase: bool = False,
) -> Schedule:
    """`init_value * decay_rate ** (t / decay_steps)`, never below `end_value`.

    Args:
      init_value: rate at step 0.
      decay_steps: number of steps in which the rate falls by `decay_rate`.
      decay_rate: the factor, in (0, 1].
      end_value: the floor.
      staircase: whether the exponent is rounded down, so that the rate falls every `decay_steps`
        steps at once.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        whole, part = whole_and_part(count, decay_steps)
        decayed = as_float(init_value) * as_float(decay_rate) ** whole
        if not staircase:
            decayed *= as_float(decay_rate) ** part
        return jnp.maximum(decayed, as_float(end_value))

    return schedule


@checked
def step(init_value: NonNegative, decay_steps: PositiveSteps, factor: Factor = 0.1) -> Schedule:
    """A staircase: multiplies the rate by `factor` every `decay_steps` steps.

    Args:
      init_value: rate before the first cut.
      decay_steps: length of a stair in steps; the first cut acts at step `decay_steps`.
      factor: what each cut multiplies the rate by, in (0, 1].
    """
    return exponential(init_value, decay_steps, factor, staircase=True)


@checked
def multistep(init_value: NonNegative, boundaries: Boundaries, factor: Factor = 0.1) -> Schedule:
    """Multiplies the rate by `factor` at each of the boundaries.

    For given rates in between the boundaries, `join` the numbers.

    Args:
      init_value: rate before the first cut.
      boundaries: the steps at which the cuts act, in any order; a step given twice cuts twice.
      factor: what each cut multiplies the rate by, in (0, 1].
    """
    steps = list(boundaries)

    def schedule(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        cuts = jnp.zeros(count.shape, jnp.int32)
        for boundary in steps:
            cuts += (count >= jnp.asarray(boundary, count.dtype)).astype(jnp.int32)
        return as_float(init_value) * as_float(factor) ** as_float(cuts)

    return schedule
