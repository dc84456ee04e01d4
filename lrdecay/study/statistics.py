"""From a study's record to what can be said of it: a summary an arm, intervals over seeds."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from lrdecay.study.history import History

CONFIDENCE = 0.95

# The share of the steps, at the end of a run, in which the loss's oscillation is measured.
LATE = 0.2

# Smooth schedules in float32 fall by a millionth where they seem flat: such a drop is no cut.
SMALLEST_CUT = 1e-4


class Interval(NamedTuple):
    """A mean over seeds with its 95 % confidence interval; no interval (NaN) for a single seed."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def mean_interval(values: np.ndarray) -> Interval:
    """The mean of values over seeds with its Student-t interval; NaN for no values.

    Student's t rather than a bootstrap: with the 3 to 30 seeds of a study, bootstrap intervals are
    too narrow.

    Args:
      values: one number a seed, f[n].
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(np.mean(values, dtype=np.float64))
    if n == 1:
        return Interval(mean, math.nan, math.nan)
    error = np.std(values, ddof=1, dtype=np.float64) / math.sqrt(n)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error)
    return Interval(mean, mean - half, mean + half)


def paired_interval(a: np.ndarray, b: np.ndarray) -> Interval:
    """The mean of a - b with its Student-t interval, which leaves out what the pairs share.

    Args:
      a: one number a seed, f[n].
      b: the same for the reference, in the same order of seeds, f[n].
    """
    return mean_interval(np.subtract(a, b, dtype=np.float64))


def _late(loss: np.ndarray) -> np.ndarray:
    """The last fifth of the steps, and at least the two that a difference needs, f[..., late]."""
    return loss[..., -max(int(LATE * loss.shape[-1]), 2) :]


def oscillation(loss: np.ndarray) -> np.ndarray:
    """How much the training loss jumps from step to step late in training.

    The root of half the mean square of successive differences over the last fifth of the steps,
    which a slow trend does not raise (von Neumann et al. 1941).

    Args:
      loss: f[..., steps].

    Returns:
      In the units of the loss, f[...]; NaN where a loss in there is not finite, or the run is too
      short for a difference.
    """
    late = _late(loss).astype(np.float64)
    # An infinite loss less an infinite one would warn, where NaN says the same in silence.
    differences = np.diff(np.where(np.isfinite(late), late, np.nan))
    if differences.shape[-1] == 0:
        return np.full(loss.shape[:-1], np.nan)
    return np.asarray(np.sqrt(np.mean(differences**2, axis=-1) / 2))


def steps_to_target(val_accuracy: np.ndarray, target: float, steps_per_epoch: int) -> np.ndarray:
    """Training steps until an epoch's validation accuracy reaches the target; inf where never.

    Args:
      val_accuracy: f[..., epochs].
      target: 0 to 1.
      steps_per_epoch: steps in an epoch.
    """
    reached = val_accuracy >= target
    first = (np.argmax(reached, axis=-1) + 1) * steps_per_epoch
    return np.where(reached.any(axis=-1), first, np.inf)


def cuts(learning_rate: np.ndarray, fires: np.ndarray) -> np.ndarray:
    """The steps that are the first to run at a cut rate, i[k].

    A cut is a drop of the rate when a trigger fires, or one of at least a ten-thousandth between
    two flat stretches: step decay has cuts, a cosine has none.

    Args:
      learning_rate: one run's rate in each step, f[steps].
      fires: how often its triggers had fired by then, i[steps].
    """
    change = np.diff(learning_rate)
    flat_before = np.append(True, change[:-1] == 0)
    flat_after = np.append(change[1:] == 0, True)
    stair = flat_before & flat_after & (change <= -SMALLEST_CUT * learning_rate[:-1])
    return np.flatnonzero((change < 0) & (stair | (np.diff(fires) > 0))) + 1


@dataclasses.dataclass(frozen=True)
class ArmSummary:
    """What an arm did, over its seeds.

    An arm that was retired has no scores after the last step, which it has not got to, and so is
    not compared with others: its intervals are NaN, but for that of the validation accuracy.

    Attributes:
      name: the arm's name.
      seeds: number of seeds.
      retired: the epochs after which successive halving retired it; None if it did not.
      diverged: seeds with a training loss that is not finite after the last step or in the last
        fifth of the steps; they are left out of the final loss and the oscillation alone.
      val_accuracy: share of right validation answers after the arm's last epoch, 0 to 1.
      test_accuracy: share of right test answers after the last step, 0 to 1.
      difference: test accuracy minus that of the first arm with the same seed; None for the first
        and for an arm that was retired.
      final_loss: mean loss over the training set after the last step.
      gap: training accuracy minus test accuracy, after the last step.
      oscillation: see `oscillation`.
      reached: seeds that reached the target validation accuracy.
      steps_to_target: median over the seeds of the steps to get there; None where half or fewer
        did.
      cuts: mean number of cuts in a run.
      cut_steps: the median step of the first cut, the second, and so on, over the runs that had
        it.
    """

    name: str
    seeds: int
    retired: int | None
    diverged: int
    val_accuracy: Interval
    test_accuracy: Interval
    difference: Interval | None
    final_loss: Interval
    gap: Interval
    oscillation: Interval
    reached: int
    steps_to_target: float | None
    cuts: float
    cut_steps: tuple[float, ...]


def summarise(
    history: History, arms: Sequence[str], target_accuracy: float, steps_per_epoch: int
) -> list[ArmSummary]:
    """One summary an arm, in order; the first arm is the reference of the differences."""
    steps_needed = steps_to_target(history.val_accuracy, target_accuracy, steps_per_epoch)
    jumps = oscillation(history.loss)
    epochs = history.epochs.tolist()
    summaries = []
    for i, name in enumerate(arms):
        retired = None if epochs[i] == history.val_accuracy.shape[-1] else epochs[i]
        own = slice(epochs[i] * steps_per_epoch)
        accuracy = history.test_accuracy[i].astype(np.float64)
        finite = np.isfinite(_late(history.loss[i, :, own])).all(-1)
        if retired is None:
            finite &= np.isfinite(history.train_loss[i])
        median = float(np.median(steps_needed[i]))
        cut = [
            cuts(rate[own], fires[own])
            for rate, fires in zip(history.learning_rate[i], history.fires[i], strict=True)
        ]
        paired = i > 0 and retired is None
        most = max(len(c) for c in cut)
        summaries.append(
            ArmSummary(
                name=name,
                seeds=len(accuracy),
                retired=retired,
                diverged=int(np.sum(~finite)),
                val_accuracy=mean_interval(history.val_accuracy[i, :, epochs[i] - 1]),
                test_accuracy=mean_interval(accuracy),
                difference=paired_interval(accuracy, history.test_accuracy[0]) if paired else None,
                final_loss=mean_interval(history.train_loss[i][finite]),
                gap=mean_interval(history.train_accuracy[i] - accuracy),
                oscillation=mean_interval(jumps[i][finite]),
                reached=int(np.sum(np.isfinite(steps_needed[i]))),
                steps_to_target=median if math.isfinite(median) else None,
                cuts=float(np.mean([len(c) for c in cut])),
                cut_steps=tuple(
                    float(np.median([c[k] for c in cut if len(c) > k])) for k in range(most)
                ),
            )
        )
    return summaries


def as_json(summary: ArmSummary) -> dict[str, Any]:
    """A summary as strict JSON values: intervals as objects, NaN as null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Interval):
            return {k: plain(v) for k, v in value._asdict().items()}
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return value

    return {f.name: plain(getattr(summary, f.name)) for f in dataclasses.fields(summary)}
