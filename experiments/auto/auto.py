"""The schedule for somebody who gives only a peak rate: what the benchmark here recommends."""

from typing import Literal

import lrdecay
from experiments.triggers.stall import stall
from lrdecay.arguments import Steps, checked
from lrdecay.schedules import RateOrSchedule


@checked
def auto(
    peak: RateOrSchedule,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> lrdecay.LossAware:
    """Half of the rate whenever the whole phase since the last cut shows no clear progress.

    It needs neither a horizon nor a time scale: a cut comes after 160 observations at the earliest,
    and a phase that pays gets twice the time. Without progress the rate ends at a thousandth of the
    peak.

    Args:
      peak: the largest rate that trains well, or a schedule such as a warmup to it.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric; the training loss of every step serves.
      grace: steps at the start in which nothing is looked at, such as a warmup.
    """
    return lrdecay.loss_aware(
        peak,
        when=stall(mode=mode, monitor=monitor, grace=grace),
        how=lrdecay.multiply(0.5, floor=1e-3),
    )
