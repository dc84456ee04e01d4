"""What a trigger is, and how one is made from a rule over the observations of one metric."""

import enum
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class Observation(NamedTuple):
    """What has been observed of one metric since the step before.

    Attributes:
      value: mean of the finite values, f32[]; 0 where there were none.
      present: whether there was a finite value, bool[].
      nonfinite: number of values that were NaN or infinite, i32[].
    """

    value: jax.Array
    present: jax.Array
    nonfinite: jax.Array


class Reason(enum.IntEnum):
    """Why the rate of a step is what it is: what a decision record holds.

    The first say that no trigger has changed it in this step, and the others which one has.
    """

    SCHEDULE = 0
    """The base, and whatever was decided before."""
    GRACE = 1
    """The trigger does not look yet."""
    COOLDOWN = 2
    """The trigger rests after it has fired."""
    NONFINITE = 3
    """A value that was NaN or infinite has come in, and was left out."""
    FLOOR = 4
    """The trigger has fired, and the decay goes no further."""
    TRIGGER = 5
    """A trigger without a reason of its own."""
    PLATEAU = 6
    STEP = 7
    SLOPE = 8
    VARIANCE = 9
    CONVERGENCE = 10
    DIVERGENCE = 11
    DECLINE = 12
    CUSUM = 13
    PAGE_HINKLEY = 14
    GREEDY = 15
    ABEL = 16
    PFLUG = 17
    STATIONARITY = 18
    STALL = 19


# What the two numbers of a verdict say, by reason.
WORDS = {
    Reason.TRIGGER: "the trigger fired at {0:.4g}",
    Reason.PLATEAU: "no improvement on {0:.4g} for {1:.0f} observations",
    Reason.STEP: "as told beforehand",
    Reason.SLOPE: "at most {0:.4g} gained over the window, where {1:.4g} would be progress",
    Reason.VARIANCE: "{0:.4g} gained from window to window, against noise of {1:.4g}",
    Reason.CONVERGENCE: "at most {0:.4g} more to be expected, after {1:.4g} gained so far",
    Reason.DIVERGENCE: "{0:.4g} where {1:.4g} was usual",
    Reason.DECLINE: "{0:.4g}, after a best of {1:.4g}",
    Reason.CUSUM: "a lack of progress that adds up to {0:.4g} times the noise of {1:.4g}",
    Reason.PAGE_HINKLEY: "no longer below its mean, by {0:.4g} times the noise of {1:.4g} in sum",
    Reason.GREEDY: "{1:.0f} observations in a row to the same side of {0:.4g}",
    Reason.ABEL: "the norm turned again at {0:.4g}, after {1:.0f} turns",
    Reason.PFLUG: "gradients oppose each other: mean inner product {0:.4g} of {1:.0f}",
    Reason.STATIONARITY: "the squared norm changes by {0:.4g} a window, with an error of {1:.4g}",
    Reason.STALL: "{0:.4g} gained in the whole phase, against noise of {1:.4g}",
}


class Verdict(NamedTuple):
    """What a trigger says in a step.

    Attributes:
      change: 1 where it fires, i32[]; 0 where it does not; -1 takes one fire back.
      reason: a `Reason`, i32[].
      evidence: two numbers behind it, f32[] each; `WORDS` says what they mean.
    """

    change: jax.Array
    reason: jax.Array
    evidence: tuple[jax.Array, jax.Array]


class Trigger(NamedTuple):
    """When to act. `a | b` is `any_of([a, b])`, and `a & b` is `all_of([a, b])`.

    Attributes:
      init: () -> state.
      update: (state, step, observed) -> (state, Verdict), called once a step. `step` is i32[], the
        index of the step about to run; `observed` maps each monitored name to an `Observation`.
      monitors: the names of the metrics watched.
    """

    init: Callable[[], Any]
    update: Callable[[Any, jax.Array, Mapping[str, Observation]], tuple[Any, Verdict]]
    monitors: tuple[str, ...]

    def __or__(self, other: "Trigger") -> "Trigger":
        from lrdecay.triggers.combine import any_of

        return any_of([self, other])

    def __and__(self, other: "Trigger") -> "Trigger":
        from lrdecay.triggers.combine import all_of

        return all_of([self, other])


