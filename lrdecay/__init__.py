"""Decide when and how a learning rate should fall, inside the compiled training step.

Names are loaded on first use, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrdecay.decays import Decay, multiply, rungs
    from lrdecay.loss_aware_schedule import LossAware, loss_aware
    from lrdecay.replaying import Replay, replay
    from lrdecay.schedules import constant, cosine, exponential, join, linear, step, warmup
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
    # A module called replay would hide the function, once something has imported it.
    "replaying": ("Replay", "replay"),
    "schedules": ("constant", "cosine", "exponential", "join", "linear", "step", "warmup"),
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
    "Replay",
    "Trigger",
    "constant",
    "cosine",
    "exponential",
    "fires",
    "join",
    "learning_rate",
    "linear",
    "loss_aware",
    "multiply",
    "observe",
    "plateau",
    "replay",
    "rungs",
    "scale_by_learning_rate",
    "step",
    "warmup",
    "watch",
    "watched",
    "with_learning_rate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lrdecay' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lrdecay.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
