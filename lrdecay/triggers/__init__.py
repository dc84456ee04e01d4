"""Triggers: *when* the rate should change, as small state machines over observed numbers.

A trigger is a pair of pure functions, like an Optax transformation. Its state is a pytree of
float32 and int32 arrays of fixed shape, whatever the precision of what it observes.
"""

from lrdecay.triggers.combine import all_of, any_of, at, at_most, every
from lrdecay.triggers.plateau import plateau
from lrdecay.triggers.protocol import Observation, Reason, Trigger, Verdict, watch

__all__ = [
    "Observation",
    "Reason",
    "Trigger",
    "Verdict",
    "all_of",
    "any_of",
    "at",
    "at_most",
    "every",
    "plateau",
    "watch",
]
