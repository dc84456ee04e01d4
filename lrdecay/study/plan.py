"""From a configuration to a plan: everything validated and built, nothing loaded or compiled."""

import contextlib
import dataclasses
import functools
import json
from typing import Any, NamedTuple

import jax
from optax.schedules import StatefulSchedule

from lrdecay.loss_aware_schedule import LOSS
from lrdecay.optimizer_state import watched
from lrdecay.registry import did_you_mean
from lrdecay.signals import SIGNALS
from lrdecay.study.config import ConfigError
from lrdecay.study.halving import SuccessiveHalving, halving_of
from lrdecay.study.sections import Call, RunLength, resolve, with_defaults
from lrdecay.study.top_level import Config, top_level
from lrdecay.training.data import Dataset, Source
from lrdecay.training.engine import EPOCH_METRICS
from lrdecay.training.model_factory import check_model
from lrdecay.training.placement import Placement, choose
from lrdecay.training.streaming import StreamedDataset

# Long enough that no small share of it is no step at all.
_LONG_RUN = RunLength(1000, 1000)


def _name(value: Any) -> str:
    """What stands for a value that JSON does not have, such as a function, the same every time."""
    if isinstance(value, functools.partial):
        return _name(value.func)  # the text of a partial has the address of its function
    return getattr(value, "__qualname__", None) or str(value)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One arm of a study.

    Attributes:
      name: its name.
      schedule: makes the schedule.
      optimizer: makes the optimizer, given a `schedule`.
      model: makes the model, given the number of `classes`.
    """

    name: str
    schedule: Call
    optimizer: Call
    model: Call


class Stage(NamedTuple):
    """What is trained before some arms are retired, or the study is over.

    Attributes:
      epochs: how far each run is at the end.
      arms: how many arms there are.
    """

    epochs: int
    arms: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """A study that is ready to run.

    Attributes:
      config: the top level of the configuration.
      source: the data set, located and not loaded.
      arms: the arms, the reference first.
      run: length of every run, but those that are retired.
      halving: when arms are retired; None for never.
    """

    config: Config
    source: Source
    arms: tuple[Arm, ...]
    run: RunLength
    halving: SuccessiveHalving | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the study: one, if no arms are retired."""
        stages, arms = [], len(self.arms)
        if self.halving is not None:
            for rung in self.halving.rungs(self.config.epochs):
                stages.append(Stage(rung, arms))
                arms = self.halving.kept(arms)
        return (*stages, Stage(self.config.epochs, arms))

    @property
    def steps(self) -> int:
        """Training steps of all runs together."""
        begun, epochs = 0, 0
        for stage in self.stages:
            epochs += stage.arms * (stage.epochs - begun)
            begun = stage.epochs
        return epochs * self.run.steps_per_epoch * len(self.config.seed_list)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The arms, by index, that have model and optimizer in common: one program each."""
        parts = [(arm.optimizer, arm.model) for arm in self.arms]
        firsts = [i for i, part in enumerate(parts) if part not in parts[:i]]
        return tuple(
            tuple(i for i, part in enumerate(parts) if part == parts[first]) for first in firsts
        )

    def place(self, devices: int, backend: str) -> Placement:
        """Where the runs are computed.

        Args:
          devices: devices there are.
          backend: JAX's name of the platform.

        Raises:
          ConfigError: more devices are wanted than there are, or that cannot share a mini-batch.
        """
        runs = len(self.arms) * len(self.config.seed_list)
        placement = choose(runs, devices, backend, **self.config.placement)
        wanted, batch_size = placement.groups * placement.sharing, self.config.batch_size
        problems = []
        if wanted > devices:
            problems.append(
                f"placement: groups x sharing must be at most the {devices} devices there are, "
                f"got {placement.groups} x {placement.sharing}"
            )
        if batch_size % placement.sharing:
            problems.append(
                f"placement.sharing must divide batch_size = {batch_size}, got {placement.sharing}"
            )
        if problems:
            raise ConfigError(problems)
        return placement

    def load(self) -> Dataset | StreamedDataset:
        """Reads the data set, or the first of a streamed one, and checks the models on it.

        Raises:
          ConfigError: it is damaged, or not of the size that was said, or a model is not for it.
        """
        try:
            data = self.source.load()
            if isinstance(data, StreamedDataset):
                seed, batch_size = self.config.seed_list[0], self.config.batch_size
                with contextlib.closing(data.chunks(seed, 0, batch_size, steps=1)) as chunks:
                    next(chunks)
        except (OSError, ValueError) as error:
            raise ConfigError([f"data: {error}"]) from error
        if data.train.size != self.source.train_size:
            raise ConfigError(
                [
                    f"data: the source says train_size = {self.source.train_size}, "
                    f"and loads {data.train.size} training examples"
                ]
            )
        example = data.validation.images[: self.config.batch_size]
        problems = []
        for arm in (self.arms[group[0]] for group in self.groups):
            classes = self.source.classes
            try:
                check_model(arm.model(classes=classes), example, classes)
            except (TypeError, ValueError) as error:
                problems.append(f"model of arms.{arm.name}: {' '.join(str(error).split())}")
        if problems:
            raise ConfigError(problems)
        return data

    @property
    def resolved(self) -> dict[str, Any]:
        """The configuration with every default filled in, as it comes back from JSON."""
        config = self.config
        resolved = dataclasses.asdict(config) | {
            "data": with_defaults("data", config.data),
            "model": _part_with_defaults("model", config.model),
            "optimizer": _part_with_defaults("optimizer", config.optimizer),
            "arms": {name: _arm_with_defaults(section) for name, section in config.arms.items()},
            "seeds": config.seed_list,
            "successive_halving": self.halving and dataclasses.asdict(self.halving),
        }
        return json.loads(json.dumps(resolved, default=_name))


# What an arm may have of its own, and what the study gives to each.
_GIVEN = {"model": "classes", "optimizer": "schedule"}


def parted(arm: Any) -> tuple[Any, dict[str, Any]]:
    """An arm's section as that of its schedule and those of what it has of its own."""
    if not isinstance(arm, dict):
        return arm, {}
    own = {kind: arm[kind] for kind in _GIVEN if kind in arm}
    return {key: value for key, value in arm.items() if key not in own}, own


