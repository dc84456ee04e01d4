"""What a schedule is, and what is accepted as one."""

from collections.abc import Callable, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from lrdecay.arguments import INT32_MAX, NonNegative, Number, checked
from lrdecay.schedules.clock import as_float

Schedule = optax.Schedule
RateOrSchedule = NonNegative | Schedule
Rates = Annotated[Sequence[ArrayLike] | jax.Array | np.ndarray, Number(low=0, many=True)]
Boundaries = Annotated[
    Sequence[ArrayLike] | jax.Array | np.ndarray,
    Number(int, 0, INT32_MAX, duration=True, many=True),
]


@checked
def constant(value: NonNegative) -> Schedule:
    """The same rate at every step."""
    return lambda count: jnp.broadcast_to(as_float(value), jnp.shape(count))


def as_schedule(schedule: RateOrSchedule, name: str = "schedule") -> Schedule:
    """A schedule as it is; a number as a constant schedule.

    Args:
      schedule: the one or the other.
      name: what an error calls it.
    """
    if callable(schedule):
        return schedule
    Number(low=0).check(name, schedule)
    return constant(schedule)


def floats(schedule: RateOrSchedule, name: str = "schedule") -> Callable[[ArrayLike], jax.Array]:
    """A schedule to build on, with rates of the default float type, which Optax's need not have.

    Raises:
      TypeError: it is loss-aware, so that its rate is no function of the step.
    """
    if isinstance(schedule, optax.schedules.StatefulSchedule):
        raise TypeError(
            f"{name} must be a schedule of the step alone, got {type(schedule).__name__}; build "
            "on its base instead, as in loss_aware(warmup(base, steps), when=..., how=...)"
        )
    inner = as_schedule(schedule, name)
    return lambda count: as_float(inner(count))


def floats_list(
    schedules: Sequence[RateOrSchedule], name: str = "schedules"
) -> list[Callable[[ArrayLike], jax.Array]]:
    """`floats` of each of several.

    Raises:
      TypeError: no list of schedules.
    """
    if isinstance(schedules, str) or not isinstance(schedules, Sequence):
        raise TypeError(f"{name} must be a list of schedules or numbers, got {schedules!r}")
    return [floats(s, f"{name}[{i}]") for i, s in enumerate(schedules)]


def concrete(*values: ArrayLike) -> list[int | float]:
    """Those of the values that are not traced, and so can be compared."""
    return [np.asarray(v).item() for v in values if not isinstance(v, jax.core.Tracer)]


def boundary_list(boundaries: Boundaries, name: str = "boundaries") -> list[ArrayLike]:
    """The boundaries one by one.

    Raises:
      ValueError: they fall somewhere; traced ones are not looked at.
    """
    known = concrete(*boundaries)
    if known != sorted(known):
        raise ValueError(f"{name} must not fall, got {known}")
    return list(boundaries)
