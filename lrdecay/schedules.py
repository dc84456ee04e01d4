"""Schedules: the rate as a function of the step alone, as in Optax (int32[] step -> rate[]).

One convention throughout: step 0 has the initial value, the end value is reached exactly after the
given number of steps and held for ever after, and a phase of no steps is skipped. Every number may
be traced, and differentiated where it is continuous. Rates are float32 (float64 under x64).

Any Optax schedule is accepted wherever a schedule is, and so is a number, as a constant.
"""

from collections.abc import Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from lrdecay.arguments import (
    INT32_MAX,
    Factor,
    NonNegative,
    Number,
    PositiveSteps,
    Steps,
    checked,
)

Schedule = optax.Schedule
RateOrSchedule = NonNegative | Schedule
Boundaries = Annotated[
    Sequence[ArrayLike] | jax.Array | np.ndarray,
    Number(int, 0, INT32_MAX, duration=True, many=True),
]


def _float(x: ArrayLike) -> jax.Array:
    return jnp.asarray(x, jnp.result_type(float))


def _minus(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """a - b for steps, exact for integers: float32 counts only to 2^24."""
    if all(jnp.issubdtype(jnp.result_type(x), jnp.integer) for x in (a, b)):
        return _float(jnp.asarray(a, jnp.int32) - jnp.asarray(b, jnp.int32))
    return _float(a) - _float(b)


def _share_left(count: ArrayLike, steps: ArrayLike) -> jax.Array:
    """The share of a phase that lies ahead: 1 at its start, exactly 0 from its end on."""
    left = _minus(steps, count) / jnp.maximum(_float(steps), 1.0)
    return jnp.clip(left, 0.0, 1.0)


def _whole_and_part(count: ArrayLike, steps: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """count / steps as a whole number and a remainder in [0, 1), both accurate at large counts."""
    count = jnp.maximum(jnp.asarray(count), 0)
    if jnp.issubdtype(count.dtype, jnp.integer):
        count, steps = count.astype(jnp.int32), jnp.asarray(steps, jnp.int32)
    else:
        count, steps = _float(count), _float(steps)
    whole, part = jnp.divmod(count, steps)
    return _float(whole), _float(part) / _float(steps)


def as_schedule(schedule: RateOrSchedule) -> Schedule:
    """A schedule as it is; a number as a constant schedule."""
    return schedule if callable(schedule) else constant(schedule)


@checked
def constant(value: NonNegative) -> Schedule:
    """The same rate at every step."""
    return lambda count: jnp.broadcast_to(_float(value), jnp.shape(count))


@checked
def linear(init_value: NonNegative, end_value: NonNegative, decay_steps: Steps) -> Schedule:
    """A straight line from `init_value` to `end_value`, up or down.

    Args:
      init_value: rate at step 0.
      end_value: rate from step `decay_steps` on.
      decay_steps: length of the line in steps.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        left = _share_left(count, decay_steps)
        return _float(init_value) * left + _float(end_value) * (1.0 - left)

    return schedule


@checked
def cosine(init_value: NonNegative, decay_steps: Steps, end_value: NonNegative = 0.0) -> Schedule:
    """Half a cosine wave from `init_value` down to `end_value`.

    Written with sin^2 of the steps left, which keeps its relative accuracy in the tail, where
    1 + cos cancels. Source: Loshchilov & Hutter 2017 (SGDR), eq. 5 without restarts.

    Args:
      init_value: rate at step 0.
      decay_steps: length of the half wave in steps.
      end_value: rate from step `decay_steps` on.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        angle = 0.5 * np.pi * _share_left(count, decay_steps)
        return _float(init_value) * jnp.sin(angle) ** 2 + _float(end_value) * jnp.cos(angle) ** 2

    return schedule


@checked
def exponential(
    init_value: NonNegative,
    decay_steps: PositiveSteps,
    decay_rate: Factor,
    end_value: NonNegative = 0.0,
) -> Schedule:
    """`init_value * decay_rate ** (t / decay_steps)`, never below `end_value`.

    Args:
      init_value: rate at step 0.
      decay_steps: number of steps in which the rate falls by `decay_rate`.
      decay_rate: the factor, in (0, 1].
      end_value: the floor.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        whole, part = _whole_and_part(count, decay_steps)
        decayed = _float(init_value) * _float(decay_rate) ** whole * _float(decay_rate) ** part
        return jnp.maximum(decayed, _float(end_value))

    return schedule


@checked
def step(init_value: NonNegative, decay_steps: PositiveSteps, factor: Factor = 0.1) -> Schedule:
    """A staircase: multiplies the rate by `factor` every `decay_steps` steps.

    Args:
      init_value: rate before the first cut.
      decay_steps: length of a stair in steps; the first cut acts at step `decay_steps`.
      factor: what each cut multiplies the rate by, in (0, 1].
    """

    def schedule(count: ArrayLike) -> jax.Array:
        return _float(init_value) * _float(factor) ** _whole_and_part(count, decay_steps)[0]

    return schedule


@checked
def join(schedules: Sequence[RateOrSchedule], boundaries: Boundaries) -> Schedule:
    """One schedule after another, each on a clock of its own that starts at 0.

    Args:
      schedules: the schedules, or numbers, in order.
      boundaries: the step at which each schedule but the first takes over; never falling. Two
        equal boundaries leave out the schedule between them.

    Raises:
      ValueError: not one boundary fewer than schedules, or falling boundaries.
    """
    parts = [as_schedule(s) for s in schedules]
    starts = list(boundaries)
    if len(parts) != len(starts) + 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules, got {len(starts)} for {len(parts)}"
        )
    known = [int(np.asarray(s)) for s in starts if not isinstance(s, jax.core.Tracer)]
    if known != sorted(known):
        raise ValueError(f"boundaries must not fall, got {known}")

    def schedule(count: ArrayLike) -> jax.Array:
        count = jnp.asarray(count)
        limit = INT32_MAX if jnp.issubdtype(count.dtype, jnp.integer) else jnp.inf
        begins = [jnp.asarray(s, count.dtype) for s in (0, *starts)]
        ends = [*begins[1:], jnp.asarray(limit, count.dtype)]
        # A schedule that is not on is read inside its own phase, where it is finite: an infinity
        # there would turn the gradient of the one that is on into NaN.
        rate = jnp.zeros(count.shape, jnp.result_type(float))
        for part, begin, end in zip(parts, begins, ends, strict=True):
            local = jnp.clip(count, begin, end) - begin
            rate = jnp.where(count >= begin, _float(part(local)), rate)
        return rate

    return schedule


@checked
def warmup(
    schedule: RateOrSchedule, warmup_steps: Steps, init_value: NonNegative = 0.0
) -> Schedule:
    """A straight climb to the first value of `schedule`, which then runs on its own clock.

    The total length is `warmup_steps` plus that of `schedule`. With no warmup steps it is
    `schedule` itself. Source: Goyal et al. 2017, section 2.2.

    Args:
      schedule: what follows the warmup. For a loss-aware schedule, warm up its base instead:
        `loss_aware(warmup(base, steps), when=..., how=...)`.
      warmup_steps: length of the climb in steps.
      init_value: rate at step 0.

    Raises:
      TypeError: `schedule` is loss-aware, so that it has no first value to climb to.
    """
    if isinstance(schedule, optax.schedules.StatefulSchedule):
        raise TypeError(
            f"warmup takes a schedule of the step alone, got {type(schedule).__name__}; put the "
            "warmup inside: loss_aware(warmup(base, steps), when=..., how=...)"
        )
    after = as_schedule(schedule)

    def climb(count: ArrayLike) -> jax.Array:
        return _float(linear(init_value, after(0), warmup_steps)(count))

    return join([climb, after], [warmup_steps])
