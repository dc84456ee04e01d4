"""Replay: what a schedule would have done over a recorded history."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from optax.schedules import StatefulSchedule, WrappedSchedule

from lrdecay import fires, observe, watched
from lrdecay.arguments import INT32_MAX
from lrdecay.loss_aware_schedule import LOSS, Cause, LossAwareState, advance
from lrdecay.schedules import RateOrSchedule, as_schedule
from lrdecay.triggers import Reason
from lrdecay.triggers.protocol import select

Curve = ArrayLike | Sequence[float | int]
Mask = ArrayLike | Sequence[bool]


class Replay(NamedTuple):
    """What a schedule says over a history of n steps: a row a step, and one for the step to come.

    Row t is what is known before step t runs, when values 0 to t - 1 have been weighed. The last
    row has weighed them all: `learning_rate[-1]` is what the rate should be now. So
    `jnp.diff(fires)`, i32[n], says what each value made of it: 1 where it let the trigger fire.

    Attributes:
      learning_rate: the rate of each step, f32[n + 1].
      fires: how often the triggers have fired, i32[n + 1].
      reason: a `Reason` for each rate, i32[n + 1]: what happened in that step, not before.
      cause: why `fires` last changed, as a `Cause` of arrays of n + 1.
    """

    learning_rate: jax.Array
    fires: jax.Array
    reason: jax.Array
    cause: Cause


def replay(
    schedule: RateOrSchedule | StatefulSchedule,
    values: Curve | Mapping[str, Curve],
    present: Mask | Mapping[str, Mask] | None = None,
) -> Replay:
    """Runs a schedule over a recorded history: where should the rate have fallen?

    One compiled loop. It may be traced: under `jax.vmap`, one program replays schedules of the same
    form with other hyperparameters, or one schedule over many histories; under `jax.jit`, with the
    schedule closed over, further histories of the same length need no compilation.

    Args:
      schedule: the schedule. For one that is not loss-aware, the values only say how many steps.
      values: what was observed in each step, f[n]: of the one metric that the schedule watches, or
        a mapping from the names of metrics to one such array each. A NaN or an infinity is a value,
        one that is not finite, as the run that recorded it would have told the schedule.
      present: where there is a value at all, bool[n], or a mapping with such an array for some of
        the metrics; everywhere by default. What `values` holds elsewhere does not matter.

    Raises:
      TypeError: values that are no real numbers, or a `present` that is not made of bool.
      ValueError: arrays that are not of one dimension and the same length, no values of a metric
        that the schedule watches, or a `present` without values.
    """
    if not isinstance(schedule, StatefulSchedule):
        schedule = WrappedSchedule(as_schedule(schedule))
    names = watched(schedule.init())
    curves = _by_name("values", values, names)
    masks = {} if present is None else _by_name("present", present, names)
    if missing := [name for name in names if name not in curves]:
        raise ValueError(
            f"values must have {', '.join(missing)}, which the schedule watches, "
            f"got {', '.join(curves) or 'nothing'}"
        )
    told = {name: _numbers(f"values of {name}", x) for name, x in curves.items()}
    here = {name: _truths(f"present of {name}", x) for name, x in masks.items()}
    if unknown := [name for name in here if name not in told]:
        raise ValueError(f"present must be of the values, got also {', '.join(unknown)}")
    shapes = {x.shape for x in (*told.values(), *here.values())}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(
            "values and present must be arrays of one dimension and the same length, "
            f"got shapes {', '.join(map(str, sorted(shapes))) or 'of nothing'}"
        )
    return jax.jit(lambda told, here: _run(schedule, told, here))(told, here)


def _run(
    schedule: StatefulSchedule, told: Mapping[str, jax.Array], here: Mapping[str, jax.Array]
) -> Replay:
    def step(state: Any, row: tuple[Mapping[str, Any], Mapping[str, Any]]) -> tuple[Any, Replay]:
        now, there = row
        known = {name: None if name in there else value for name, value in now.items()}
        rate, new = advance(schedule, state, **known)
        aware = isinstance(new, LossAwareState)
        reason = new.memory.decision.reason if aware else jnp.int32(Reason.SCHEDULE)
        decided = Replay(jnp.asarray(rate, jnp.result_type(float)), fires(new), reason, _cause(new))
        for name in (name for name in watched(new) if name in there):
            heard = observe(new, **{name: now[name]})
            new = jax.tree.map(lambda h, n, p=there[name]: jnp.where(p, h, n), heard, new)
        return new, decided

    state, rows = jax.lax.scan(step, schedule.init(), (told, here))
    _, last = step(state, (dict.fromkeys(told), {}))
    return jax.tree.map(jnp.append, rows, last)


def _cause(state: Any) -> Cause:
    """Why the fires last changed, in whichever of nested schedules that was."""
    none = jnp.zeros((), jnp.float32)
    cause = Cause(jnp.int32(0), jnp.int32(Reason.SCHEDULE), (none, none))
    since = jnp.int32(INT32_MAX)
    while isinstance(state, LossAwareState):
        known = state.memory
        later = (known.cause.change != 0) & (known.since < since)
        since, cause = select(later, (known.since, known.cause), (since, cause))
        state = state.base
    return cause


def _by_name(argument: str, x: Any, names: Sequence[str]) -> dict[str, Any]:
    """A mapping as it is; an array as that of the one metric that is watched."""
    if isinstance(x, Mapping):
        return dict(x)
    if len(names) > 1:
        raise ValueError(
            f"{argument} must be a mapping with {' and '.join(names)}, which the schedule watches, "
            "got one array"
        )
    return {names[0] if names else LOSS: x}


def _numbers(what: str, x: Any) -> jax.Array:
    array = x if isinstance(x, jax.Array) else np.asarray(x)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (np.integer, np.floating)):
        raise TypeError(f"{what} must be real numbers, got {array.dtype}")
    return jnp.asarray(array, jnp.float32)


def _truths(what: str, x: Any) -> jax.Array:
    array = x if isinstance(x, jax.Array) else np.asarray(x)
    if array.dtype != bool:
        raise TypeError(f"{what} must be True or False, got {array.dtype}")
    return jnp.asarray(array)
