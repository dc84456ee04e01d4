"""The loss-aware schedule: base(step) x how(when(what has been observed)).

It satisfies `optax.schedules.StatefulSchedule`, and so can itself be the base of another.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from optax.schedules import StatefulSchedule

from lrdecay.arguments import checked
from lrdecay.decays import Decay
from lrdecay.schedules import RateOrSchedule, as_schedule
from lrdecay.triggers.protocol import WORDS, Observation, Reason, Trigger, select, strict

# Optax's name for the loss in `tx.update(..., value=loss)`.
LOSS = "value"


class Inbox(NamedTuple):
    """Values of one metric that have come in since the step before.

    Attributes:
      total: sum of the finite ones, f32[].
      count: number of the finite ones, i32[].
      nonfinite: number of the others, i32[].
    """

    total: jax.Array
    count: jax.Array
    nonfinite: jax.Array


def _empty() -> Inbox:
    return Inbox(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def put(inbox: Inbox, name: str, value: ArrayLike) -> Inbox:
    """The inbox with one more value.

    Raises:
      TypeError, ValueError: `value` is not one real number.
    """
    array = jnp.asarray(value)
    if array.shape != ():
        raise ValueError(f"{name} must be one number, such as a mean, got shape {array.shape}")
    if not jnp.isrealobj(array):
        raise TypeError(f"{name} must be a real number, got {array.dtype}")
    x = array.astype(jnp.float32)
    finite = jnp.isfinite(x)
    return Inbox(
        total=inbox.total + jnp.where(finite, x, 0.0),
        count=inbox.count + finite.astype(jnp.int32),
        nonfinite=inbox.nonfinite + (~finite).astype(jnp.int32),
    )


def _read(inbox: Inbox) -> Observation:
    mean = inbox.total / jnp.maximum(inbox.count, 1).astype(jnp.float32)
    # Finite values may add up to more than float32 holds.
    present = (inbox.count > 0) & jnp.isfinite(mean)
    overflowed = (inbox.count > 0) & ~present
    return Observation(
        jnp.where(present, mean, 0.0), present, inbox.nonfinite + overflowed.astype(jnp.int32)
    )


class Decision(NamedTuple):
    """What the rate of a step is made of, and why.

    Attributes:
      rate: the rate, f32[]: base x factor.
      base: what the base says, f32[].
      factor: what the trigger and the decay have made of it, f32[].
      reason: a `Reason`, i32[]: what happened in this step, not before.
    """

    rate: jax.Array
    base: jax.Array
    factor: jax.Array
    reason: jax.Array


class Cause(NamedTuple):
    """Why the count of fires last changed.

    Attributes:
      change: 1 for a fire, -1 for one taken back, i32[]; 0 where there was none yet.
      reason: a `Reason`, i32[].
      evidence: two numbers behind it, f32[] each.
    """

    change: jax.Array
    reason: jax.Array
    evidence: tuple[jax.Array, jax.Array]

    @property
    def words(self) -> str:
        """The reason and its evidence as a clause; for a change, with concrete values."""
        return WORDS[Reason(int(self.reason))].format(*map(float, self.evidence))


class LossAwareState(NamedTuple):
    """State of a loss-aware schedule.

    Attributes:
      count: index of the next step, i32[]; stays at its largest value rather than wrap round.
      fires: how often the trigger has fired, less the fires taken back, i32[].
      since: steps since that last changed, or since the start, i32[].
      nonfinite: values that were NaN or infinite so far, i32[].
      cause: why `fires` last changed.
      decision: what the rate of the last step was made of; of step 0 before the first.
      inbox: what has come in since the step before, by metric.
      trigger: state of the trigger.
      base: state of the base; `()` for a base that is a function of the step.
    """

    count: jax.Array
    fires: jax.Array
    since: jax.Array
    nonfinite: jax.Array
    cause: Cause
    decision: Decision
    inbox: dict[str, Inbox]
    trigger: Any
    base: Any


@dataclasses.dataclass(frozen=True)
class LossAware:
    """A schedule that reacts to what is observed. Made by `loss_aware`."""

    base: Any
    when: Trigger
    how: Decay

    @property
    def _stateful(self) -> bool:
        return isinstance(self.base, StatefulSchedule)

    def init(self) -> LossAwareState:
        """The state before the first step."""

        # Each number is a buffer of its own, so that a training step may donate the state.
        def zero() -> jax.Array:
            return jnp.zeros((), jnp.int32)

        def none() -> jax.Array:
            return jnp.zeros((), jnp.float32)

        state = LossAwareState(
            count=zero(),
            fires=zero(),
            since=zero(),
            nonfinite=zero(),
            cause=Cause(zero(), zero(), (none(), none())),
            decision=Decision(none(), none(), none(), zero()),
            inbox={name: _empty() for name in self.when.monitors},
            trigger=self.when.init(),
            base=self.base.init() if self._stateful else (),
        )
        return state._replace(decision=self._decide(state, zero(), {})[1])

    def _settle(self, state: LossAwareState) -> tuple[LossAwareState, jax.Array]:
        """Hands what is in the inbox to the trigger (one mean, one observation); and a reason."""
        observed = {name: _read(inbox) for name, inbox in state.inbox.items()}
        trigger, verdict = self.when.update(state.trigger, state.count, observed)
        verdict = strict(verdict)
        fires = jnp.minimum(state.fires + verdict.change, self.how.most)
        changed = fires != state.fires
        nonfinite = sum((o.nonfinite for o in observed.values()), start=jnp.zeros((), jnp.int32))
        quiet = jnp.where(nonfinite > 0, int(Reason.NONFINITE), verdict.reason)
        reason = jnp.where(verdict.change != 0, int(Reason.FLOOR), quiet)
        cause = Cause(fires - state.fires, verdict.reason, verdict.evidence)
        settled = state._replace(
            fires=fires,
            since=jnp.where(changed, 0, state.since),
            nonfinite=state.nonfinite + nonfinite,
            cause=select(changed, cause, state.cause),
            inbox={name: _empty() for name in state.inbox},
            trigger=trigger,
        )
        return settled, jnp.where(changed, verdict.reason, reason)

    def _decide(
        self, settled: LossAwareState, reason: jax.Array, extra_args: dict[str, Any]
    ) -> tuple[jax.Array, Decision]:
        """The rate in full precision, and what it is made of."""
        base = self.base(settled.base, **extra_args) if self._stateful else self.base(settled.count)
        dtype = jnp.result_type(float)
        factor = self.how(settled.fires, settled.since)
        rate = jnp.asarray(base, dtype) * jnp.asarray(factor, dtype)
        single = [jnp.asarray(x).astype(jnp.float32) for x in (rate, base, factor)]
        return rate, Decision(single[0], single[1], single[2], reason)

    def __call__(self, state: LossAwareState, **extra_args: Any) -> jax.Array:
        """The rate of the next step, known before that step runs."""
        return self._decide(*self._settle(state), extra_args)[0]

    def update(self, state: LossAwareState, **extra_args: Any) -> LossAwareState:
        """The state after a step. Values given here act in the step after.

        Raises:
          TypeError: the trigger watches the loss, and no `value` is among `extra_args`.
        """
        if LOSS in self.when.monitors and LOSS not in extra_args:
            raise TypeError(
                "the trigger watches 'value', and no value was given: pass the loss as "
                "tx.update(grads, state, params, value=loss), or value=None in steps without one. "
                "If it was passed, a wrapper has dropped it: a MultiSteps inside of optax.chain, "
                "optax.contrib.split_real_and_imaginary and Flax's TrainState.apply_gradients do "
                "(give the loss another name by monitor= and use lrdecay.observe there)"
            )
        settled, reason = self._settle(state)
        inbox = {
            name: box if extra_args.get(name) is None else put(box, name, extra_args[name])
            for name, box in settled.inbox.items()
        }
        base = self.base.update(settled.base, **extra_args) if self._stateful else ()
        if isinstance(base, LossAwareState):
            reason = jnp.where(reason == 0, base.decision.reason, reason)
        return settled._replace(
            count=jnp.asarray(optax.safe_increment(settled.count)),
            since=jnp.asarray(optax.safe_increment(settled.since)),
            decision=self._decide(settled, reason, extra_args)[1],
            inbox=inbox,
            base=base,
        )


@checked
def loss_aware(
    base: RateOrSchedule | StatefulSchedule,
    *,
    when: Trigger,
    how: Decay | Callable[[jax.Array, jax.Array], ArrayLike],
) -> LossAware:
    """A learning rate that falls when training says so: `base(t) * how(fires, since)`.

    The rate of step t is known before step t runs: whatever was observed by then, in the steps
    before or through `observe`, has been weighed; what step t itself brings acts in step t + 1.

    Args:
      base: a number, an Optax schedule, or a stateful schedule such as another loss-aware one.
      when: the trigger, such as `plateau(patience=10)`.
      how: the decay, such as `multiply(0.1)`, or any function of (fires, since).

    Raises:
      TypeError: `when` is no trigger, or `how` is no function.
    """
    if not isinstance(when, Trigger):
        raise TypeError(f"when must be a trigger such as plateau(patience=10), got {when!r}")
    if not callable(how):
        raise TypeError(f"how must be a decay such as multiply(0.1), got {how!r}")
    stateful = isinstance(base, StatefulSchedule)
    decay = how if isinstance(how, Decay) else Decay(how)
    return LossAware(base if stateful else as_schedule(base), when, decay)
