"""Decide when and how a learning rate should fall, inside the compiled training step.

Names are loaded on first use, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrdecay.decays import Decay, multiply, rungs
    from lrdecay.loss_aware_schedule import LossAware, loss_aware
    from lrdecay.schedules import (
        constant,
        cosine,
        cosine_restarts,
        cyclic,
        exp_hyperbolic,
        exponential,
        flat_cosine,
        hyperbolic,
        inverse_sqrt,
        inverse_time,
        join,
        k_decay,
        knee,
        linear,
        multistep,
        noisy,
        one_cycle,
        piecewise_interpolate,
        polynomial,
        power,
        product,
        repeat,
        rescale,
        rex,
        slanted_triangular,
        step,
        table,
        tanh,
        tri_stage,
        untuned_warmup_steps,
        warmup,
        wsd,
    )
    from lrdecay.transform import (
        fires,
        learning_rate,
        observe,
        scale_by_learning_rate,
        watched,
        with_learning_rate,
    )
    from lrdecay.triggers import Trigger, plateau, watch

__version__ = "0.1.0"

_HOME = {
    "decays": ("Decay", "multiply", "rungs"),
    "loss_aware_schedule": ("LossAware", "loss_aware"),
    "schedules": (
        "constant",
        "cosine",
        "cosine_restarts",
        "cyclic",
        "exp_hyperbolic",
        "exponential",
        "flat_cosine",
        "hyperbolic",
        "inverse_sqrt",
        "inverse_time",
        "join",
        "k_decay",
        "knee",
        "linear",
        "multistep",
        "noisy",
        "one_cycle",
        "piecewise_interpolate",
        "polynomial",
        "power",
        "product",
        "repeat",
        "rescale",
        "rex",
        "slanted_triangular",
        "step",
        "table",
        "tanh",
        "tri_stage",
        "untuned_warmup_steps",
        "warmup",
        "wsd",
    ),
    "transform": (
        "fires",
        "learning_rate",
        "observe",
        "scale_by_learning_rate",
        "watched",
        "with_learning_rate",
    ),
    "triggers": ("Trigger", "plateau", "watch"),
}
_HOME_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Decay",
    "LossAware",
    "Trigger",
    "constant",
    "cosine",
    "cosine_restarts",
    "cyclic",
    "exp_hyperbolic",
    "exponential",
    "fires",
    "flat_cosine",
    "hyperbolic",
    "inverse_sqrt",
    "inverse_time",
    "join",
    "k_decay",
    "knee",
    "learning_rate",
    "linear",
    "loss_aware",
    "multiply",
    "multistep",
    "noisy",
    "observe",
    "one_cycle",
    "piecewise_interpolate",
    "plateau",
    "polynomial",
    "power",
    "product",
    "repeat",
    "rescale",
    "rex",
    "rungs",
    "scale_by_learning_rate",
    "slanted_triangular",
    "step",
    "table",
    "tanh",
    "tri_stage",
    "untuned_warmup_steps",
    "warmup",
    "watch",
    "watched",
    "with_learning_rate",
    "wsd",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lrdecay' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lrdecay.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
