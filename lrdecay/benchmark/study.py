"""The benchmark of a study: how long its programs take to compile, and their steps to compute."""

import contextlib
import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from lrdecay.arguments import PositiveInt
from lrdecay.benchmark.timing import Cost, Spread, cost, in_turn, spread
from lrdecay.study.config import ConfigError
from lrdecay.study.plan import Plan
from lrdecay.study.waves import programs
from lrdecay.training.data import Dataset, Source, Split
from lrdecay.training.engine import init, train_step
from lrdecay.training.placement import Placement, choose
from lrdecay.training.streaming import StreamedDataset
from lrdecay.training.wave import Program, Run, Wave

# Runs that are computed at once; more of them are not faster on any device.
RUNS = (1, 2, 4, 8, 16, 32, 64)

_CALL_STEPS = 100
_CACHE = {
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@dataclasses.dataclass(frozen=True)
class Compilation:
    """Seconds to compile the three programs of a study, as `lrdecay run` does.

    Attributes:
      trace: from Python to a jaxpr.
      lower: from there to StableHLO.
      cold: from there to the device's code.
      cached: the same, where the persistent cache has the result.
    """

    trace: float
    lower: float
    cold: float
    cached: float


@dataclasses.dataclass(frozen=True)
class Scale:
    """Runs that are computed at once.

    Attributes:
      runs: how many.
      devices: on how many devices.
      step: seconds of a step of all of them.
      examples_per_second: of all of them, at the median.
    """

    runs: int
    devices: int
    step: Spread
    examples_per_second: float


@dataclasses.dataclass(frozen=True)
class Result:
    """The benchmark of a study.

    Attributes:
      name: the study's name.
      batch_size: examples in a mini-batch.
      steps: steps in a timed call.
      compilation: seconds to compile.
      step: seconds of a step of one run of the first arm, alone on one device.
      cost: of such a step.
      memory_bytes: device memory of that run: data, state, and what a step needs.
      schedules: by arm, the time of its step over that of the first arm's, round by round.
      scaling: more runs on the same device, and on more devices.
    """

    name: str
    batch_size: int
    steps: int
    compilation: Compilation
    step: Spread
    cost: Cost
    memory_bytes: float | None
    schedules: dict[str, Spread]
    scaling: tuple[Scale, ...]


def random_images(train_size: PositiveInt = 2_000, pixels: PositiveInt = 28) -> Source:
    """Random images of 10 classes: how long a step takes does not depend on what they show.

    Args:
      train_size: number of training examples.
      pixels: height and width.
    """

    def split(n: int) -> Split:
        rng = np.random.default_rng(n)
        images = rng.normal(size=(n, pixels, pixels, 1)).astype(np.float32)
        return Split(images, rng.integers(0, 10, n).astype(np.int32))

    return Source(lambda: Dataset(split(train_size), split(100), split(100)), train_size, 10)


class _Training:
    """A wave that goes on and on: a call is an epoch."""

    def __init__(self, wave: Wave, arms: int) -> None:
        runs = np.arange(wave.placement.at_once, dtype=np.int32)
        own = wave.own(Run(runs % np.int32(arms), runs // np.int32(arms)))
        self._wave = wave
        self._under_way = wave.start.call(own, wave.shared)
        self._epoch = np.int32(0)

    def __call__(self) -> Any:
        arguments = (self._wave.shared, self._epoch)
        self._under_way, *record = self._wave.epoch.call(self._under_way, arguments)
        self._epoch += np.int32(1)
        return record

    @property
    def finite(self) -> bool:
        """Whether all weights are: a run that stands still takes no time."""
        leaves = jax.tree.leaves(self._under_way.state.params)
        return all(bool(jnp.isfinite(x).all()) for x in leaves)


def _first(split: Split, n: int) -> Split:
    return Split(split.images[:n], split.labels[:n])


def _short(data: Dataset | StreamedDataset, batch_size: int) -> Dataset:
    """Data in memory whose epoch is a few steps, and ends with the validation of one example."""
    steps = min(_CALL_STEPS, data.train.size // batch_size)
    if isinstance(data, StreamedDataset):
        with contextlib.closing(data.chunks(0, 0, batch_size, steps=1)) as chunks:
            columns = list(zip(*itertools.islice(chunks, steps), strict=True))
        train = Split(*(np.concatenate([x[0] for x in column]) for column in columns))
    else:
        train = _first(data.train, steps * batch_size)
    return Dataset(train, _first(data.validation, 1), _first(data.test, 1))


@contextlib.contextmanager
def _own_cache() -> Iterator[None]:
    """An empty persistent cache for what is compiled, in place of the user's."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"jax_compilation_cache_dir": folder, **_CACHE}
        before = {name: getattr(jax.config, name) for name in settings}
        try:
            for name, value in settings.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def _seconds(wave: Wave, stage: str) -> float:
    return sum(getattr(p, f"{stage}_seconds") for p in (wave.start, wave.epoch, wave.final))


def _memory(program: Program) -> float | None:
    """Bytes of all that a program holds while it runs; results in place of arguments once."""
    stats = program.call.memory_analysis()
    if stats is None:
        return None
    results = stats.output_size_in_bytes - stats.alias_size_in_bytes
    return float(stats.argument_size_in_bytes + stats.temp_size_in_bytes + results)


def _step_cost(plan: Plan, data: Dataset) -> Cost:
    arm = plan.arms[0]
    model = arm.model(classes=plan.source.classes)
    optimizer = arm.optimizer(schedule=arm.schedule())
    images, labels = jax.tree.map(jnp.asarray, _first(data.train, plan.config.batch_size))
    key = jax.random.key(0)
    state = jax.eval_shape(functools.partial(init, model, optimizer), key, images)
    step = functools.partial(train_step, model, optimizer)
    return cost(step, state, images, labels, key)


def placements(devices: int, backend: str) -> Sequence[Placement]:
    """Those of more and more runs on one device, and of the most runs on more and more devices.

    Args:
      devices: devices there are.
      backend: JAX's name of the platform.
    """
    counts = [2**k for k in range(devices.bit_length())]
    on_one = [choose(runs, 1, backend) for runs in RUNS]
    on_all = [choose(RUNS[-1], n, backend) for n in dict.fromkeys([*counts, devices])]
    return list(dict.fromkeys([*on_one, *on_all]))


def bench(
    plan: Plan, repeats: int, on_stage: Callable[[str], object], profile: Path | None
) -> Result:
    """Compiles and times the programs of a study.

    The arms that do not share the first's model and optimizer are timed as schedules alone.

    Args:
      plan: the study.
      repeats: rounds of timing, at least 1.
      on_stage: told what comes next.
      profile: folder for a trace of the first arm's steps, by JAX's profiler.

    Raises:
      ConfigError: an arm diverges.
    """
    batch_size, together = plan.config.batch_size, plan.groups[0]
    data = _short(plan.load(), batch_size)
    steps = len(data.train.labels) // batch_size
    alone = Placement(1, 1, 1)

    with _own_cache():
        placement = plan.place(jax.device_count(), jax.default_backend())
        on_stage("compiling")
        cold = programs(plan, together, data, placement)
        jax.clear_caches()
        on_stage("compiling again, from the cache")
        cached = programs(plan, together, data, placement)
        compilation = Compilation(
            *(_seconds(cold, stage) for stage in ("trace", "lower", "compile")),
            cached=_seconds(cached, "compile"),
        )

        waves: dict[str, Wave] = {}
        for i, arm in enumerate(plan.arms):
            on_stage(f"compiling {arm.name}")
            waves[arm.name] = programs(plan, [i], data, alone)
        trainings = {name: _Training(wave, 1) for name, wave in waves.items()}
        on_stage("timing the arms")
        seconds = in_turn(trainings, repeats)
        names = list(trainings)
        if profile is not None:
            on_stage("profiling")
            with jax.profiler.trace(str(profile)):
                jax.block_until_ready(trainings[names[0]]())

        scales = {}
        for at in placements(jax.device_count(), jax.default_backend()):
            on_stage(f"compiling {at.at_once} runs at once")
            trainings[f"{at}"] = scales[at] = _Training(
                programs(plan, together, data, at), len(together)
            )
        on_stage("timing runs at once")
        together_seconds = in_turn({f"{at}": training for at, training in scales.items()}, repeats)

    problems = [
        f"{name}: its weights are no longer finite, so there is no step to time"
        for name, training in trainings.items()
        if not training.finite
    ]
    if problems:
        raise ConfigError(problems)
    first = seconds[names[0]]
    steps_of = {at: spread(together_seconds[f"{at}"] / steps) for at in scales}
    return Result(
        name=plan.config.name,
        batch_size=batch_size,
        steps=steps,
        compilation=compilation,
        step=spread(first / steps),
        cost=_step_cost(plan, data),
        memory_bytes=_memory(waves[names[0]].epoch),
        schedules={name: spread(seconds[name] / first) for name in names[1:]},
        scaling=tuple(
            Scale(at.at_once, at.groups, step, at.at_once * batch_size / step.median)
            for at, step in steps_of.items()
        ),
    )
