"""The loss-aware schedule: base(step) x how(when(what has been observed)).

It satisfies `optax.schedules.StatefulSchedule`, and so can itself be the base of another.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from optax.schedules import StatefulSchedule

from lrdecay.arguments import INT32_MAX, checked
from lrdecay.decays import Decay
from lrdecay.packing import Packed, pack, unpack, vector
from lrdecay.schedules import RateOrSchedule, as_schedule
from lrdecay.triggers.protocol import WORDS, Observation, Reason, Trigger, select, strict

# Optax's name for the loss in `tx.update(..., value=loss)`.
LOSS = "value"


class Inbox(NamedTuple):
    """Values of one metric that have come in since the step before.

    Attributes:
      values: sum of the finite ones, their number, and that of the others, f32[3]. Up to 2^24,
        float32 counts exactly.
    """

    values: jax.Array


def _empty() -> Inbox:
    return Inbox(jnp.zeros(3, jnp.float32))


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
    one = finite.astype(jnp.float32)
    more = vector([jnp.where(finite, x, 0.0), one, 1 - one])
    return Inbox(inbox.values + jnp.broadcast_to(more, inbox.values.shape))


def _read(inbox: Inbox) -> Observation:
    total, count, nonfinite = jnp.unstack(inbox.values)
    mean = total / jnp.maximum(count, 1)
    # Finite values may add up to more than float32 holds.
    present = (count > 0) & jnp.isfinite(mean)
    overflowed = (count > 0) & ~present
    return Observation(
        jnp.where(present, mean, 0.0),
        present,
        nonfinite.astype(jnp.int32) + overflowed.astype(jnp.int32),
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


class Memory(NamedTuple):
    """What a loss-aware schedule remembers from one step to the next.

    Attributes:
      count: index of the next step, i32[]; stays at its largest value rather than wrap round.
      fires: how often the trigger has fired, less the fires taken back, i32[].
      since: steps since that last changed, or since the start, i32[].
      nonfinite: values that were NaN or infinite so far, i32[].
      form: a checksum of the form of the trigger's state, i32[]: its numbers have no names.
      cause: why `fires` last changed.
      decision: what the rate of the last step was made of; of step 0 before the first.
      trigger: state of the trigger.
    """

    count: jax.Array
    fires: jax.Array
    since: jax.Array
    nonfinite: jax.Array
    form: jax.Array
    cause: Cause
    decision: Decision
    trigger: Any


_INT: Any = jax.ShapeDtypeStruct((), jnp.int32)
_FLOAT: Any = jax.ShapeDtypeStruct((), jnp.float32)
# What of it is the same for all triggers.
_COMMON = Memory(
    *(_INT, _INT, _INT, _INT, _INT),
    cause=Cause(_INT, _INT, (_FLOAT, _FLOAT)),
    decision=Decision(_FLOAT, _FLOAT, _FLOAT, _INT),
    trigger=(),
)


class LossAwareState(NamedTuple):
    """State of a loss-aware schedule.

    Attributes:
      packed: a `Memory`, in few arrays; `LossAware.memory` unpacks it.
      inbox: what has come in since the step before, by metric.
      base: state of the base; `()` for a base that is a function of the step.
    """

    packed: Packed
    inbox: dict[str, Inbox]
    base: Any

    @property
    def memory(self) -> Memory:
        """What the schedule remembers, without the trigger, which alone knows its state's form."""
        return unpack(self.packed, _COMMON, first=True)

    def at_step(self, step: ArrayLike) -> "LossAwareState":
        """The state with its clock set."""
        # Through tree.map, which opens NNX's variables where there are any. The count comes first.
        ints = jax.tree.map(lambda x: jnp.asarray(x).at[..., 0].set(step), self.packed.ints)
        return self._replace(packed=self.packed._replace(ints=ints))