def _part_with_defaults(kind: str, section: Any) -> Any:
    return with_defaults(kind, section, given=(_GIVEN[kind],))


def _arm_with_defaults(arm: dict[str, Any]) -> dict[str, Any]:
    schedule, own = parted(arm)
    parts = {kind: _part_with_defaults(kind, section) for kind, section in own.items()}
    return with_defaults("schedule", schedule) | parts


def _check_monitors(schedule: Any, where: str, problems: list[str]) -> None:
    """Refuses a trigger that waits for a metric which training does not report."""
    if not isinstance(schedule, StatefulSchedule):
        return
    reported = (LOSS, *EPOCH_METRICS, *SIGNALS)
    problems += [
        f"{where}: unknown monitor {name!r}; {did_you_mean(name, reported)}"
        for name in watched(jax.eval_shape(schedule.init))  # which compiles nothing
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
    top = top_level(raw, problems)
    halving = halving_of(top, problems)

    data = resolve("data", top["data"], "data", problems) if "data" in top else None
    source = None if data is None else data()
    run = _run_length(top, source, problems)
    # For want of the real ones, any number of classes and any rate do to find mistakes.
    given = {"classes": 2 if source is None else source.classes, "schedule": 0.0}

    def part(kind: str, section: Any, where: str) -> Call | None:
        name = _GIVEN[kind]
        return resolve(kind, section, where, problems, given={name: given[name]})

    common = {kind: part(kind, top[kind], kind) for kind in _GIVEN if kind in top}
    arms: dict[str, dict[str, Any]] = {}
    for name, arm in (top.get("arms") or {}).items():
        where = f"arms.{name}"
        section, own = parted(arm)
        schedule = resolve("schedule", section, where, problems, run)
        if schedule is not None:
            _check_monitors(schedule(), where, problems)
        parts = {kind: part(kind, s, f"{where}.{kind}") for kind, s in own.items()}
        arms[name] = common | parts | {"schedule": schedule}
    if problems or source is None:
        raise ConfigError(problems)
    made = tuple(Arm(name, **arm) for name, arm in arms.items())
    return Plan(Config(**top), source, made, run, halving)
