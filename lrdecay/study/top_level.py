"""The top level of a study's configuration."""

import dataclasses
import re
from typing import Annotated, Any

from lrdecay.arguments import INT32_MAX, Number, PositiveInt
from lrdecay.study.sections import arguments
from lrdecay.training.placement import choose

Section = Any  # checked where it is resolved
Share = Annotated[int | float, Number(low=0, high=1, open_low=True)]


@dataclasses.dataclass(frozen=True)
class Config:
    """The top level of a study's configuration.

    Attributes:
      name: the study's name, which is also its folder's.
      epochs: length of every run in epochs.
      data: section of the data set.
      model: section of the model.
      optimizer: section of the optimizer.
      arms: section of the schedule of each arm, by the arm's name; the first is the reference. In
        it, `optimizer` and `model` take the place of the study's own.
      seeds: how many seeds, from 0, or the list of them; the same for every arm.
      batch_size: examples in a mini-batch.
      target_accuracy: validation accuracy (0 to 1) whose first reaching is reported.
      placement: what is wanted of `lrdecay.training.placement.choose`, which chooses the rest.
      successive_halving: section of `SuccessiveHalving`; without it, no arm is retired.
    """

    name: str
    epochs: PositiveInt
    data: Section
    model: Section
    optimizer: Section
    arms: dict[str, Section]
    seeds: list[int] | int = 10
    batch_size: PositiveInt = 64
    target_accuracy: Share = 0.95
    placement: dict[str, Any] = dataclasses.field(default_factory=dict)
    successive_halving: Section = None

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds) if isinstance(self.seeds, int) else self.seeds)


def top_level(raw: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The fields of `Config` that are given, None in place of a bad one; sections as they are."""
    top = arguments(Config, raw, "", problems)
    name, arms, seeds = top.get("name"), top.get("arms"), top.get("seeds")
    if name is not None and not re.fullmatch(r"\w[\w .-]*", name):
        problems.append(
            "name must be letters, digits, ' ', '.', '_' or '-', and not begin with one of the "
            f"marks, got {name!r}"
        )
    if arms is not None and not arms:
        problems.append("arms must have at least one arm, got none")
    if isinstance(seeds, int) and seeds < 1:
        problems.append(f"seeds must be an integer of at least 1, or a list, got {seeds}")
    if isinstance(seeds, list) and (
        not seeds or len(set(seeds)) < len(seeds) or not all(0 <= s <= INT32_MAX for s in seeds)
    ):
        problems.append(f"seeds must be different integers of at least 0, got {seeds}")
    if top.get("placement"):
        devices = ("runs", "devices", "backend")
        arguments(choose, top["placement"], "placement", problems, given=devices)
    return top
