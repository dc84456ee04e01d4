"""Schedules in Optax: the transformation, and what one may read from and tell its state."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import DictKey, GetAttrKey
from jax.typing import ArrayLike
from optax.schedules import StatefulSchedule, WrappedSchedule

from lrdecay.loss_aware_schedule import Inbox, LossAwareState, put
from lrdecay.schedules import RateOrSchedule, as_schedule


class LearningRateState(NamedTuple):
    """State of `scale_by_learning_rate` and `with_learning_rate`.

    Attributes:
      learning_rate: the rate applied in the last update, f32[]; that of step 0 before the first.
      schedule: state of the schedule.
      inner: state of the optimizer; `()` for `scale_by_learning_rate`.
    """

    learning_rate: jax.Array
    schedule: Any
    inner: Any


def _stateful(schedule: RateOrSchedule | StatefulSchedule) -> StatefulSchedule:
    if isinstance(schedule, StatefulSchedule):
        return schedule
    return WrappedSchedule(as_schedule(schedule))


def _scale(update: jax.Array, by: jax.Array) -> jax.Array:
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
    rate_of = _stateful(schedule)

    def init(params: optax.Params) -> LearningRateState:
        del params
        state = rate_of.init()
        return LearningRateState(jnp.asarray(rate_of(state), jnp.float32), state, ())

    def update(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, LearningRateState]:
        del params
        rate = jnp.asarray(rate_of(state.schedule, **extra_args))
        updates = jax.tree.map(lambda u: _scale(u, -rate), updates)
        schedule = rate_of.update(state.schedule, **extra_args)
        return updates, LearningRateState(rate.astype(jnp.float32), schedule, ())

    return optax.GradientTransformationExtraArgs(init, update)


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
    rate_of = _stateful(schedule)

    def at(rate: jax.Array) -> optax.GradientTransformationExtraArgs:
        # As a schedule, the rate takes each update's dtype; as an array it would change it.
        return optax.with_extra_args_support(optimizer(learning_rate=lambda _: rate, **arguments))

    def init(params: optax.Params) -> LearningRateState:
        state = rate_of.init()
        rate = jnp.asarray(rate_of(state))
        return LearningRateState(rate.astype(jnp.float32), state, at(rate).init(params))

    def update(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, LearningRateState]:
        rate = jnp.asarray(rate_of(state.schedule, **extra_args))
        updates, inner = at(rate).update(updates, state.inner, params, **extra_args)
        schedule = rate_of.update(state.schedule, **extra_args)
        return updates, LearningRateState(rate.astype(jnp.float32), schedule, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _is_rate(path: tuple[Any, ...]) -> bool:
    """Whether a leaf is a recorded rate: ours, or that of `optax.inject_hyperparams`."""
    return path[-1:] == (GetAttrKey("learning_rate"),) or path[-2:] == (
        GetAttrKey("hyperparams"),
        DictKey("learning_rate"),
    )


def _without_box(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """A leaf's path without the `.value` of the variables in which Flax NNX keeps leaves."""
    return path[:-1] if path[-1:] == (GetAttrKey("value"),) else path


def _name(key: Any) -> str:
    return str(next(getattr(key, a) for a in ("key", "name", "idx") if hasattr(key, a)))


def learning_rate(opt_state: optax.OptState) -> jax.Array | dict[str, jax.Array]:
    """The rate applied in the last update, all factors included.

    Finds it under any nesting of Optax states, and in the `opt_state` of an `nnx.Optimizer`.

    Args:
      opt_state: state of an optimizer with a rate from here, or from `optax.inject_hyperparams`.

    Returns:
      One number, f32[]; with several rates, as under `optax.partition`, a dict by group.

    Raises:
      ValueError: the state holds no rate.
    """
    leaves = [(_without_box(p), x) for p, x in jax.tree_util.tree_leaves_with_path(opt_state)]
    rates = {path: x for path, x in leaves if _is_rate(path)}
    if not rates:
        raise ValueError(
            "no learning rate in this state: make the optimizer with "
            "lrdecay.scale_by_learning_rate or lrdecay.with_learning_rate"
        )
    if len(rates) == 1:
        return next(iter(rates.values()))
    shared = set.intersection(*(set(path) for path in rates))
    names = {}
    for path, rate in rates.items():
        own = [key for key in path if key not in shared]
        # Labels of groups are dictionary keys; positions in a chain say nothing beside them.
        labels = [key for key in own if isinstance(key, DictKey)] or own
        names["/".join(map(_name, labels))] = rate
    return names


def fires(opt_state: optax.OptState) -> jax.Array:
    """How often the triggers in a state have fired, all together, i32[]."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, LossAwareState))
    states = [node for node in nodes if isinstance(node, LossAwareState)]
    return sum((s.fires + fires(s.base) for s in states), start=jnp.zeros((), jnp.int32))


def _inboxes(opt_state: optax.OptState) -> tuple[list[tuple[str | None, Any]], Any]:
    """The state's inboxes by name, its other leaves with the name None, and its structure."""

    def is_inbox(x: Any) -> bool:
        return isinstance(x, Inbox)

    nodes, treedef = jax.tree_util.tree_flatten_with_path(opt_state, is_leaf=is_inbox)
    return [(_name(path[-1]) if is_inbox(x) else None, x) for path, x in nodes], treedef


def watched(opt_state: optax.OptState) -> tuple[str, ...]:
    """The names of the metrics that triggers in a state watch, sorted."""
    return tuple(sorted({name for name, _ in _inboxes(opt_state)[0] if name is not None}))


def observe(opt_state: optax.OptState, **metrics: ArrayLike) -> optax.OptState:
    """Tells every loss-aware schedule in a state about metrics, on a clock of their own.

    The next update sees the mean of what has come in, as one observation. May be called at any
    time, inside and outside of jit, and never causes a recompilation.

    Args:
      opt_state: the optimizer's state.
      **metrics: one real number each, by the name that a trigger monitors.

    Returns:
      The new state; the old one is untouched.

    Raises:
      ValueError: a name that no trigger in this state watches; the message lists those watched.
    """
    nodes, treedef = _inboxes(opt_state)
    if unknown := sorted(set(metrics) - set(watched(opt_state))):
        raise ValueError(
            f"no trigger watches {', '.join(unknown)}; "
            f"watched: {', '.join(watched(opt_state)) or 'nothing'}"
        )

    def deliver(name: str | None, node: Any) -> Any:
        if name not in metrics:
            return node
        leaves, inbox = jax.tree.flatten(node)  # opens NNX's variables, where there are any
        return jax.tree.unflatten(inbox, put(Inbox(*leaves), name, metrics[name]))

    return jax.tree.unflatten(treedef, [deliver(name, node) for name, node in nodes])
