"""From a configuration to a plan: everything validated and built, nothing loaded or compiled."""

import dataclasses
import re
from typing import Annotated, Any

import optax
from optax.schedules import StatefulSchedule

from lrdecay.arguments import Number
from lrdecay.loss_aware_schedule import LOSS
from lrdecay.optimizer_state import watched
from lrdecay.registry import did_you_mean
from lrdecay.signals import SIGNALS
from lrdecay.study.config import ConfigError
from lrdecay.study.sections import RunLength, arguments, build, with_defaults
from lrdecay.training.data import Source
from lrdecay.training.engine import EPOCH_METRICS
from lrdecay.training.models import Model

AtLeastOne = Annotated[int, Number(int, low=1)]
Share = Annotated[float, Number(low=0, high=1, open_low=True)]


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
    data: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    seeds: list[int] | int = 10
    batch_size: AtLeastOne = 64
    target_accuracy: Share = 0.95

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds) if isinstance(self.seeds, int) else self.seeds)


def _top_level(raw: dict[str, Any], problems: list[str]) -> Config | None:
    """The validated top level; None where there are problems, which are added to the list."""
    before = len(problems)
    found = arguments(Config, raw, "", problems)
    if len(problems) > before:
        return None
    config = Config(**found)
    if not re.fullmatch(r"[\w][\w .-]*", config.name):
        problems.append(f"name must be letters, digits, '.', '_' or '-', got {config.name!r}")
    if not config.arms:
        problems.append("arms must have at least one arm, got none")
    seeds = config.seed_list
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= s < 2**31 for s in seeds):
        problems.append(
            f"seeds must be an integer of at least 1 or a list of different ones from 0, "
            f"got {config.seeds}"
        )
    return config if len(problems) == before else None


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

    @property
    def resolved(self) -> dict[str, Any]:
        """The configuration with every default filled in, as JSON-ready values."""
        config = dataclasses.asdict(self.config)
        for kind in ("data", "model", "optimizer"):
            config[kind] = with_defaults(kind, config[kind])
        arms = config["arms"].items()
        return config | {
            "seeds": list(self.config.seed_list),
            "arms": {name: with_defaults("schedule", section) for name, section in arms},
        }


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


def plan(raw: dict[str, Any]) -> Plan:
    """Validates a configuration and builds what it describes.

    Raises:
      ConfigError: with every mistake found, each a line that names the field, the value and what
        is allowed.
    """
    problems: list[str] = []
    config = _top_level(raw, problems)
    if config is None:
        raise ConfigError(problems)
    source = build("data", config.data, "data", problems)
    run = None
    if isinstance(source, Source):
        if config.batch_size > source.train_size:
            problems.append(
                f"batch_size must be an integer in [1, {source.train_size}], the size of the "
                f"training set, got {config.batch_size}"
            )
        run = RunLength(max(source.train_size // config.batch_size, 1), config.epochs)
    # Any number of classes does to find the mistakes in the model's section.
    classes = source.classes if isinstance(source, Source) else 2
    model = build("model", config.model, "model", problems, given={"classes": classes})
    # The rate 0 stands in for the schedules, so that the optimizer's own mistakes come up once.
    build("optimizer", config.optimizer, "optimizer", problems, given={"schedule": 0.0})
    schedules = {}
    for name, section in config.arms.items():
        schedules[name] = build("schedule", section, f"arms.{name}", problems, run)
        _check_monitors(schedules[name], f"arms.{name}", problems)
    if problems:
        raise ConfigError(problems)
    arms = tuple(
        Arm(
            name,
            build("optimizer", config.optimizer, "optimizer", [], given={"schedule": schedule}),
        )
        for name, schedule in schedules.items()
    )
    assert run is not None
    return Plan(config, source, model, arms, run)
