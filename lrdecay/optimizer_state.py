"""What one may read from an optimizer's state, tell it, and set in it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import DictKey, GetAttrKey, keystr
from jax.typing import ArrayLike

from lrdecay.arguments import CountOrZero, Positive, checked
from lrdecay.loss_aware_schedule import Decision, Inbox, LossAwareState, put
from lrdecay.triggers import Reason


class LearningRateState(NamedTuple):
    """State of `scale_by_learning_rate` and `with_learning_rate`.

    Attributes:
      learning_rate: the rate applied in the last update, f32[]; that of step 0 before the first.
      factor: what `set_factor` has set, f32[]; 1 at first.
      schedule: state of the schedule.
      inner: state of the optimizer.
      last_grads: the gradients of the last step where a trigger watches "grad_alignment", as the
        parameters; `()` elsewhere.
    """

    learning_rate: jax.Array
    factor: jax.Array
    schedule: Any
    inner: Any
    last_grads: Any


def _is_rate(path: tuple[Any, ...]) -> bool:
    """Whether a leaf is a recorded rate: ours, or that of `optax.inject_hyperparams`."""
    return path[-1:] == (GetAttrKey("learning_rate"),) or path[-2:] == (
        GetAttrKey("hyperparams"),
        DictKey("learning_rate"),
    )


def _without_box(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """A leaf's path without the `.value` of the variables in which Flax NNX keeps leaves."""
    return path[:-1] if path[-1:] == (GetAttrKey("value"),) else path


def _by_group(found: dict[tuple[Any, ...], Any]) -> Any:
    """What was found in a state by path: the thing itself if it is one, a dict by group if not."""
    if len(found) == 1:
        return next(iter(found.values()))
    shared = set.intersection(*(set(path) for path in found))
    groups = {}
    for path, value in found.items():
        own = [key for key in path if key not in shared]
        # Labels of groups are dictionary keys; positions in a chain say nothing beside them.
        labels = [key for key in own if isinstance(key, DictKey)] or own
        groups[keystr(tuple(labels), simple=True, separator="/")] = value
    return groups


_NO_RATE = (
    "no learning rate in this state: make the optimizer with lrdecay.scale_by_learning_rate or "
    "lrdecay.with_learning_rate"
)


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
        raise ValueError(_NO_RATE)
    return _by_group(rates)


def _decides(x: Any) -> bool:
    return isinstance(x, LearningRateState | LossAwareState)


def deciders(opt_state: optax.OptState) -> dict[tuple[Any, ...], Any]:
    """The outermost states that decide a rate, by path."""
    nodes = jax.tree_util.tree_leaves_with_path(opt_state, is_leaf=_decides)
    found = {path: node for path, node in nodes if _decides(node)}
    if not found:
        raise ValueError(_NO_RATE)
    return found


def decision(opt_state: optax.OptState) -> Decision | dict[str, Decision]:
    """What the rate of the last update was made of, and why: a record for every step of a scan.

    Args:
      opt_state: state of an optimizer with a rate from here, or with a loss-aware one in
        `optax.inject_hyperparams`.

    Returns:
      A `Decision`; with several rates, as under `optax.partition`, a dict by group.

    Raises:
      ValueError: the state holds no rate.
    """

    def of(node: LearningRateState | LossAwareState) -> Decision:
        if isinstance(node, LossAwareState):
            return node.memory.decision
        if isinstance(node.schedule, LossAwareState):
            made = node.schedule.memory.decision
            return made._replace(rate=made.rate * node.factor, factor=made.factor * node.factor)
        rate, schedule = node.learning_rate, jnp.int32(Reason.SCHEDULE)
        return Decision(rate, rate / node.factor, node.factor, schedule)

    return _by_group({path: of(node) for path, node in deciders(opt_state).items()})


def _in_words(state: LossAwareState, rate: Any, factor: Any) -> str:
    """What a loss-aware schedule has decided, in a few sentences."""
    known = state.memory
    cause = known.cause
    said = [f"rate {rate:.4g} = {known.decision.base:.4g} x {factor:.4g}."]
    if cause.change == 0:
        said.append(f"Not cut in {known.count} steps.")
    else:
        number = f" {known.fires}" if known.fires > 0 else ""
        what = f"Cut{number}" if cause.change > 0 else "Raised"
        said.append(f"{what} at step {known.count - known.since}: {cause.words}.")
    if known.nonfinite:
        said.append(f"Non-finite values so far: {known.nonfinite}.")
    if isinstance(state.base, LossAwareState):
        inner = state.base.memory.decision
        said.append(f"The base: {_in_words(state.base, inner.rate, inner.factor)}")
    return " ".join(said)


