"""Successive halving: the arms that do worst are retired on the way."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from lrdecay.arguments import Number, PositiveInt
from lrdecay.study.sections import arguments


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
    """When arms are retired, and how many.

    The first arm is the reference: it is never retired, and takes no other arm's place. Source:
    Jamieson & Talwalkar 2016 (arXiv 1502.07943); the rungs are those of a bracket of Hyperband (Li
    et al. 2018, arXiv 1603.06560).

    Attributes:
      min_epochs: epochs before the first arms are retired.
      reduction_factor: of the other arms at a rung, the best in so many go on, so many times as
        long.
    """

    min_epochs: PositiveInt
    reduction_factor: Annotated[int, Number(int, low=2)] = 3

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which arms are retired, all before the last of a run."""
        rungs, rung = [], self.min_epochs
        while rung < epochs:
            rungs.append(rung)
            rung *= self.reduction_factor
        return tuple(rungs)

    def kept(self, arms: int) -> int:
        """How many of the arms at a rung go on."""
        return 1 + math.ceil((arms - 1) / self.reduction_factor)

    def going_on(self, accuracy: Sequence[Sequence[float]]) -> tuple[int, ...]:
        """The indices of the arms at a rung that go on, in order.

        Args:
          accuracy: of each arm the validation accuracy of each seed; arms are ranked by the mean,
            and of equal ones the first comes first.
        """
        # The exact sum does not depend on the order of the seeds.
        total = [math.fsum(arm) for arm in accuracy]
        ranked = sorted(range(1, len(total)), key=lambda arm: -total[arm])
        return (0, *sorted(ranked[: self.kept(len(total)) - 1]))


def halving_of(top: Mapping[str, Any], problems: list[str]) -> SuccessiveHalving | None:
    """What the section `successive_halving` says; None without one, or with problems.

    Args:
      top: the top level of a study's configuration, with the fields that are there and right.
      problems: list to which every problem is added.
    """
    where, before = "successive_halving", len(problems)
    section = top.get(where)
    if section is None:
        return None
    if not isinstance(section, dict):
        problems.append(f"{where} must be a section, got {section!r}")
        return None
    found = arguments(SuccessiveHalving, section, where, problems)
    first, epochs, arms = found.get("min_epochs"), top.get("epochs"), top.get("arms")
    if first is not None and epochs is not None and first >= epochs:
        problems.append(
            f"{where}.min_epochs must be an integer below epochs = {epochs}, got {first}"
        )
    if arms is not None and len(arms) < 3:
        problems.append(
            f"{where}: arms must be at least 3, a reference, which is never retired, and others to "
            f"choose from, got {len(arms)}"
        )
    return SuccessiveHalving(**found) if len(problems) == before else None
