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
        "constant": "lrdecay:constant",
        "cosine": "lrdecay:cosine",
        "cosine_restarts": "lrdecay:cosine_restarts",
        "cyclic": "lrdecay:cyclic",
        "exp_hyperbolic": "lrdecay:exp_hyperbolic",
        "exponential": "lrdecay:exponential",
        "flat_cosine": "lrdecay:flat_cosine",
        "hyperbolic": "lrdecay:hyperbolic",
        "inverse_sqrt": "lrdecay:inverse_sqrt",
        "inverse_time": "lrdecay:inverse_time",
        "join": "lrdecay:join",
        "k_decay": "lrdecay:k_decay",
        "knee": "lrdecay:knee",
        "linear": "lrdecay:linear",
        "multistep": "lrdecay:multistep",
        "noisy": "lrdecay:noisy",
        "one_cycle": "lrdecay:one_cycle",
        "piecewise_interpolate": "lrdecay:piecewise_interpolate",
        "polynomial": "lrdecay:polynomial",
        "power": "lrdecay:power",
        "product": "lrdecay:product",
        "repeat": "lrdecay:repeat",
        "rescale": "lrdecay:rescale",
        "rex": "lrdecay:rex",
        "slanted_triangular": "lrdecay:slanted_triangular",
        "step": "lrdecay:step",
        "table": "lrdecay:table",
        "tanh": "lrdecay:tanh",
        "tri_stage": "lrdecay:tri_stage",
        "warmup": "lrdecay:warmup",
        "wsd": "lrdecay:wsd",
        "loss_aware": "lrdecay:loss_aware",
        "reduce_on_plateau": "lrdecay:reduce_on_plateau",
        "cooldown_on_plateau": "lrdecay:cooldown_on_plateau",
        "auto": "lrdecay:auto",
        "greedy": "lrdecay.presets:greedy",
    },
    "trigger": {
        "plateau": "lrdecay:plateau",
        "slope": "lrdecay:slope",
        "variance": "lrdecay:variance",
        "stall": "lrdecay:stall",
        "convergence": "lrdecay:convergence",
        "divergence": "lrdecay:divergence",
        "decline": "lrdecay:decline",
        "cusum": "lrdecay:cusum",
        "page_hinkley": "lrdecay:page_hinkley",
        "greedy": "lrdecay:greedy",
        "abel": "lrdecay:abel",
        "pflug": "lrdecay:pflug",
        "stationarity": "lrdecay:stationarity",
        "at": "lrdecay:at",
        "every": "lrdecay:every",
        "at_most": "lrdecay:at_most",
        "any_of": "lrdecay:any_of",
        "all_of": "lrdecay:all_of",
    },
    "decay": {
        "multiply": "lrdecay:multiply",
        "rungs": "lrdecay:rungs",
        "smooth_multiply": "lrdecay:smooth_multiply",
        "cooldown": "lrdecay:cooldown",
        "restart": "lrdecay:restart",
        "dip": "lrdecay:dip",
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
