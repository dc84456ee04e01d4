"""From a configuration to a plan: everything validated and built, nothing loaded or compiled."""

import dataclasses
import json
import re
from typing import Annotated, Any

import optax
from optax.schedules import StatefulSchedule

from lrdecay.arguments import INT32_MAX, Number
from lrdecay.loss_aware_schedule import LOSS
from lrdecay.optimizer_state import watched
from lrdecay.registry import did_you_mean
from lrdecay.signals import SIGNALS
from lrdecay.study.config import ConfigError
from lrdecay.study.sections import RunLength, arguments, build, with_defaults
from lrdecay.training.data import Dataset, Source
from lrdecay.training.engine import EPOCH_METRICS
from lrdecay.training.models import Model

AtLeastOne = Annotated[int, Number(int, low=1)]
Section = Any  # checked by `build`
Share = Annotated[int | float, Number(low=0, high=1, open_low=True)]

# Long enough that no small share of it is no step at all.
_LONG_RUN = RunLength(1000, 1000)


@dataclasses.dataclass(frozen=True)
class Config:
    """The top level of a study's configuration.

    Attributes:
      name: the study's name, which is also its folder's.
      epochs: length of every run in epochs.
      data: section of the data set.
      model: section of the model.
      optimizer: section of the optimizer.
      arms: section of the schedule of each arm, by the arm's name; the first is the reference.
      seeds: how many seeds, from 0, or the list of them; the same for every arm.
      batch_size: examples in a mini-batch.
      target_accuracy: validation accuracy (0 to 1) whose first reaching is reported.
    """

    name: str
    epochs: AtLeastOne
    data: Section
    model: Section
    optimizer: Section
    arms: dict[str, Section]
    seeds: list[int] | int = 10
    batch_size: AtLeastOne = 64
    target_accuracy: Share = 0.95

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds) if isinstance(self.seeds, int) else self.seeds)


def _top_level(raw: dict[str, Any], problems: list[str]) -> dict[str, Any]:
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
    return top


def _name(value: Any) -> str:
    """What stands for a value that JSON does not have, such as a function, the same every time."""
    return getattr(value, "__qualname__", None) or str(value)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One arm of a study.

    Attributes:
      name: its name.
      optimizer: the optimizer with the arm's schedule in it.
    """

    name: str
    optimizer: optax.GradientTransformationExtraArgs


@dataclasses.dataclass(frozen=True)
class Plan:
    """A study that is ready to run.

    Attributes:
      config: the top level of the configuration.
      source: the data set, located and not loaded.
      model: the model.
      arms: the arms, the reference first.
      run: length of every run.
    """

    config: Config
    source: Source
    model: Model
    arms: tuple[Arm, ...]
    run: RunLength

    def load(self) -> Dataset:
        """Reads the data set.

        Raises:
          ConfigError: it is damaged, or not of the size that was said.
        """
        try:
            data = self.source.load()
        except (OSError, ValueError) as error:
            raise ConfigError([f"data: {error}"]) from error
        if len(data.train.labels) != self.source.train_size:
            raise ConfigError(
                [
                    f"data: the source says train_size = {self.source.train_size}, "
                    f"and loads {len(data.train.labels)} training examples"
                ]
            )
        return data

    @property
    def resolved(self) -> dict[str, Any]:
        """The configuration with every default filled in, as it comes back from JSON."""
        config = self.config
        resolved = dataclasses.asdict(config) | {
            "data": with_defaults("data", config.data),
            "model": with_defaults("model", config.model, given=("classes",)),
            "optimizer": with_defaults("optimizer", config.optimizer, given=("schedule",)),
            "arms": {name: with_defaults("schedule", s) for name, s in config.arms.items()},
            "seeds": config.seed_list,
        }
        return json.loads(json.dumps(resolved, default=_name))


def _check_monitors(schedule: Any, where: str, problems: list[str]) -> None:
    """Refuses a trigger that waits for a metric which training does not report."""
    if not isinstance(schedule, StatefulSchedule):
        return
    reported = (LOSS, *EPOCH_METRICS, *SIGNALS)
    problems += [
        f"{where}: unknown monitor {name!r}; {did_you_mean(name, reported)}"
        for name in watched(schedule.init())
        if name not in reported
    ]


def _run_length(top: dict[str, Any], source: Source | None, problems: list[str]) -> RunLength:
    """The length of every run; without what it depends on, one that does to find mistakes."""
    epochs, batch_size = top.get("epochs"), top.get("batch_size", Config.batch_size)
    if source is None or epochs is None or batch_size is None:
        return _LONG_RUN
    if batch_size > source.train_size:
        problems.append(
            f"batch_size must be an integer in [1, {source.train_size}], the size of the training "
            f"set, got {batch_size}"
        )
        return _LONG_RUN
    return RunLength(source.train_size // batch_size, epochs)


def plan(raw: dict[str, Any]) -> Plan:
    """Validates a configuration and builds what it describes.

    Raises:
      ConfigError: with every mistake found, each a line that names the field, the value and what
        is allowed.
    """
    problems: list[str] = []
    top = _top_level(raw, problems)

    def part(kind: str, **given: Any) -> Any:
        return build(kind, top[kind], kind, problems, given=given) if kind in top else None

    source = part("data")
    run = _run_length(top, source, problems)
    # Any number of classes does to find the mistakes in the model's section.
    model = part("model", classes=2 if source is None else source.classes)
    # The rate 0 stands in for the schedules, so that the optimizer's own mistakes come up once.
    part("optimizer", schedule=0.0)
    schedules = {}
    for name, section in (top.get("arms") or {}).items():
        schedules[name] = build("schedule", section, f"arms.{name}", problems, run)
        _check_monitors(schedules[name], f"arms.{name}", problems)
    if problems:
        raise ConfigError(problems)
    arms = tuple(Arm(name, part("optimizer", schedule=s)) for name, s in schedules.items())
    if problems:
        raise ConfigError(problems)
    return Plan(Config(**top), source, model, arms, run)
