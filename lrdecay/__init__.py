"""Decide when and how a learning rate should fall, inside the compiled training step.

Names are loaded on first use, so that importing this package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrdecay.decays import Decay, cooldown, dip, multiply, restart, rungs, smooth_multiply
    from lrdecay.loss_aware_schedule import Decision, LossAware, loss_aware
    from lrdecay.optimizer_state import (
        decision,
        explain,
        fires,
        learning_rate,
        observe,
        rebase,
        set_factor,
        watched,
    )
    from lrdecay.presets import cooldown_on_plateau, reduce_on_plateau
    from lrdecay.schedules import constant, cosine, exponential, join, linear, step, warmup
    from lrdecay.transform import scale_by_learning_rate, with_learning_rate
    from lrdecay.triggers import (
        Reason,
        Trigger,
        Verdict,
        abel,
        all_of,
        any_of,
        at,
        at_most,
        convergence,
        cusum,
        decline,
        divergence,
        every,
        greedy,
        page_hinkley,
        pflug,
        plateau,
        slope,
        stationarity,
        variance,
        watch,
    )

__version__ = "0.1.0"

_HOME = {
    "decays": ("Decay", "cooldown", "dip", "multiply", "restart", "rungs", "smooth_multiply"),
    "loss_aware_schedule": ("Decision", "LossAware", "loss_aware"),
    "optimizer_state": (
        "decision",
        "explain",
        "fires",
        "learning_rate",
        "observe",
        "rebase",
        "set_factor",
        "watched",
    ),
    "presets": ("cooldown_on_plateau", "reduce_on_plateau"),
    "schedules": ("constant", "cosine", "exponential", "join", "linear", "step", "warmup"),
    "transform": ("scale_by_learning_rate", "with_learning_rate"),
    "triggers": (
        "Reason",
        "Trigger",
        "Verdict",
        "abel",
        "all_of",
        "any_of",
        "at",
        "at_most",
        "convergence",
        "cusum",
        "decline",
        "divergence",
        "every",
        "greedy",
        "page_hinkley",
        "pflug",
        "plateau",
        "slope",
        "stationarity",
        "variance",
        "watch",
    ),
}
_HOME_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Decay",
    "Decision",
    "LossAware",
    "Reason",
    "Trigger",
    "Verdict",
    "abel",
    "all_of",
    "any_of",
    "at",
    "at_most",
    "constant",
    "convergence",
    "cooldown",
    "cooldown_on_plateau",
    "cosine",
    "cusum",
    "decision",
    "decline",
    "dip",
    "divergence",
    "every",
    "explain",
    "exponential",
    "fires",
    "greedy",
    "join",
    "learning_rate",
    "linear",
    "loss_aware",
    "multiply",
    "observe",
    "page_hinkley",
    "pflug",
    "plateau",
    "rebase",
    "reduce_on_plateau",
    "restart",
    "rungs",
    "scale_by_learning_rate",
    "set_factor",
    "slope",
    "smooth_multiply",
    "stationarity",
    "step",
    "variance",
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
