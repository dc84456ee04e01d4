"""A wave on a stream against one on the same mini-batches in memory."""

import threading

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from lrdecay.study.plan import plan
from lrdecay.training.arms import stack
from lrdecay.training.hosts import fetch
from lrdecay.training.models import from_linen
from lrdecay.training.placement import Placement
from lrdecay.training.streamed_wave import chunk_steps, make_streamed_wave
from lrdecay.training.streaming import Stream
from lrdecay.training.wave import Run, make_wave

ARMS = """
[arms.wild]
name = "constant"
value = 1e30

[arms.accuracy]
name = "loss_aware"
base = 0.3
when = {name = "plateau", monitor = "val_accuracy", mode = "max", patience = 1}
how = {name = "multiply", factor = 0.5}
"""
WILD = 0
EPOCHS = 3
RUNS = [(1, 0), (WILD, 0), (1, 7), (WILD, 7)]
BATCH_SIZE, STEPS, IN_CHUNK = 2, 35, 7
ALONE = Placement(groups=1, sharing=1, lanes=1)


class Net(nn.Module):
    """A net with all that a step depends on: weights, averages and dropout."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x.reshape(len(x), -1)))
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x)


def made(make, data, placement, batch_size=BATCH_SIZE, model=None):
    study = plan(tiny.config("optimizer.name=momentum", arms=ARMS))
    return make(
        model or from_linen(Net()),
        lambda schedule: study.arms[0].optimizer(schedule=schedule),
        stack([arm.schedule for arm in study.arms]),
        data,
        batch_size,
        placement,
    )


def trained(wave, runs):
    """What the runs leave behind."""
    arms, seeds = np.array(runs, np.int32).T
    under_way = wave.start.call(wave.own(Run(arms, seeds)), wave.shared)
    record = []
    for epoch in range(EPOCHS):
        parts = list(wave.train_epoch(under_way, epoch))
        assert [part.score is None for part in parts] == [True] * (len(parts) - 1) + [False]
        under_way, _, score = parts[-1]
        steps = [fetch(part.steps) for part in parts]
        steps = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *steps)
        record.append((steps, fetch(score)))
    return fetch(under_way.state), record, wave.final_scores(under_way)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [t for t in threading.enumerate() if t.name.startswith("prefetch")] == []


def listened(data):
    """The data set, and a list of the seeds and epochs that are asked of it."""
    asked = []

    def batches(seed, epoch, batch_size):
        asked.append((seed, epoch))
        return data.train.batches(seed, epoch, batch_size)

    return data._replace(train=Stream(batches, data.train.size)), asked


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "sharing", "lanes"), [(4, 1, 1), (1, 2, 2)])
def test_the_same_mini_batches_give_the_same_numbers_wherever_they_come_from(
    groups, sharing, lanes
):
    placement = Placement(groups, sharing, lanes)
    data, asked = listened(tiny.streamed().load())
    wave = made(make_streamed_wave, data, placement)
    assert wave.steps == IN_CHUNK
    runs = RUNS[: placement.at_once]
    streamed = trained(wave, runs)
    # Once for each seed, not for each run; the training score is that of epoch 0.
    seeds = {seed for _, seed in runs}
    assert sorted(asked) == sorted((seed, epoch) for seed in seeds for epoch in (0, 0, 1, 2))
    resident = trained(made(make_wave, tiny.data().load(), placement), runs)
    assert [steps.loss.shape for steps, _ in streamed[1]] == [(len(runs), STEPS)] * EPOCHS
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), streamed, resident
    )
    for row, (arm, _) in enumerate(runs):
        losses = [steps.loss[row] for steps, _ in streamed[1]]
        assert np.isfinite(losses[0]).any()
        assert np.isnan(losses[1:]).all() == (arm == WILD)


def test_the_training_score_is_that_of_the_mini_batches_of_the_first_epoch():
    data = tiny.streamed().load()
    model = tiny.model(3)
    wave = made(make_streamed_wave, data, ALONE, batch_size=16, model=model)
    state, _, final = trained(wave, [(1, 7)])
    batches = list(data.train.batches(7, 0, 16))[:4]
    images, labels = map(np.concatenate, zip(*batches, strict=True))
    params = jax.tree.map(lambda x: jnp.asarray(x[0], jnp.float32), state.params)
    logits, _ = model.apply(params, {}, jnp.asarray(images), train=False)
    logits = np.asarray(logits, np.float64)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(64), labels]
    np.testing.assert_allclose(final.train.loss, [losses.mean()], rtol=1e-6)
    np.testing.assert_allclose(
        final.train.accuracy, [(logits.argmax(-1) == labels).mean()], rtol=1e-6
    )


@given(st.integers(1, 3000), st.integers(1, 2**30))
def test_a_chunk_is_the_longest_that_divides_the_epoch_and_fits(steps_per_epoch, step_bytes):
    fitting = [
        n
        for n in range(1, steps_per_epoch + 1)
        if steps_per_epoch % n == 0 and n <= 32 and (n == 1 or n * step_bytes <= 64 * 1024**2)
    ]
    assert chunk_steps(steps_per_epoch, step_bytes) == fitting[-1]
