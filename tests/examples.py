"""One example of everything registered, made from the signatures alone."""

import inspect
import typing
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import lrdecay
from lrdecay.arguments import Number, number
from lrdecay.registry import FACTORIES, factory
from lrdecay.schedules import RateOrSchedule
from lrdecay.triggers import Trigger

PARTS = [(kind, name) for kind in ("schedule", "trigger", "decay") for name in FACTORIES[kind]]


def value_for(mark: Number) -> Any:
    """A value of an argument, well inside of its range."""
    one = 7 if mark.kind is int else 4.0 if mark.low == 1 else 0.5 if mark.high == 1 else 0.25
    return [one, one / 2] if mark.many and mark.kind is float else [one] if mark.many else one


def arguments_of(kind: str, name: str) -> dict[str, Any]:
    """Arguments for a registered factory: its defaults, and examples where it has none."""
    arguments = {}
    for p in inspect.signature(factory(kind, name)).parameters.values():
        mark = number(p.annotation)
        if p.default is not p.empty:
            arguments[p.name] = p.default
        elif mark is not None:
            arguments[p.name] = value_for(mark)
        elif p.annotation == Sequence[Trigger]:
            arguments[p.name] = [lrdecay.plateau(patience=2), lrdecay.every(5)]
        elif p.annotation is Trigger:
            arguments[p.name] = lrdecay.plateau(patience=2)
        elif RateOrSchedule in typing.get_args(p.annotation):
            arguments[p.name] = [0.25, lrdecay.cosine(0.5, 9)]
        else:
            arguments[p.name] = lrdecay.multiply(0.5)
    if "patience" in arguments:
        arguments["patience"] = 2  # so that something happens in a short test
    if "monitor" in arguments:
        arguments["monitor"] = "value"  # what the tests bring
    return arguments


def numbers_of(kind: str, name: str) -> list[str]:
    """The numeric hyperparameters of a registered factory."""
    parameters = inspect.signature(factory(kind, name)).parameters
    return [k for k, p in parameters.items() if number(p.annotation) is not None]


def stateful(kind: str, name: str, **changed: Any) -> Any:
    """A registered part as a stateful schedule, with the simplest company that it needs."""
    part = factory(kind, name)(**{**arguments_of(kind, name), **changed})
    if kind == "trigger":
        return lrdecay.loss_aware(0.1, when=part, how=lrdecay.multiply(0.5))
    if kind == "decay":
        return lrdecay.loss_aware(0.1, when=lrdecay.plateau(patience=1), how=part)
    if isinstance(part, lrdecay.LossAware):
        return part
    # The trigger can do nothing here: what remains is the schedule, with a state.
    return lrdecay.loss_aware(part, when=lrdecay.plateau(), how=lrdecay.multiply(1.0))


def rates(schedule: Any, values: jax.Array) -> tuple[Any, jax.Array]:
    """The rates that a stateful schedule gives while it is told values, one a step, in a scan."""

    def step(state: Any, value: jax.Array) -> tuple[Any, jax.Array]:
        return schedule.update(state, value=value), schedule(state, value=value)

    return jax.lax.scan(step, schedule.init(), jnp.asarray(values, jnp.float32))
