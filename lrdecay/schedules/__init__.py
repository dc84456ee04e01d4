"""Schedules: the rate as a function of the step alone, as in Optax (int32[] step -> rate[]).

One convention throughout:

* Step 0 has the initial value, and a peak is reached, at the step where the climb ends.
* The end value is reached exactly after the given number of steps and held for ever after.
* Durations are lengths of phases, which add up; a phase of no steps is skipped.
* A rate is finite and never negative. It is float32, or float64 under x64, with the relative
  accuracy of its type, also close to 0 and after 1e8 steps.
* Every number may be traced, and differentiated where it is continuous, the inactive parts of a
  `join` included.

Any Optax schedule is accepted wherever a schedule is, and so is a number, as a constant. Optax's
own constructors need concrete numbers, and differ at the ends: `lrdecay.compat.optax`.
"""

from lrdecay.schedules.base import (
    Boundaries,
    RateOrSchedule,
    Rates,
    Schedule,
    as_schedule,
    constant,
)
from lrdecay.schedules.compose import join, product, repeat, rescale
from lrdecay.schedules.cosine import cosine, cosine_restarts, k_decay
from lrdecay.schedules.cyclic import cyclic
from lrdecay.schedules.exponential import exponential, multistep, step
from lrdecay.schedules.hyperbolic import exp_hyperbolic, hyperbolic, rex, tanh
from lrdecay.schedules.noise import noisy
from lrdecay.schedules.phases import (
    flat_cosine,
    knee,
    one_cycle,
    slanted_triangular,
    tri_stage,
    untuned_warmup_steps,
    warmup,
    wsd,
)
from lrdecay.schedules.polynomial import linear, polynomial
from lrdecay.schedules.power import inverse_sqrt, inverse_time, power
from lrdecay.schedules.shapes import Shape
from lrdecay.schedules.tables import piecewise_interpolate, table

__all__ = [
    "Boundaries",
    "RateOrSchedule",
    "Rates",
    "Schedule",
    "Shape",
    "as_schedule",
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
]
