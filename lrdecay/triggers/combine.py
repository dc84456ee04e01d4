"""Triggers on the clock of the steps, and triggers made of others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from lrdecay.arguments import INT32_MAX, Count, Number, PositiveSteps, checked
from lrdecay.triggers.protocol import Observation, Reason, Trigger, Verdict, select, strict

StepList = Annotated[
    Sequence[ArrayLike] | jax.Array | np.ndarray,
    Number(int, low=0, high=INT32_MAX, duration=True, many=True),
]


def _on_steps(fires: Callable[[jax.Array], jax.Array]) -> Trigger:
    """A trigger that knows the step alone; `fires` is i32[] -> bool[]."""

    def update(
        state: tuple[()], step: jax.Array, observed: Mapping[str, Observation]
    ) -> tuple[tuple[()], Verdict]:
        del observed
        change = fires(step).astype(jnp.int32)
        evidence = (step.astype(jnp.float32), jnp.zeros((), jnp.float32))
        return state, Verdict(change, change * int(Reason.STEP), evidence)

    return Trigger(lambda: (), update, ())


@checked
def at(steps: StepList) -> Trigger:
    """Fires at given steps: the rate of that step is the first to be changed.

    Args:
      steps: the steps, each at least 0, i32[n] with n >= 1.

    Raises:
      TypeError, ValueError: no steps, or one that is no integer or negative.
    """
    if len(steps) < 1:
        raise ValueError("steps must have at least one step, got none")

    def fires(step: jax.Array) -> jax.Array:
        return jnp.any(step[None] == jnp.stack([jnp.asarray(s, jnp.int32) for s in steps]))

    return _on_steps(fires)


@checked
def every(steps: PositiveSteps) -> Trigger:
    """Fires every so many steps: at `steps`, 2 `steps`, and so on.

    Args:
      steps: the number of steps from one fire to the next, at least 1.
    """
    return _on_steps(lambda step: (step > 0) & (step % jnp.asarray(steps, jnp.int32) == 0))


def _monitors(triggers: Sequence[Trigger]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for trigger in triggers for name in trigger.monitors))


def _updates(
    triggers: Sequence[Trigger],
    states: tuple[Any, ...],
    step: jax.Array,
    observed: Mapping[str, Observation],
) -> tuple[tuple[Any, ...], list[Verdict]]:
    """The new states of several triggers, and what each says."""
    pairs = [t.update(s, step, observed) for t, s in zip(triggers, states, strict=True)]
    return tuple(state for state, _ in pairs), [strict(verdict) for _, verdict in pairs]


def _first(verdicts: Sequence[Verdict]) -> Verdict:
    """The first verdict that changes something; else the first that has a reason not to."""
    chosen = verdicts[0]
    for verdict in verdicts[1:]:
        rather = (chosen.change == 0) & ((verdict.change != 0) | (chosen.reason == 0))
        chosen = select(rather, verdict, chosen)
    return chosen


def _check(triggers: Sequence[Trigger]) -> None:
    if not triggers or not all(isinstance(t, Trigger) for t in triggers):
        raise TypeError(f"triggers must be one or more triggers, got {triggers!r}")


def any_of(triggers: Sequence[Trigger]) -> Trigger:
    """Fires when one of several does, and once where several do in the same step.

    Args:
      triggers: the triggers, at least one; `a | b` is `any_of([a, b])`.

    Raises:
      TypeError: no trigger, or something that is none.
    """
    _check(triggers)

    def update(
        states: tuple[Any, ...], step: jax.Array, observed: Mapping[str, Observation]
    ) -> tuple[tuple[Any, ...], Verdict]:
        states, verdicts = _updates(triggers, states, step, observed)
        return states, _first(verdicts)

    return Trigger(lambda: tuple(t.init() for t in triggers), update, _monitors(triggers))


class AllOfState(NamedTuple):
    """State of `all_of`.

    Attributes:
      triggers: states of the triggers.
      fired: whether each has fired since the last time that all had, 0 or 1, i32[] each.
    """

    triggers: tuple[Any, ...]
    fired: tuple[jax.Array, ...]


def all_of(triggers: Sequence[Trigger]) -> Trigger:
    """Fires when each of several has fired at least once since it last did itself.

    So the last of them decides the moment, and gives the reason. A fire taken back is none here.

    Args:
      triggers: the triggers, at least one; `a & b` is `all_of([a, b])`.

    Raises:
      TypeError: no trigger, or something that is none.
    """
    _check(triggers)

    def init() -> AllOfState:
        return AllOfState(
            tuple(t.init() for t in triggers), tuple(jnp.zeros((), jnp.int32) for _ in triggers)
        )

    def update(
        state: AllOfState, step: jax.Array, observed: Mapping[str, Observation]
    ) -> tuple[AllOfState, Verdict]:
        states, verdicts = _updates(triggers, state.triggers, step, observed)
        verdicts = [
            v._replace(change=jnp.maximum(v.change, 0), reason=jnp.where(v.change < 0, 0, v.reason))
            for v in verdicts
        ]
        fired = [jnp.maximum(f, v.change) for f, v in zip(state.fired, verdicts, strict=True)]
        fires = jnp.min(jnp.stack(fired))
        said = _first(verdicts)
        reason = jnp.where((fires > 0) | (said.change == 0), said.reason, 0)
        left = tuple(jnp.where(fires > 0, 0, f) for f in fired)
        return AllOfState(states, left), Verdict(fires, reason, said.evidence)

    return Trigger(init, update, _monitors(triggers))


class AtMostState(NamedTuple):
    """State of `at_most`.

    Attributes:
      trigger: state of the trigger.
      left: fires left, i32[].
    """

    trigger: Any
    left: jax.Array


@checked
def at_most(trigger: Trigger, fires: Count) -> Trigger:
    """A trigger that falls silent for ever after so many fires.

    Args:
      trigger: the trigger.
      fires: the number of its fires that count, at least 1.
    """

    def init() -> AtMostState:
        return AtMostState(trigger.init(), jnp.asarray(fires, jnp.int32))

    def update(
        state: AtMostState, step: jax.Array, observed: Mapping[str, Observation]
    ) -> tuple[AtMostState, Verdict]:
        inner, verdict = trigger.update(state.trigger, step, observed)
        some = state.left > 0
        counts = (verdict.change > 0) & some
        verdict = verdict._replace(
            change=jnp.where(some, verdict.change, 0), reason=jnp.where(some, verdict.reason, 0)
        )
        return AtMostState(inner, state.left - counts.astype(jnp.int32)), verdict

    return trigger._replace(init=init, update=update)
