"""Schedules made of schedules."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import INT32_MAX, PositiveSteps, Steps, checked
from lrdecay.schedules.base import (
    Boundaries,
    RateOrSchedule,
    Schedule,
    boundary_list,
    concrete,
    floats,
    floats_list,
)
from lrdecay.schedules.clock import as_count, as_float, shares


@checked
def join(schedules: Sequence[RateOrSchedule], boundaries: Boundaries) -> Schedule:
    """One schedule after another, each on a clock of its own that starts at 0.

    Numbers joined are a piecewise constant rate.

    Args:
      schedules: the schedules, or numbers, in order.
      boundaries: the step at which each schedule but the first takes over; never falling. Two
        equal boundaries leave out the schedule between them.

    Raises:
      ValueError: not one boundary fewer than schedules, or falling boundaries.
    """
    parts = floats_list(schedules)
    starts = boundary_list(boundaries)
    if len(parts) != len(starts) + 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules, got {len(starts)} for {len(parts)}"
        )

    def schedule(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        limit = INT32_MAX if jnp.issubdtype(count.dtype, jnp.integer) else jnp.inf
        begins = [jnp.asarray(s, count.dtype) for s in (0, *starts)]
        ends = [*begins[1:], jnp.asarray(limit, count.dtype)]
        # A schedule that is not on is read inside its own phase, where it is finite: an infinity
        # there would turn the gradient of the one that is on into NaN.
        rate = jnp.zeros(count.shape, jnp.result_type(float))
        for part, begin, end in zip(parts, begins, ends, strict=True):
            local = jnp.clip(count, begin, end) - begin
            rate = jnp.where(count >= begin, part(local), rate)
        return rate

    return schedule


@checked
def product(schedules: Sequence[RateOrSchedule]) -> Schedule:
    """The product of schedules: a rate, and factors that change it.

    Args:
      schedules: the schedules, or numbers, at least one.

    Raises:
      ValueError: no schedules.
    """
    factors = floats_list(schedules)
    if not factors:
        raise ValueError("schedules must have at least one, got none")

    def schedule(count: ArrayLike) -> jax.Array:
        rate = factors[0](count)
        for factor in factors[1:]:
            rate *= factor(count)
        return rate

    return schedule


@checked
def repeat(schedule: RateOrSchedule, cycle_steps: PositiveSteps) -> Schedule:
    """The first `cycle_steps` steps of a schedule, over and over.

    Args:
      schedule: the schedule, or a number.
      cycle_steps: length of a cycle in steps; the rate of step `cycle_steps` is that of step 0.
    """
    inner = floats(schedule)

    def repeated(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        return inner(count % jnp.asarray(cycle_steps, count.dtype))

    return repeated


@checked
def rescale(
    schedule: RateOrSchedule, old_steps: Steps, new_steps: Steps, at: Steps = 0
) -> Schedule:
    """A schedule whose horizon changes on the way, without a jump.

    Up to step `at` it is the schedule as it is. What the schedule would have done from there to
    step `old_steps` is then stretched, or shortened, to end at step `new_steps`, and the rate of
    its step `old_steps` is held.

    Args:
      schedule: the schedule, or a number. It is asked for rates in between whole steps.
      old_steps: the horizon that the schedule was made for, in steps.
      new_steps: the horizon that it shall have.
      at: the step at which the plan changes; neither horizon may lie before it.

    Raises:
      ValueError: a horizon before `at`.
    """
    for name, steps in (("old_steps", old_steps), ("new_steps", new_steps)):
        if len(known := concrete(at, steps)) == 2 and known[1] < known[0]:
            raise ValueError(f"{name} must be at least the {at} of at, got {steps}")
    inner = floats(schedule)

    def rescaled(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        start = jnp.asarray(at, count.dtype)
        left, _ = shares(count - start, jnp.asarray(new_steps, count.dtype) - start)
        ahead = as_float(jnp.asarray(old_steps, count.dtype) - start)
        stretched = inner(as_float(old_steps) - left * ahead)
        return jnp.where(count <= start, inner(jnp.minimum(count, start)), stretched)

    return rescaled
