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

Here is what one needs to write another; the schedules themselves are names of `lrdecay`.
"""

from lrdecay.schedules.base import Boundaries, RateOrSchedule, Rates, Schedule, as_schedule

__all__ = ["Boundaries", "RateOrSchedule", "Rates", "Schedule", "as_schedule"]