class WatchState(NamedTuple):
    """State of a trigger made by `watch`.

    Attributes:
      rule: state of the rule.
      cooldown: observations left in which it does not fire, i32[].
      first: first value of the window being filled, f32[].
      rest: mean of its values less the first, f32[]: a large offset costs no accuracy.
      filled: values in the window being filled, i32[].
    """

    rule: Any
    cooldown: jax.Array
    first: jax.Array
    rest: jax.Array
    filled: jax.Array


def select(condition: jax.Array, yes: Any, no: Any) -> Any:
    """`jnp.where` over two pytrees of the same shape."""
    return jax.tree.map(lambda y, n: jnp.where(condition, y, n), yes, no)


def strict(verdict: Verdict) -> Verdict:
    """A verdict in float32 and int32, whatever a trigger made it of."""
    change, reason = (jnp.asarray(x).astype(jnp.int32) for x in verdict[:2])
    first, second = (jnp.asarray(x).astype(jnp.float32) for x in verdict.evidence)
    return Verdict(change, reason, (first, second))


def watch(
    monitor: str,
    init: Callable[[], Any],
    update: Callable[[Any, jax.Array, jax.Array], tuple[Any, jax.Array, tuple[Any, Any]]],
    *,
    reason: Reason = Reason.TRIGGER,
    window: ArrayLike = 1,
    cooldown: ArrayLike = 0,
    grace: ArrayLike = 0,
    restarts: bool = True,
    hears_nonfinite: bool = False,
) -> Trigger:
    """A trigger over one number, whose clock is the observations of it.

    Args:
      monitor: name of the metric.
      init: () -> state of the rule.
      update: the rule, (state, value, resting) -> (state, change, evidence). `value` is f32[] and
        finite, `resting` bool[], `change` bool[] (fires or not) or i32[] in -1, 0, 1, and the
        evidence two numbers. Where a step brings no observation, the state is kept.
      reason: what a change is put down to.
      window: observations averaged into one, block by block; all else counts blocks.
      cooldown: observations after each change in which the rule's further changes do not count.
      grace: steps at the start whose observations are not looked at, as in a warmup.
      restarts: whether the rule starts anew after each change and its cooldown, as it should where
        it remembers what came before; otherwise its state goes on, and `resting` tells it.
      hears_nonfinite: whether the rule also gets a step's NaN and infinite values, as an infinite
        value in place of the finite ones.
    """

    def start() -> WatchState:
        return WatchState(
            rule=init(),
            cooldown=jnp.zeros((), jnp.int32),
            first=jnp.zeros((), jnp.float32),
            rest=jnp.zeros((), jnp.float32),
            filled=jnp.zeros((), jnp.int32),
        )

    def on_step(
        state: WatchState, step: jax.Array, observed: Mapping[str, Observation]
    ) -> tuple[WatchState, Verdict]:
        value, present, nonfinite = observed[monitor]
        if hears_nonfinite:
            value = jnp.where(nonfinite > 0, jnp.inf, value)
            present |= nonfinite > 0
        # What is weighed before step t was observed in step t - 1.
        early = (step <= jnp.asarray(grace, jnp.int32)) & (jnp.asarray(grace) > 0)
        seen = present & ~early
        filled = state.filled + 1
        starts = state.filled == 0
        first = jnp.where(starts, value, state.first)
        rest = state.rest + (value - first - state.rest) / filled.astype(jnp.float32)
        rest = jnp.where(starts, 0.0, rest)
        full = filled >= window

        resting = state.cooldown > 0
        rule, change, evidence = update(state.rule, first + rest, resting)
        change = jnp.where(seen & full & ~resting, change.astype(jnp.int32), 0)
        changed = change != 0
        if restarts:
            rule = select(resting | changed, init(), rule)
        left = jnp.where(
            changed, jnp.asarray(cooldown, jnp.int32), jnp.maximum(state.cooldown - 1, 0)
        )
        settled = WatchState(rule, left, first, rest, jnp.zeros_like(filled))
        filling = state._replace(first=first, rest=rest, filled=filled)
        quiet = jnp.where(early, int(Reason.GRACE), jnp.where(resting, int(Reason.COOLDOWN), 0))
        return select(seen, select(full, settled, filling), state), Verdict(
            change,
            jnp.where(changed, int(reason), quiet),
            evidence,
        )

    return Trigger(start, on_step, (monitor,))
