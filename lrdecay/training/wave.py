"""A wave: as many runs of a study as are computed at once, trained in step by compiled programs."""

import abc
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int
from optax.schedules import StatefulSchedule

from lrdecay.optimizer_state import fires, learning_rate
from lrdecay.training.arms import Schedules, pick
from lrdecay.training.data import Dataset
from lrdecay.training.engine import (
    Score,
    Steps,
    TrainState,
    evaluate,
    init,
    train_epoch,
)
from lrdecay.training.hosts import fetch
from lrdecay.training.models import Model
from lrdecay.training.placement import RUNS, Placement, make_mesh, over_runs, share
from lrdecay.training.rewriting import fast_convolutions

OptimizerOf = Callable[[StatefulSchedule], optax.GradientTransformationExtraArgs]


class Run(NamedTuple):
    """What makes a run the run it is; a wave has a first axis of runs.

    Attributes:
      arm: index of its schedule, i32[].
      seed: what its weights, batches and noise depend on, i32[].
    """

    arm: Int[Array | np.ndarray, "*runs"]
    seed: Int[Array | np.ndarray, "*runs"]


class UnderWay(NamedTuple):
    """A run that has started, and how far it is.

    Attributes:
      run: which run.
      state: all that changes in training.
      finite: whether its weights were, at the end of the last epoch. A run whose are not cannot
        come back: it stands still, and its losses are NaN from then on.
    """

    run: Run
    state: TrainState
    finite: Bool[Array | np.ndarray, "*runs"]


class Final(NamedTuple):
    """The scores after the last step."""

    train: Score
    test: Score


class Program(NamedTuple):
    """A compiled function, and how long it took to get there, in seconds."""

    call: jax.stages.Compiled
    trace_seconds: float
    lower_seconds: float
    compile_seconds: float

    @property
    def seconds(self) -> float:
        """From the Python function to the machine's code."""
        return self.trace_seconds + self.lower_seconds + self.compile_seconds


def compiled(function: Callable[..., Any], *arguments: Any, **options: Any) -> Program:
    """Compiles a function for such arguments; the options are those of `jax.jit`."""
    clock = [time.perf_counter()]
    traced = jax.jit(function, **options).trace(*arguments)
    clock.append(time.perf_counter())
    lowered = traced.lower()
    clock.append(time.perf_counter())
    program = lowered.compile()
    clock.append(time.perf_counter())
    return Program(program, *(after - before for before, after in itertools.pairwise(clock)))


class Part(NamedTuple):
    """What a part of an epoch gives, on the devices.

    Attributes:
      under_way: the runs, which the next part uses up.
      steps: what each step left behind, [runs, steps] each.
      score: the validation scores, [runs] each, with the last part of an epoch.
    """

    under_way: UnderWay
    steps: Steps
    score: Score | None


@dataclasses.dataclass(frozen=True)
class AbstractWave(abc.ABC):
    """The programs of a wave. All that is a run's own has a first axis of runs.

    Attributes:
      placement: where the runs are computed.
      mesh: its devices.
      shared: what all runs have in common, on every device: the schedules and data.
      start: (runs, shared) -> runs under way.
    """

    placement: Placement
    mesh: Mesh
    shared: tuple[Schedules, Any]
    start: Program

    @property
    def seconds(self) -> float:
        """Tracing and compiling, all together."""
        return sum(x.seconds for x in vars(self).values() if isinstance(x, Program))

    def own(self, x: Any) -> Any:
        """From NumPy's arrays with a first axis of runs to those of the mesh."""
        return jax.device_put(x, NamedSharding(self.mesh, PartitionSpec(RUNS)))

    @abc.abstractmethod
    def train_epoch(
        self, under_way: UnderWay, epoch: int, done: int = 0
    ) -> Generator[Part, None, None]:
        """Trains for one epoch, part by part, and scores the validation split.

        Args:
          under_way: the runs, which are used up.
          epoch: index of the epoch, from 0.
          done: steps of it that are done, for which `begins_at`.
        """

    @abc.abstractmethod
    def begins_at(self, step: int) -> bool:
        """Whether a part of an epoch begins at a step of it."""

    @abc.abstractmethod
    def final_scores(self, under_way: UnderWay) -> Final:
        """The scores of the training and test splits, [runs] each, as NumPy's arrays."""


@dataclasses.dataclass(frozen=True)
class Wave(AbstractWave):
    """A wave whose training split is on the devices.

    Attributes:
      epoch: (runs under way, (shared, index of the epoch)) -> (runs under way, steps, validation
        scores), which uses up those given.
      final: (runs under way, shared) -> final scores.
    """

    epoch: Program
    final: Program

    def train_epoch(
        self, under_way: UnderWay, epoch: int, done: int = 0
    ) -> Generator[Part, None, None]:
        """One call of one program."""
        assert self.begins_at(done)
        yield Part(*self.epoch.call(under_way, (self.shared, np.int32(epoch))))

    def begins_at(self, step: int) -> bool:
        """An epoch is in one part."""
        return step == 0

    def final_scores(self, under_way: UnderWay) -> Final:
        """One call of one program."""
        return fetch(self.final.call(under_way, self.shared))


