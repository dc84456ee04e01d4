"""Triggers: *when* the rate should change, as small state machines over observed numbers.

A trigger is a pair of pure functions, like an Optax transformation. Its state is a pytree of
float32 and int32 arrays of fixed shape, whatever the precision of what it observes.
"""

from lrdecay.triggers.abel import abel
from lrdecay.triggers.combine import all_of, any_of, at, at_most, every
from lrdecay.triggers.convergence import convergence
from lrdecay.triggers.cusum import cusum
from lrdecay.triggers.decline import decline
from lrdecay.triggers.divergence import divergence
from lrdecay.triggers.greedy import greedy
from lrdecay.triggers.page_hinkley import page_hinkley
from lrdecay.triggers.pflug import pflug
from lrdecay.triggers.plateau import plateau
from lrdecay.triggers.protocol import Observation, Reason, Trigger, Verdict, watch
from lrdecay.triggers.slope import slope
from lrdecay.triggers.stall import stall
from lrdecay.triggers.stationarity import stationarity
from lrdecay.triggers.variance import variance

__all__ = [
    "Observation",
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
    "stall",
    "stationarity",
    "variance",
    "watch",
]
