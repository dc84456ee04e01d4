"""Each trigger as a family with one sensitivity."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import lrdecay
from lrdecay.triggers import Trigger

SETTINGS = 24


class Family(NamedTuple):
    """Triggers that differ in one number.

    Attributes:
      name: the trigger, and what of it is fixed.
      parameter: the number.
      make: (number, mode) -> trigger; the number may be traced.
      most: its most sensitive value.
      least: its least sensitive value.
      whole: whether it is a whole number.
    """

    name: str
    parameter: str
    make: Callable[[Any, Any], Trigger]
    most: float
    least: float
    whole: bool = False

    def between(self, most: float, least: float) -> np.ndarray:
        """SETTINGS values between two, at equal ratios, from the most sensitive to the least."""
        values = np.geomspace(most, least, SETTINGS)
        return np.round(values).astype(np.int32) if self.whole else values.astype(np.float32)

    @property
    def settings(self) -> np.ndarray:
        """Values over the whole range."""
        return self.between(self.most, self.least)


FAMILIES = [
    Family("plateau", "patience", lambda x, mode: lrdecay.plateau(x, rtol=0, mode=mode), 2, 500, True),
    Family("plateau, window 10", "patience", lambda x, mode: lrdecay.plateau(x, rtol=0, window=10, mode=mode), 1, 50, True),
    Family("plateau, window 50", "patience", lambda x, mode: lrdecay.plateau(x, rtol=0, window=50, mode=mode), 1, 10, True),
    Family("plateau, rtol 1e-2", "patience", lambda x, mode: lrdecay.plateau(x, rtol=1e-2, mode=mode), 2, 500, True),
    Family("plateau, rtol 1e-3", "patience", lambda x, mode: lrdecay.plateau(x, rtol=1e-3, mode=mode), 2, 500, True),
]
