"""A wave: as many runs of a study as are computed at once, trained in step by three programs."""

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int
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
from lrdecay.training.models import Model
from lrdecay.training.placement import RUNS, Placement, make_mesh, over_runs, share
from lrdecay.training.rewriting import fast_convolutions


class Run(NamedTuple):
    """What makes a run the run it is; a wave has a first axis of runs.

    Attributes:
      arm: index of its schedule, i32[].
      seed: what its weights, batches and noise depend on, i32[].
    """

    arm: Int[Array | np.ndarray, "*runs"]
    seed: Int[Array | np.ndarray, "*runs"]


class UnderWay(NamedTuple):
    """A run that has started, and how far it is."""

    run: Run
    state: TrainState


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


class Wave(NamedTuple):
    """The programs of a wave. All that is a run's own has a first axis of runs.

    Attributes:
      placement: where the runs are computed.
      mesh: its devices.
      shared: what all runs have in common, on every device.
      start: (runs, shared) -> runs under way.
      epoch: (runs under way, (shared, index of the epoch)) -> (runs under way, steps, validation
        scores), which uses up those given. A run whose weights are not finite cannot come back:
        it stands still, and its losses are NaN from then on.
      final: (runs under way, shared) -> final scores.
    """

    placement: Placement
    mesh: Mesh
    shared: tuple[Schedules, Dataset]
    start: Program
    epoch: Program
    final: Program

    @property
    def seconds(self) -> float:
        """Tracing and compiling, all together."""
        return self.start.seconds + self.epoch.seconds + self.final.seconds

    def own(self, x: Any) -> Any:
        """From NumPy's arrays with a first axis of runs to those of the mesh."""
        return jax.device_put(x, NamedSharding(self.mesh, PartitionSpec(RUNS)))


def _finite(params: Any) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(params)]))


def make_wave(
    model: Model,
    optimizer: Callable[[StatefulSchedule], optax.GradientTransformationExtraArgs],
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
    mesh = make_mesh(placement)
    # The training loop is no place for XLA's own convolutions on a CPU.
    model = model._replace(apply=fast_convolutions(model.apply))

    def start(run: Run, shared: tuple[Schedules, Dataset]) -> UnderWay:
        schedules, data = shared
        made = optimizer(pick(schedules, jnp.asarray(run.arm)))
        key = jax.random.key(run.seed)
        return UnderWay(run, init(model, made, key, data.train.images[:batch_size]))

    def spread(rows: Array) -> Array:
        return share(rows, mesh)

    def epoch(own: UnderWay, common: Any) -> tuple[UnderWay, Steps, Score]:
        (run, state), ((schedules, data), index) = own, common
        made = optimizer(pick(schedules, jnp.asarray(run.arm)))

        def train(state: TrainState) -> tuple[TrainState, Steps, Score]:
            key = jax.random.key(run.seed)
            return train_epoch(
                *(model, made, batch_size, state, key, index),
                *(data.train, data.validation, spread),
            )

        def stand_still(state: TrainState) -> tuple[TrainState, Steps, Score]:
            steps = jax.eval_shape(train, state)[1]
            nan, rate = jnp.float32(jnp.nan), learning_rate(state.opt_state)
            assert not isinstance(rate, dict)
            last = Steps(loss=nan, grad_norm=nan, learning_rate=rate, fires=fires(state.opt_state))
            kept = jax.tree.map(lambda x, like: jnp.broadcast_to(x, like.shape), last, steps)
            return state, kept, evaluate(model, state, data.validation, spread)

        state, steps, score = lax.cond(_finite(state.params), train, stand_still, state)
        return UnderWay(run, state), steps, score

    def final(own: UnderWay, shared: tuple[Schedules, Dataset]) -> Final:
        splits = (shared[1].train, shared[1].test)
        return Final(*(evaluate(model, own.state, split, spread) for split in splits))

    everywhere = NamedSharding(mesh, PartitionSpec())
    shared = jax.device_put((schedules, data), everywhere)
    index = jax.device_put(jnp.int32(0), everywhere)
    zeros = np.zeros(placement.at_once, np.int32)
    runs = jax.device_put(Run(zeros, zeros), NamedSharding(mesh, PartitionSpec(RUNS)))

    def placed(function: Callable[[Any, Any], Any], *arguments: Any, **options: Any) -> Program:
        return compiled(over_runs(function, placement, mesh), *arguments, **options)

    starts = placed(start, runs, shared)
    under_way = starts.call(runs, shared)
    return Wave(
        *(placement, mesh, shared, starts),
        epoch=placed(epoch, under_way, (shared, index), donate_argnums=0),
        final=placed(final, under_way, shared),
    )