def explain(opt_state: optax.OptState) -> str:
    """In words, why the rate is what it is; a line a group under `optax.partition`.

    Args:
      opt_state: state of an optimizer with a rate from here, with concrete values: outside of jit.

    Raises:
      ValueError: the state holds no rate.
    """

    def of(node: LearningRateState | LossAwareState) -> str:
        made = decision(node)
        assert isinstance(made, Decision)
        schedule = node.schedule if isinstance(node, LearningRateState) else node
        if isinstance(schedule, LossAwareState):
            return _in_words(schedule, made.rate, made.factor)
        return f"rate {made.rate:.4g}, as the schedule says."

    said = _by_group({path: of(node) for path, node in deciders(opt_state).items()})
    return said if isinstance(said, str) else "\n".join(f"{k}: {v}" for k, v in said.items())


def loss_aware_states(opt_state: optax.OptState) -> list[LossAwareState]:
    """The states of all loss-aware schedules in a state, each before that of its base."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, LossAwareState))
    outer = [node for node in nodes if isinstance(node, LossAwareState)]
    return [state for o in outer for state in (o, *loss_aware_states(o.base))]


def fires(opt_state: optax.OptState) -> jax.Array:
    """How often the triggers in a state have fired, all together, i32[]."""
    states = loss_aware_states(opt_state)
    return sum((s.memory.fires for s in states), start=jnp.zeros((), jnp.int32))


def _inboxes(opt_state: optax.OptState) -> tuple[list[tuple[str | None, Any]], Any]:
    """The state's inboxes by name, its other leaves with the name None, and its structure."""

    def is_inbox(x: Any) -> bool:
        return isinstance(x, Inbox)

    nodes, treedef = jax.tree_util.tree_flatten_with_path(opt_state, is_leaf=is_inbox)
    return [
        (keystr(path[-1:], simple=True) if is_inbox(x) else None, x) for path, x in nodes
    ], treedef


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


@checked
def set_factor(opt_state: optax.OptState, factor: Positive) -> optax.OptState:
    """Multiplies every rate of a state by a factor of one's own from the next update on.

    On top of what triggers decide, in the place of what was set before, and without recompiling:
    `set_factor(opt_state, 0.5)` halves the rate by hand, `set_factor(opt_state, 1.0)` ends that.

    Args:
      opt_state: state of an optimizer with a rate from here.
      factor: above 0.

    Returns:
      The new state; the old one is untouched.

    Raises:
      TypeError, ValueError: the factor is no number above 0, or the state holds no rate from here.
    """

    def is_rate(x: Any) -> bool:
        return isinstance(x, LearningRateState)

    nodes, treedef = jax.tree.flatten(opt_state, is_leaf=is_rate)
    if not any(map(is_rate, nodes)):
        raise ValueError(_NO_RATE)

    def put_factor(node: Any) -> Any:
        if not is_rate(node):
            return node
        # Through tree.map, which opens NNX's variables where there are any.
        return node._replace(
            factor=jax.tree.map(lambda _: jnp.asarray(factor, jnp.float32), node.factor)
        )

    return jax.tree.unflatten(treedef, [put_factor(node) for node in nodes])


def _at_step(schedule: Any, step: ArrayLike) -> Any:
    """The state of a schedule with its clock set; a nested one has the same clock."""
    if isinstance(schedule, LossAwareState):
        return schedule.at_step(step)._replace(base=_at_step(schedule.base, step))
    if "count" in getattr(schedule, "_fields", ()):
        return schedule._replace(count=jnp.asarray(step, jnp.int32))
    return schedule


@checked
def rebase(
    opt_state: optax.OptState, fresh: optax.OptState, step: CountOrZero = 0
) -> optax.OptState:
    """Starts the schedules of a state anew, and keeps all else, such as Adam's moments.

    For a restored state that is to be trained on: its rate would else stay where it had fallen to.

    Args:
      opt_state: the state to go on from.
      fresh: a new state, `tx.init(params)`, of the same optimizer, whose schedules may be others.
      step: the step at which the schedules start.

    Returns:
      The new state, its recorded rate that of the last update.

    Raises:
      ValueError: the states hold no rate, or are not of the same form around it.
    """
    olds, form = jax.tree.flatten(opt_state, is_leaf=_decides)
    news, other = jax.tree.flatten(fresh, is_leaf=_decides)
    deciders(opt_state)
    if form != other:
        raise ValueError(f"fresh must be of the same form as opt_state, got {other}, not {form}")

    def started(old: Any, new: Any) -> Any:
        if isinstance(old, LossAwareState):
            return _at_step(new, step)
        if not isinstance(old, LearningRateState):
            return old
        return old._replace(schedule=_at_step(new.schedule, step), factor=new.factor)

    return jax.tree.unflatten(form, [started(o, n) for o, n in zip(olds, news, strict=True)])