@dataclasses.dataclass(frozen=True)
class LossAware:
    """A schedule that reacts to what is observed. Made by `loss_aware`."""

    base: Any
    when: Trigger
    how: Decay

    @property
    def _stateful(self) -> bool:
        return isinstance(self.base, StatefulSchedule)

    def _blank(self) -> Memory:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), _COMMON)
        trigger = self.when.init()
        form = zlib.crc32(str(jax.tree.structure(trigger)).encode()) & INT32_MAX
        return zeros._replace(form=jnp.int32(form), trigger=trigger)

    @functools.cached_property
    def _form(self) -> Memory:
        return jax.eval_shape(self._blank)

    def _state(self, memory: Memory, inbox: dict[str, Inbox], base: Any) -> LossAwareState:
        return LossAwareState(pack(memory, self._form), inbox, base)

    def memory(self, state: LossAwareState) -> Memory:
        """What is in a state, by name.

        Raises:
          ValueError: the state is of another schedule.
        """
        return unpack(state.packed, self._form)

    def init(self) -> LossAwareState:
        """The state before the first step."""
        memory, base = self._blank(), self.base.init() if self._stateful else ()
        rate = self._base_rate(base, memory.count, {})
        memory = memory._replace(decision=self._decide(memory, rate, memory.decision.reason)[1])
        return self._state(memory, {name: _empty() for name in self.when.monitors}, base)

    def _settle(self, state: LossAwareState) -> tuple[Memory, jax.Array]:
        """Hands what is in the inbox to the trigger (one mean, one observation); and a reason."""
        memory = self.memory(state)
        observed = {name: _read(inbox) for name, inbox in state.inbox.items()}
        trigger, verdict = self.when.update(memory.trigger, memory.count, observed)
        verdict = strict(verdict)
        fires = jnp.minimum(memory.fires + verdict.change, self.how.most)
        changed = fires != memory.fires
        nonfinite = sum((o.nonfinite for o in observed.values()), start=jnp.zeros((), jnp.int32))
        quiet = jnp.where(nonfinite > 0, int(Reason.NONFINITE), verdict.reason)
        reason = jnp.where(verdict.change != 0, int(Reason.FLOOR), quiet)
        cause = Cause(fires - memory.fires, verdict.reason, verdict.evidence)
        settled = memory._replace(
            fires=fires,
            since=jnp.where(changed, 0, memory.since),
            nonfinite=memory.nonfinite + nonfinite,
            cause=select(changed, cause, memory.cause),
            trigger=trigger,
        )
        return settled, jnp.where(changed, verdict.reason, reason)

    def _base_rate(self, base: Any, count: jax.Array, extra_args: dict[str, Any]) -> ArrayLike:
        return self.base(base, **extra_args) if self._stateful else self.base(count)

    def _decide(
        self, settled: Memory, base: ArrayLike, reason: jax.Array
    ) -> tuple[jax.Array, Decision]:
        """The rate in full precision, and what it is made of."""
        dtype = jnp.result_type(float)
        factor = self.how(settled.fires, settled.since)
        rate = jnp.asarray(base, dtype) * jnp.asarray(factor, dtype)
        single = [jnp.asarray(x).astype(jnp.float32) for x in (rate, base, factor)]
        return rate, Decision(single[0], single[1], single[2], reason)

    def __call__(self, state: LossAwareState, **extra_args: Any) -> jax.Array:
        """The rate of the next step, known before that step runs."""
        settled, reason = self._settle(state)
        base = self._base_rate(state.base, settled.count, extra_args)
        return self._decide(settled, base, reason)[0]

    def update(self, state: LossAwareState, **extra_args: Any) -> LossAwareState:
        """The state after a step. Values given here act in the step after.

        Raises:
          TypeError: the trigger watches the loss, and no `value` is among `extra_args`.
        """
        return self.step(state, **extra_args)[1]

    def step(self, state: LossAwareState, **extra_args: Any) -> tuple[jax.Array, LossAwareState]:
        """The rate of the next step and the state after it: a call and `update` in one.

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
        given = {name: extra_args.get(name) for name in state.inbox}
        inbox = {n: _empty() if x is None else put(_empty(), n, x) for n, x in given.items()}
        if self._stateful:
            base_rate, base = advance(self.base, state.base, **extra_args)
        else:
            base_rate, base = self.base(settled.count), ()
        if isinstance(base, LossAwareState):
            reason = jnp.where(reason == 0, base.memory.decision.reason, reason)
        rate, decision = self._decide(settled, base_rate, reason)
        memory = settled._replace(
            count=jnp.asarray(optax.safe_increment(settled.count)),
            since=jnp.asarray(optax.safe_increment(settled.since)),
            decision=decision,
        )
        return rate, self._state(memory, inbox, base)


def advance(schedule: StatefulSchedule, state: Any, **extra_args: Any) -> tuple[ArrayLike, Any]:
    """The rate of the next step and the state after it, for any schedule with a state."""
    if isinstance(schedule, LossAware):
        return schedule.step(state, **extra_args)
    return schedule(state, **extra_args), schedule.update(state, **extra_args)


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