def finite(params: Any) -> Bool[Array, ""]:
    """Whether all weights are."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(params)]))


def standing_still(state: TrainState, like: Steps) -> Steps:
    """What the steps of a run that stands still leave behind, in the form of those of a run."""
    nan, rate = jnp.float32(jnp.nan), learning_rate(state.opt_state)
    assert not isinstance(rate, dict)
    last = Steps(loss=nan, grad_norm=nan, learning_rate=rate, fires=fires(state.opt_state))
    return jax.tree.map(lambda x, like: jnp.broadcast_to(x, like.shape), last, like)


def started(
    model: Model,
    optimizer: OptimizerOf,
    schedules: Schedules,
    data: Any,
    batch_size: int,
    placement: Placement,
) -> tuple[tuple[Placement, Mesh, tuple[Schedules, Any], Program], UnderWay]:
    """What any wave begins with.

    Args:
      model: the model.
      optimizer: makes the optimizer, given a schedule.
      schedules: the schedules of the arms.
      data: what the devices are to hold, a pytree with an attribute `validation`.
      batch_size: examples in a mini-batch.
      placement: where the runs are computed.

    Returns:
      The fields of `AbstractWave`, and runs under way to compile its other programs for.
    """
    mesh = make_mesh(placement)

    def start(run: Run, shared: tuple[Schedules, Any]) -> UnderWay:
        schedules, data = shared
        made = optimizer(pick(schedules, jnp.asarray(run.arm)))
        key = jax.random.key(run.seed)
        state = init(model, made, key, data.validation.images[:batch_size])
        return UnderWay(run, state, finite(state.params))

    shared = jax.device_put((schedules, data), NamedSharding(mesh, PartitionSpec()))
    zeros = np.zeros(placement.at_once, np.int32)
    runs = jax.device_put(Run(zeros, zeros), NamedSharding(mesh, PartitionSpec(RUNS)))
    program = compiled(over_runs(start, placement, mesh), runs, shared)
    return (placement, mesh, shared, program), program.call(runs, shared)


def make_wave(
    model: Model,
    optimizer: OptimizerOf,
    schedules: Schedules,
    data: Dataset,
    batch_size: int,
    placement: Placement,
) -> Wave:
    """Compiles what it takes to train waves of runs with a model and an optimizer in common.

    How many arms and seeds there are makes no difference to the number of programs.

    Args:
      model: the model.
      optimizer: makes the optimizer, given a schedule.
      schedules: the schedules of the arms.
      data: the data set.
      batch_size: examples in a mini-batch.
      placement: where the runs are computed.
    """
    # The training loop is no place for XLA's own convolutions on a CPU.
    model = model._replace(apply=fast_convolutions(model.apply))
    fields, under_way = started(model, optimizer, schedules, data, batch_size, placement)
    _, mesh, shared, _ = fields

    def spread(rows: Array) -> Array:
        return share(rows, mesh)

    def epoch(own: UnderWay, common: Any) -> tuple[UnderWay, Steps, Score]:
        (run, state, moving), ((schedules, data), index) = own, common
        made = optimizer(pick(schedules, jnp.asarray(run.arm)))

        # Traced once for both of its uses.
        @functools.partial(jax.jit, inline=True)
        def train(state: TrainState) -> tuple[TrainState, Steps, Score]:
            key = jax.random.key(run.seed)
            return train_epoch(
                *(model, made, batch_size, state, key, index),
                *(data.train, data.validation, spread),
            )

        def stand_still(state: TrainState) -> tuple[TrainState, Steps, Score]:
            steps = standing_still(state, jax.eval_shape(train, state)[1])
            return state, steps, evaluate(model, state, data.validation, spread)

        state, steps, score = lax.cond(moving, train, stand_still, state)
        return UnderWay(run, state, finite(state.params)), steps, score

    def final(own: UnderWay, shared: tuple[Schedules, Dataset]) -> Final:
        splits = (shared[1].train, shared[1].test)
        return Final(*(evaluate(model, own.state, split, spread) for split in splits))

    def placed(function: Callable[[Any, Any], Any], common: Any, **options: Any) -> Program:
        return compiled(over_runs(function, placement, mesh), under_way, common, **options)

    index = jax.device_put(jnp.int32(0), NamedSharding(mesh, PartitionSpec()))
    return Wave(
        *fields,
        epoch=placed(epoch, (shared, index), donate_argnums=0),
        final=placed(final, shared),
    )
