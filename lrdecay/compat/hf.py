"""The schedules of Hugging Face Transformers 5.23, `transformers.optimization`.

`num_training_steps` includes the warmup, where our `warmup` adds to the length of what follows.
The cosines climb again after the end, where ours stay.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay import constant, inverse_sqrt, join, linear, polynomial
from lrdecay.arguments import (
    INT32_MAX,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveSteps,
    Steps,
    checked,
)
from lrdecay.compat import plateau
from lrdecay.schedules import RateOrSchedule, Schedule
from lrdecay.schedules.base import concrete
from lrdecay.schedules.clock import as_count, as_float, half_waves
from lrdecay.schedules.shapes import Shape, backwards, between, cosine, phase, wave, weights_of


def _after(num_warmup_steps: ArrayLike, num_training_steps: ArrayLike) -> jax.Array:
    """Steps that are left after the warmup; never below 0."""
    steps = jnp.asarray(num_training_steps, jnp.int32) - jnp.asarray(num_warmup_steps, jnp.int32)
    return jnp.maximum(steps, 0)


def _warmed(
    lr: ArrayLike,
    schedule: RateOrSchedule,
    num_warmup_steps: ArrayLike,
    init_value: ArrayLike = 0.0,
    shape: Shape = "linear",
) -> Schedule:
    """A climb to `lr` and then the schedule, which may not begin there if it has no steps."""
    climb = phase(init_value, lr, num_warmup_steps, backwards(weights_of(shape)))
    return join([climb, schedule], [num_warmup_steps])


def _wave(lr: ArrayLike, end: ArrayLike, steps: ArrayLike, num_cycles: ArrayLike) -> Schedule:
    """A cosine of `num_cycles` whole waves in these steps, without an end."""

    def schedule(count: ArrayLike) -> jax.Array:
        turning = half_waves(count, jnp.maximum(steps, 1), 2.0 * as_float(num_cycles))
        return between(lr, end, wave(*turning))

    return schedule


@checked
def get_constant_schedule(lr: NonNegative) -> Schedule:
    """Our `constant`."""
    return constant(lr)


@checked
def get_constant_schedule_with_warmup(lr: NonNegative, num_warmup_steps: Steps) -> Schedule:
    """Our `warmup` of a number."""
    return _warmed(lr, lr, num_warmup_steps)


@checked
def get_linear_schedule_with_warmup(
    lr: NonNegative, num_warmup_steps: Steps, num_training_steps: Steps
) -> Schedule:
    """Our `linear` to 0 under our `warmup`."""
    fall = linear(lr, 0.0, _after(num_warmup_steps, num_training_steps))
    return _warmed(lr, fall, num_warmup_steps)


@checked
def get_cosine_schedule_with_warmup(
    lr: NonNegative,
    num_warmup_steps: Steps,
    num_training_steps: Steps,
    num_cycles: NonNegative = 0.5,
) -> Schedule:
    """A cosine of `num_cycles` whole waves; `cosine` of ours counts half waves, and ends."""
    steps = _after(num_warmup_steps, num_training_steps)
    return _warmed(lr, _wave(lr, 0.0, steps, num_cycles), num_warmup_steps)


@checked
def get_cosine_with_hard_restarts_schedule_with_warmup(
    lr: NonNegative,
    num_warmup_steps: Steps,
    num_training_steps: Steps,
    num_cycles: Count = 1,
) -> Schedule:
    """Equal cosine falls, as many as `num_cycles`, and then 0.

    The cycles need not be whole steps long; those of our `cosine_restarts` begin with one.
    """
    steps = jnp.maximum(_after(num_warmup_steps, num_training_steps), 1)

    def falls(count: ArrayLike) -> jax.Array:
        _, offset = half_waves(count, steps, num_cycles)
        left = jnp.where(offset < 0.0, -offset, 1.0 - offset)
        return as_float(lr) * cosine(left, 1.0 - left)[0]

    return _warmed(lr, join([falls, 0.0], [steps]), num_warmup_steps)


@checked
def get_polynomial_decay_schedule_with_warmup(
    lr: NonNegative,
    num_warmup_steps: Steps,
    num_training_steps: Steps,
    lr_end: NonNegative = 1e-7,
    power: Positive = 1.0,
) -> Schedule:
    """Our `polynomial` under our `warmup`; but the end is 1e-7 where none is given.

    Raises:
      ValueError: `lr_end` is not below `lr`.
    """
    if len(known := concrete(lr, lr_end)) == 2 and known[1] >= known[0]:
        raise ValueError(f"lr_end must be below the {lr} of lr, got {lr_end}")
    fall = polynomial(lr, _after(num_warmup_steps, num_training_steps), power, lr_end)
    return _warmed(lr, fall, num_warmup_steps)


@checked
def get_inverse_sqrt_schedule(
    lr: NonNegative, num_warmup_steps: Steps, timescale: PositiveSteps | None = None
) -> Schedule:
    """Our `inverse_sqrt` under our `warmup`; its timescale is the warmup, or 10000 without one."""
    if timescale is None:
        steps = jnp.asarray(num_warmup_steps, jnp.int32)
        timescale = jnp.where(steps > 0, steps, 10_000)
    return _warmed(lr, inverse_sqrt(lr, timescale), num_warmup_steps)


def _min_lr(lr: ArrayLike, min_lr: ArrayLike | None, min_lr_rate: ArrayLike | None) -> jax.Array:
    if min_lr is not None and min_lr_rate is None:
        return as_float(min_lr)
    if min_lr_rate is not None and min_lr is None:
        return as_float(lr) * as_float(min_lr_rate)
    raise ValueError(
        f"min_lr or min_lr_rate must be given, and not both, got {min_lr} and {min_lr_rate}"
    )


@checked
def get_cosine_with_min_lr_schedule_with_warmup(
    lr: NonNegative,
    num_warmup_steps: Steps,
    num_training_steps: Steps,
    num_cycles: NonNegative = 0.5,
    min_lr: NonNegative | None = None,
    min_lr_rate: NonNegative | None = None,
) -> Schedule:
    """`get_cosine_schedule_with_warmup` down to `min_lr`, or to `lr * min_lr_rate`.

    Raises:
      ValueError: neither of the two is given, or both.
    """
    end = _min_lr(lr, min_lr, min_lr_rate)
    steps = _after(num_warmup_steps, num_training_steps)
    return _warmed(lr, _wave(lr, end, steps, num_cycles), num_warmup_steps)


@checked
def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    lr: NonNegative,
    num_warmup_steps: Steps,
    num_training_steps: Steps,
    num_cycles: NonNegative = 0.5,
    min_lr: NonNegative | None = None,
    min_lr_rate: NonNegative | None = None,
    warmup_lr_rate: NonNegative | None = None,
) -> Schedule:
    """As `get_cosine_with_min_lr_schedule_with_warmup`, but all of it one step ahead.

    The warmup starts at `lr * warmup_lr_rate`, or at `lr / num_warmup_steps`, and reaches `lr` in
    its last step; the cosine starts with its second value, and ends one step early.

    Raises:
      ValueError: neither `min_lr` nor `min_lr_rate` is given, or both.
    """
    steps = jnp.asarray(num_warmup_steps, jnp.int32)
    rate = 1.0 / as_float(jnp.maximum(steps, 1)) if warmup_lr_rate is None else warmup_lr_rate
    climb = linear(as_float(lr) * as_float(rate), lr, jnp.maximum(steps - 1, 1))
    end = _min_lr(lr, min_lr, min_lr_rate)
    fall = _wave(lr, end, _after(num_warmup_steps, num_training_steps), num_cycles)

    def ahead(count: ArrayLike) -> ArrayLike:
        return fall(jnp.minimum(as_count(count), INT32_MAX - 1) + 1)

    return join([climb, ahead], [num_warmup_steps])


@checked
def get_wsd_schedule(
    lr: NonNegative,
    num_warmup_steps: Steps,
    num_decay_steps: Steps,
    num_training_steps: Steps | None = None,
    num_stable_steps: Steps | None = None,
    warmup_type: Literal["linear", "cosine", "1-sqrt"] = "linear",
    decay_type: Literal["linear", "cosine", "1-sqrt"] = "cosine",
    min_lr_ratio: Fraction = 0.0,
    num_cycles: NonNegative = 0.5,
) -> Schedule:
    """Our `wsd`, with a cosine cooldown; but the warmup starts from `lr * min_lr_ratio`.

    Without `num_stable_steps` the stable phase is what the others leave of `num_training_steps`,
    and must not be negative.

    Raises:
      ValueError: neither of the two is given.
    """
    if num_stable_steps is None:
        if num_training_steps is None:
            raise ValueError("num_training_steps or num_stable_steps must be given, got neither")
        others = jnp.asarray(num_warmup_steps, jnp.int32) + jnp.asarray(num_decay_steps, jnp.int32)
        num_stable_steps = jnp.asarray(num_training_steps, jnp.int32) - others
        if any(steps < 0 for steps in concrete(num_stable_steps)):
            raise ValueError(
                f"num_training_steps must be at least the {others} of the warmup and the decay, "
                f"got {num_training_steps}"
            )
    end = as_float(lr) * as_float(min_lr_ratio)
    if decay_type == "cosine":
        fall = _wave(lr, end, num_decay_steps, num_cycles)
    else:
        fall = phase(lr, end, num_decay_steps, weights_of(decay_type))
    after = join([lr, join([fall, end], [num_decay_steps])], [num_stable_steps])
    return _warmed(lr, after, num_warmup_steps, end, warmup_type)


NAMES: dict[str, Callable[..., Schedule]] = {
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "cosine_with_restarts": get_cosine_with_hard_restarts_schedule_with_warmup,
    "polynomial": get_polynomial_decay_schedule_with_warmup,
    "constant": get_constant_schedule,
    "constant_with_warmup": get_constant_schedule_with_warmup,
    "inverse_sqrt": get_inverse_sqrt_schedule,
    "cosine_with_min_lr": get_cosine_with_min_lr_schedule_with_warmup,
    "cosine_warmup_with_min_lr": get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
    "warmup_stable_decay": get_wsd_schedule,
}


def get_scheduler(
    name: str,
    lr: NonNegative,
    num_warmup_steps: Steps | None = None,
    num_training_steps: Steps | None = None,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
) -> Schedule:
    """The schedule of a `lr_scheduler_type`, made of those arguments that it takes.

    Args:
      name: a key of `NAMES`.
      lr: the base rate.
      num_warmup_steps: length of the warmup in steps.
      num_training_steps: length of the whole in steps.
      scheduler_specific_kwargs: further arguments of this schedule.

    Raises:
      ValueError: an unknown name, or an argument that the schedule does not take.
      TypeError: an argument that the schedule needs is missing.
    """
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    taken = inspect.signature(NAMES[name]).parameters
    common = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    given = {k: v for k, v in common.items() if k in taken and v is not None}
    own = dict(scheduler_specific_kwargs or {})
    if not own.keys() <= taken.keys() - {"lr", *common}:
        known = ", ".join(taken.keys() - {"lr", *common})
        raise ValueError(f"scheduler_specific_kwargs must be among {known}, got {', '.join(own)}")
    return NAMES[name](lr, **given, **own)


GreedyLR = plateau.hf_greedy
