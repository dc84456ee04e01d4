"""Schedules in Optax: the transformation that applies a rate, which may be loss-aware."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.schedules import StatefulSchedule, WrappedSchedule

from lrdecay.loss_aware_schedule import advance
from lrdecay.optimizer_state import LearningRateState, watched
from lrdecay.schedules import RateOrSchedule, as_schedule
from lrdecay.signals import GRAD_ALIGNMENT, signals


def _transformation(
    schedule: RateOrSchedule | StatefulSchedule,
    at: Callable[[jax.Array], optax.GradientTransformationExtraArgs],
) -> optax.GradientTransformationExtraArgs:
    """The optimizer `at(rate)`, with the rate that the schedule says."""
    rate_of = (
        schedule
        if isinstance(schedule, StatefulSchedule)
        else WrappedSchedule(as_schedule(schedule))
    )

    def init(params: optax.Params) -> LearningRateState:
        state = rate_of.init()
        rate = jnp.asarray(rate_of(state))
        remembers = GRAD_ALIGNMENT in watched(state)
        return LearningRateState(
            learning_rate=rate.astype(jnp.float32),
            factor=jnp.ones((), jnp.float32),
            schedule=state,
            inner=at(rate).init(params),
            last_grads=optax.tree.zeros_like(params) if remembers else (),
        )

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, LearningRateState]:
        wanted = watched(state.schedule)
        heard = extra_args | signals(wanted, updates, params, state.last_grads)
        rate, schedule_state = advance(rate_of, state.schedule, **heard)
        rate = jnp.asarray(rate)
        rate *= state.factor.astype(rate.dtype)
        new, inner = at(rate).update(updates, state.inner, params, **extra_args)
        return new, LearningRateState(
            learning_rate=rate.astype(jnp.float32),
            factor=state.factor,
            schedule=schedule_state,
            inner=inner,
            last_grads=updates if GRAD_ALIGNMENT in wanted else (),
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _scale(update: Any, by: jax.Array) -> jax.Array:
    """update * by, rounded once to the precision of the update."""
    dtype = jnp.promote_types(update.dtype, jnp.float32)
    return (update.astype(dtype) * by.astype(dtype)).astype(update.dtype)


def scale_by_learning_rate(
    schedule: RateOrSchedule | StatefulSchedule,
) -> optax.GradientTransformationExtraArgs:
    """Multiplies updates by minus the rate: the last link of an Optax chain.

    In the place of `optax.scale_by_learning_rate`, for loss-aware schedules too. With a factor of
    1 the updates are those of Optax, bit for bit; only bfloat16 and float16 updates are closer to
    the exact product, which is rounded once where Optax rounds the rate as well.

    Args:
      schedule: a number, an Optax schedule, or a stateful one such as `loss_aware(...)`.
    """

    def at(rate: jax.Array) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(
            optax.stateless_with_tree_map(lambda update, _: _scale(update, -rate))
        )

    return _transformation(schedule, at)


def with_learning_rate(
    optimizer: Callable[..., optax.GradientTransformation],
    schedule: RateOrSchedule | StatefulSchedule,
    **arguments: Any,
) -> optax.GradientTransformationExtraArgs:
    """Any Optax optimizer, with a rate that may be loss-aware.

    `with_learning_rate(optax.adamw, schedule, weight_decay=1e-2)` stands for
    `optax.adamw(schedule, weight_decay=1e-2)`. The rate acts wherever the optimizer puts it: before
    or after momentum, and on decoupled weight decay as in Optax. Other arguments pass through
    untouched. With a factor of 1, updates are those of Optax, bit for bit, in any precision.

    Args:
      optimizer: the function that makes the optimizer, such as `optax.adamw`, not what it returns.
      schedule: a number, an Optax schedule, or a stateful one such as `loss_aware(...)`.
      **arguments: the optimizer's arguments, all but `learning_rate`.

    Raises:
      TypeError: `optimizer` takes no `learning_rate`, or one is among `arguments`.
    """
    if not callable(optimizer) or "learning_rate" not in inspect.signature(optimizer).parameters:
        raise TypeError(
            "optimizer must be a function of a learning_rate such as optax.adamw, without its "
            f"call, got {optimizer!r}"
        )
    if "learning_rate" in arguments:
        raise TypeError(
            "learning_rate comes from the schedule, got also "
            f"learning_rate={arguments['learning_rate']!r}"
        )

    def at(rate: jax.Array) -> optax.GradientTransformationExtraArgs:
        # As a schedule, the rate takes each update's dtype; as an array it would change it.
        return optax.with_extra_args_support(optimizer(learning_rate=lambda _: rate, **arguments))

    return _transformation(schedule, at)
