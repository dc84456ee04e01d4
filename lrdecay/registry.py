"""What a configuration may say: names of schedules, triggers, decays, optimizers, models and data.

Each name stands for a factory, kept as "module:attribute" so that nothing is imported before it is
used. A configuration may also give such a path itself, to bring a factory of its own. The factory's
signature is the schema of its section.
"""

import difflib
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any

FACTORIES: dict[str, dict[str, str]] = {
    "schedule": {
        "constant": "lrdecay.schedules:constant",
        "cosine": "lrdecay.schedules:cosine",
        "cosine_restarts": "lrdecay.schedules:cosine_restarts",
        "cyclic": "lrdecay.schedules:cyclic",
        "exp_hyperbolic": "lrdecay.schedules:exp_hyperbolic",
        "exponential": "lrdecay.schedules:exponential",
        "flat_cosine": "lrdecay.schedules:flat_cosine",
        "hyperbolic": "lrdecay.schedules:hyperbolic",
        "inverse_sqrt": "lrdecay.schedules:inverse_sqrt",
        "inverse_time": "lrdecay.schedules:inverse_time",
        "join": "lrdecay.schedules:join",
        "k_decay": "lrdecay.schedules:k_decay",
        "knee": "lrdecay.schedules:knee",
        "linear": "lrdecay.schedules:linear",
        "multistep": "lrdecay.schedules:multistep",
        "noisy": "lrdecay.schedules:noisy",
        "one_cycle": "lrdecay.schedules:one_cycle",
        "piecewise_interpolate": "lrdecay.schedules:piecewise_interpolate",
        "polynomial": "lrdecay.schedules:polynomial",
        "power": "lrdecay.schedules:power",
        "product": "lrdecay.schedules:product",
        "repeat": "lrdecay.schedules:repeat",
        "rescale": "lrdecay.schedules:rescale",
        "rex": "lrdecay.schedules:rex",
        "slanted_triangular": "lrdecay.schedules:slanted_triangular",
        "step": "lrdecay.schedules:step",
        "table": "lrdecay.schedules:table",
        "tanh": "lrdecay.schedules:tanh",
        "tri_stage": "lrdecay.schedules:tri_stage",
        "warmup": "lrdecay.schedules:warmup",
        "wsd": "lrdecay.schedules:wsd",
        "loss_aware": "lrdecay.loss_aware_schedule:loss_aware",
        "reduce_on_plateau": "lrdecay.presets:reduce_on_plateau",
        "cooldown_on_plateau": "lrdecay.presets:cooldown_on_plateau",
        "greedy": "lrdecay.presets:greedy",
        "auto": "lrdecay.presets:auto",
    },
    "trigger": {
        "plateau": "lrdecay.triggers:plateau",
        "slope": "lrdecay.triggers:slope",
        "variance": "lrdecay.triggers:variance",
        "stall": "lrdecay.triggers:stall",
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
        "any_of": "lrdecay.triggers:any_of",
        "all_of": "lrdecay.triggers:all_of",
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
      LookupError: no such name, module or attribute, or not a function; the message says what is
        allowed.
    """
    path = name if ":" in name else FACTORIES[kind].get(name)
    if path is None:
        raise LookupError(f"unknown {kind} {name!r}; {did_you_mean(name, FACTORIES[kind])}")
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise LookupError(f"cannot load {kind} {name!r}: {error}") from error
    if not callable(found):
        raise LookupError(f"cannot load {kind} {name!r}: {found!r} is no function")
    return found
