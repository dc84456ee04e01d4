"""Decide when and how a learning rate should fall, inside the compiled training step.

Names are loaded on first use, so that importing this package costs nothing.
"""

# The aliases say that the names are exported. Sorted, each would have a statement of its own.
# ruff: isort: skip_file
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrdecay.checkpoint import from_dict as from_dict, to_dict as to_dict
    from lrdecay.decays import (
        Decay as Decay,
        cooldown as cooldown,
        dip as dip,
        multiply as multiply,
        restart as restart,
        rungs as rungs,
        smooth_multiply as smooth_multiply,
    )
    from lrdecay.loss_aware_schedule import (
        Decision as Decision,
        LossAware as LossAware,
        loss_aware as loss_aware,
    )
    from lrdecay.optimizer_state import (
        decision as decision,
        explain as explain,
        fires as fires,
        learning_rate as learning_rate,
        observe as observe,
        rebase as rebase,
        set_factor as set_factor,
        watched as watched,
    )
    from lrdecay.presets import (
        auto as auto,
        cooldown_on_plateau as cooldown_on_plateau,
        reduce_on_plateau as reduce_on_plateau,
    )
    from lrdecay.replaying import Replay as Replay, replay as replay
    from lrdecay.schedules.base import constant as constant
    from lrdecay.schedules.compose import (
        join as join,
        product as product,
        repeat as repeat,
        rescale as rescale,
    )
    from lrdecay.schedules.cosine import (
        cosine as cosine,
        cosine_restarts as cosine_restarts,
        k_decay as k_decay,
    )
    from lrdecay.schedules.cyclic import cyclic as cyclic
    from lrdecay.schedules.exponential import (
        exponential as exponential,
        multistep as multistep,
        step as step,
    )
    from lrdecay.schedules.hyperbolic import (
        exp_hyperbolic as exp_hyperbolic,
        hyperbolic as hyperbolic,
        rex as rex,
        tanh as tanh,
    )
    from lrdecay.schedules.noise import noisy as noisy
    from lrdecay.schedules.phases import (
        flat_cosine as flat_cosine,
        knee as knee,
        one_cycle as one_cycle,
        slanted_triangular as slanted_triangular,
        tri_stage as tri_stage,
        untuned_warmup_steps as untuned_warmup_steps,
        warmup as warmup,
        wsd as wsd,
    )
    from lrdecay.schedules.polynomial import linear as linear, polynomial as polynomial
    from lrdecay.schedules.power import (
        inverse_sqrt as inverse_sqrt,
        inverse_time as inverse_time,
        power as power,
    )
    from lrdecay.schedules.tables import (
        piecewise_interpolate as piecewise_interpolate,
        table as table,
    )
    from lrdecay.transform import (
        scale_by_learning_rate as scale_by_learning_rate,
        with_learning_rate as with_learning_rate,
    )
    from lrdecay.triggers.abel import abel as abel
    from lrdecay.triggers.combine import (
        all_of as all_of,
        any_of as any_of,
        at as at,
        at_most as at_most,
        every as every,
    )
    from lrdecay.triggers.convergence import convergence as convergence
    from lrdecay.triggers.cusum import cusum as cusum
    from lrdecay.triggers.decline import decline as decline
    from lrdecay.triggers.divergence import divergence as divergence
    from lrdecay.triggers.greedy import greedy as greedy
    from lrdecay.triggers.page_hinkley import page_hinkley as page_hinkley
    from lrdecay.triggers.pflug import pflug as pflug
    from lrdecay.triggers.plateau import plateau as plateau
    from lrdecay.triggers.protocol import (
        Reason as Reason,
        Trigger as Trigger,
        Verdict as Verdict,
        watch as watch,
    )
    from lrdecay.triggers.slope import slope as slope
    from lrdecay.triggers.stall import stall as stall
    from lrdecay.triggers.stationarity import stationarity as stationarity
    from lrdecay.triggers.variance import variance as variance

__version__ = "0.1.0"

# Where each name is at home.
_HOME = {
    "Decay": "decays",
    "Decision": "loss_aware_schedule",
    "LossAware": "loss_aware_schedule",
    "Reason": "triggers.protocol",
    "Replay": "replaying",
    "Trigger": "triggers.protocol",
    "Verdict": "triggers.protocol",
    "abel": "triggers.abel",
    "all_of": "triggers.combine",
    "any_of": "triggers.combine",
    "at": "triggers.combine",
    "at_most": "triggers.combine",
    "auto": "presets",
    "constant": "schedules.base",
    "convergence": "triggers.convergence",
    "cooldown": "decays",
    "cooldown_on_plateau": "presets",
    "cosine": "schedules.cosine",
    "cosine_restarts": "schedules.cosine",
    "cusum": "triggers.cusum",
    "cyclic": "schedules.cyclic",
    "decision": "optimizer_state",
    "decline": "triggers.decline",
    "dip": "decays",
    "divergence": "triggers.divergence",
    "every": "triggers.combine",
    "exp_hyperbolic": "schedules.hyperbolic",
    "explain": "optimizer_state",
    "exponential": "schedules.exponential",
    "fires": "optimizer_state",
    "flat_cosine": "schedules.phases",
    "from_dict": "checkpoint",
    "greedy": "triggers.greedy",
    "hyperbolic": "schedules.hyperbolic",
    "inverse_sqrt": "schedules.power",
    "inverse_time": "schedules.power",
    "join": "schedules.compose",
    "k_decay": "schedules.cosine",
    "knee": "schedules.phases",
    "learning_rate": "optimizer_state",
    "linear": "schedules.polynomial",
    "loss_aware": "loss_aware_schedule",
    "multiply": "decays",
    "multistep": "schedules.exponential",
    "noisy": "schedules.noise",
    "observe": "optimizer_state",
    "one_cycle": "schedules.phases",
    "page_hinkley": "triggers.page_hinkley",
    "pflug": "triggers.pflug",
    "piecewise_interpolate": "schedules.tables",
    "plateau": "triggers.plateau",
    "polynomial": "schedules.polynomial",
    "power": "schedules.power",
    "product": "schedules.compose",
    "rebase": "optimizer_state",
    "reduce_on_plateau": "presets",
    "repeat": "schedules.compose",
    "replay": "replaying",
    "rescale": "schedules.compose",
    "restart": "decays",
    "rex": "schedules.hyperbolic",
    "rungs": "decays",
    "scale_by_learning_rate": "transform",
    "set_factor": "optimizer_state",
    "slanted_triangular": "schedules.phases",
    "slope": "triggers.slope",
    "smooth_multiply": "decays",
    "stall": "triggers.stall",
    "stationarity": "triggers.stationarity",
    "step": "schedules.exponential",
    "table": "schedules.tables",
    "tanh": "schedules.hyperbolic",
    "to_dict": "checkpoint",
    "tri_stage": "schedules.phases",
    "untuned_warmup_steps": "schedules.phases",
    "variance": "triggers.variance",
    "warmup": "schedules.phases",
    "watch": "triggers.protocol",
    "watched": "optimizer_state",
    "with_learning_rate": "transform",
    "wsd": "schedules.phases",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lrdecay' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lrdecay.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
