"""Each trigger as a family with one sensitivity."""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from jax.typing import ArrayLike

import lrdecay
from lrdecay.arguments import number
from lrdecay.triggers import Trigger

SETTINGS = 24


class Family(NamedTuple):
    """Triggers of one kind that differ in one argument.

    Attributes:
      trigger: the factory.
      parameter: the argument that differs.
      most: its most sensitive value looked at.
      least: its least sensitive value looked at.
      fixed: arguments that are not the factory's defaults.
    """

    trigger: Callable[..., Trigger]
    parameter: str
    most: float
    least: float
    fixed: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return ", ".join([self.trigger.__name__, *(f"{k}={v:g}" for k, v in self.fixed)])

    @property
    def default(self) -> Any:
        """The value that makes the trigger what it is by default; None where others are changed."""
        return None if self.fixed else self._argument.default

    @property
    def _argument(self) -> inspect.Parameter:
        return inspect.signature(self.trigger).parameters[self.parameter]

    def make(self, value: ArrayLike, mode: Literal["min", "max"]) -> Trigger:
        """The trigger with this value, which may be traced."""
        return self.trigger(**dict(self.fixed), **{self.parameter: value}, mode=mode)

    def between(self, most: float, least: float) -> np.ndarray:
        """SETTINGS values at equal ratios, from the more to the less sensitive."""
        mark = number(self._argument.annotation)
        values = np.geomspace(most, least, SETTINGS)
        whole = mark is not None and mark.kind is int
        return np.round(values).astype(np.int32) if whole else values.astype(np.float32)

    @property
    def settings(self) -> np.ndarray:
        """Values over the whole range."""
        return self.between(self.most, self.least)


FAMILIES = [
    Family(lrdecay.plateau, "patience", 2, 500),
    Family(lrdecay.plateau, "window", 2, 200, (("patience", 3),)),
    Family(lrdecay.greedy, "patience", 2, 500),
    Family(lrdecay.slope, "window", 2, 70),
    Family(lrdecay.convergence, "rtol", 0.3, 1e-4),
    Family(lrdecay.variance, "window", 5, 400),
    Family(lrdecay.cusum, "threshold", 2, 100),
    Family(lrdecay.page_hinkley, "threshold", 2, 300),
    Family(lrdecay.stall, "ratio", 10.0, 0.05),
    Family(lrdecay.decline, "z", 0.5, 20),
    Family(lrdecay.divergence, "z", 0.5, 20),
]
