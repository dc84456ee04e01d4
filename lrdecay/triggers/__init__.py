"""Triggers: *when* the rate should change, as small state machines over observed numbers.

A trigger is a pair of pure functions, like an Optax transformation. Its state is a pytree of
float32 and int32 arrays of fixed shape, whatever the precision of what it observes.

Here is what one needs to write another; the triggers themselves are names of `lrdecay`.
"""

from lrdecay.triggers.protocol import Observation, Reason, Trigger, Verdict, watch

__all__ = ["Observation", "Reason", "Trigger", "Verdict", "watch"]
