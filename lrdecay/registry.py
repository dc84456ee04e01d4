"""What a configuration may say: names of schedules, triggers, decays, optimizers, models and data.

Each name stands for a factory, kept as "module:attribute" so that nothing is imported before it is
used. A configuration may also give such a path itself, to bring a factory of its own. The factory's
signature is the schema of its section.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable
from typing import Any

FACTORIES: dict[str, dict[str, str]] = {
    "schedule": {
        "constant": "lrdecay.schedules:constant",
        "linear": "lrdecay.schedules:linear",
        "cosine": "lrdecay.schedules:cosine",
        "exponential": "lrdecay.schedules:exponential",
        "step": "lrdecay.schedules:step",
        "warmup": "lrdecay.schedules:warmup",
        "join": "lrdecay.schedules:join",
        "loss_aware": "lrdecay.loss_aware_schedule:loss_aware",
        "reduce_on_plateau": "lrdecay.presets:reduce_on_plateau",
        "cooldown_on_plateau": "lrdecay.presets:cooldown_on_plateau",
        "greedy": "lrdecay.presets:greedy",
    },
    "trigger": {
        "plateau": "lrdecay.triggers:plateau",
        "slope": "lrdecay.triggers:slope",
        "variance": "lrdecay.triggers:variance",
        "convergence": "lrdecay.triggers:convergence",
        "divergence": "lrdecay.triggers:divergence",
        "decline": "lrdecay.triggers:decline",
        "cusum": "lrdecay.triggers:cusum",
        "page_hinkley": "lrdecay.triggers:page_hinkley",
        "greedy": "lrdecay.triggers:greedy",
        "abel": "lrdecay.triggers:abel",
        "pflug": "lrdecay.triggers:pflug",
        "stationarity": "lrdecay.triggers:stationarity",
        "at": "lrdecay.triggers:at",
        "every": "lrdecay.triggers:every",
        "at_most": "lrdecay.triggers:at_most",
    },
    "decay": {
        "multiply": "lrdecay.decays:multiply",
        "rungs": "lrdecay.decays:rungs",
        "smooth_multiply": "lrdecay.decays:smooth_multiply",
        "cooldown": "lrdecay.decays:cooldown",
        "restart": "lrdecay.decays:restart",
        "dip": "lrdecay.decays:dip",
    },
    "optimizer": {
        "sgd": "lrdecay.training.optimizers:sgd",
        "momentum": "lrdecay.training.optimizers:momentum",
        "nesterov": "lrdecay.training.optimizers:nesterov",
        "adagrad": "lrdecay.training.optimizers:adagrad",
        "rmsprop": "lrdecay.training.optimizers:rmsprop",
        "adam": "lrdecay.training.optimizers:adam",
        "adamw": "lrdecay.training.optimizers:adamw",
    },
    "model": {
        "cnn": "lrdecay.training.models:cnn",
    },
    "data": {
        "digits": "lrdecay.training.data:digits",
        "fashion_mnist": "lrdecay.training.data:fashion_mnist",
    },
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: a guess, if there is a close one, and the list."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}allowed: {', '.join(known)}"


def factory(kind: str, name: str) -> Callable[..., Any]:
    """The factory that a name stands for.

    Args:
      kind: a key of `FACTORIES`.
      name: a registered name, or "module:attribute".

    Raises:
      LookupError: no such name, module or attribute; the message says what is allowed.
    """
    path = name if ":" in name else FACTORIES[kind].get(name)
    if path is None:
        raise LookupError(f"unknown {kind} {name!r}; {did_you_mean(name, FACTORIES[kind])}")
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"cannot load {kind} {name!r}: {error}") from error
