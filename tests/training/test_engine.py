"""The engine against plain Python loops, and against NumPy in float64 for a linear model.

The order of the examples is read off what the model is shown, so that no test knows how it is
drawn: `spying` adds the first pixel of every example to the model's state, and pixels differ.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrdecay
from lrdecay.training import optimizers
from lrdecay.training.data import Split
from lrdecay.training.engine import (
    EVALUATION_BATCH,
    TrainState,
    evaluate,
    init,
    permutation,
    train_epoch,
    train_step,
)
from lrdecay.training.models import CNN, Model, from_linen

pytestmark = pytest.mark.usefixtures("compiled_quickly")

KEY = jax.random.key(0)
CLASSES = 3


def split(n, seed=0, side=2):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, side, side, 1)).astype(np.float32)
    return Split(images, rng.integers(0, CLASSES, n).astype(np.int32))


def linear():
    """Logits are flat images times w, plus b."""

    def initialise(key, x):
        w = jax.random.normal(key, (x[0].size, CLASSES))
        return {"w": w, "b": jnp.zeros(CLASSES)}, {}

    def apply(params, model_state, x, *, train, key=None):
        return x.reshape(len(x), -1) @ params["w"] + params["b"][None], model_state

    return Model(initialise, apply)


def spying(model, steps):
    """The model, with a record in its state of the examples that it was shown in training."""

    def initialise(key, x):
        params, inner = model.init(key, x)
        return params, {"inner": inner, "seen": jnp.zeros((steps, len(x))), "step": jnp.int32(0)}

    def apply(params, model_state, x, *, train, key=None):
        logits, inner = model.apply(params, model_state["inner"], x, train=train, key=key)
        if not train:
            return logits, model_state
        step = model_state["step"]
        seen = model_state["seen"].at[step].set(x[:, 0, 0, 0])
        return logits, {"inner": inner, "seen": seen, "step": step + 1}

    return Model(initialise, apply)


def order_of(state, data):
    """The rows of the data set that a spying model was shown, i64[steps, batch]."""
    pixels = data.images[:, 0, 0, 0]
    assert len(np.unique(pixels)) == len(pixels)
    by_pixel = np.argsort(pixels)
    return by_pixel[np.searchsorted(pixels, np.asarray(state.model_state["seen"]), sorter=by_pixel)]


def compiled(model, optimizer, batch_size):
    """An epoch as a study runs it."""
    return jax.jit(functools.partial(train_epoch, model, optimizer, batch_size), donate_argnums=0)


def run(model, optimizer, state, train, validation, batch_size, epochs):
    """Final state, the steps of all epochs one after the other, and the scores."""
    epoch = compiled(model, optimizer, batch_size)
    state = jax.tree.map(jnp.copy, state)
    steps, scores = [], []
    for i in range(epochs):
        state, record, score = epoch(state, KEY, jnp.int32(i), train, validation)
        steps.append(record)
        scores.append(score)
    assert epoch._cache_size() == 1
    return state, jax.tree.map(lambda *x: np.concatenate(x), *steps), scores


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def linear_loss_and_gradients(w, b, images, labels):
    """Mean cross entropy and its gradients, written out in float64."""
    x = images.reshape(len(images), -1).astype(np.float64)
    p = softmax(x @ w + b)
    loss = -np.log(p[np.arange(len(x)), labels]).mean()
    d = (p - np.eye(CLASSES)[labels]) / len(x)
    return loss, x.T @ d, d.sum(0), p.argmax(-1)


def rates_by_plateau(losses, base, factor, patience, rtol):
    """The rate of each step and the fires so far, by a plateau in plain Python."""
    rate, fires, best, bad = base, 0, np.inf, 0
    seen = []
    for loss in losses:
        seen.append((rate, fires))
        if loss < best - (rtol * best if np.isfinite(best) else 0):
            best, bad = loss, 0
        else:
            bad += 1
        if bad >= patience:
            rate, fires, bad = rate * factor, fires + 1, 0
    return np.array([r for r, _ in seen]), np.array([f for _, f in seen])


def plateau(base=0.5, patience=2, factor=0.5, **more):
    when = lrdecay.plateau(patience=patience, **more)
    return lrdecay.loss_aware(base, when=when, how=lrdecay.multiply(factor))


def test_a_step_of_sgd_on_a_linear_model_is_the_closed_form():
    model, data = linear(), split(16)
    optimizer = optimizers.sgd(0.3)
    before = init(model, optimizer, KEY, data.images)
    after, record = jax.jit(functools.partial(train_step, model, optimizer))(
        before, data.images, data.labels, KEY
    )
    w, b = (np.asarray(before.params[k], np.float64) for k in "wb")
    loss, dw, db, _ = linear_loss_and_gradients(w, b, *data)
    np.testing.assert_allclose(after.params["w"], w - 0.3 * dw, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(after.params["b"], b - 0.3 * db, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(record.loss, loss, rtol=1e-6)
    np.testing.assert_allclose(record.grad_norm, np.sqrt((dw**2).sum() + (db**2).sum()), rtol=1e-5)
    assert record.learning_rate == np.float32(0.3)
    assert record.fires == 0


def test_epochs_of_a_linear_model_and_a_plateau_are_those_of_numpy():
    batch, epochs, steps = 8, 3, 5
    train, validation = split(43), split(17, seed=1)
    model = spying(linear(), steps * epochs)
    # Few losses are better by a third than the best, so that the plateau fires again and again.
    optimizer = optimizers.sgd(plateau(rtol=0.3))
    state = init(model, optimizer, KEY, train.images[:batch])
    w, b = (np.asarray(state.params[k], np.float64) for k in "wb")
    state, record, scores = run(model, optimizer, state, train, validation, batch, epochs)

    # The rates follow from the losses by the plain plateau, and the weights from the rates.
    rates, fires = rates_by_plateau(record.loss, 0.5, 0.5, patience=2, rtol=0.3)
    assert fires[-1] >= 3
    np.testing.assert_allclose(record.learning_rate, rates, rtol=1e-6)
    np.testing.assert_array_equal(record.fires, fires)
    losses, norms, expected_scores = [], [], []
    for i, (rows, rate) in enumerate(zip(order_of(state, train), rates, strict=True)):
        loss, dw, db, _ = linear_loss_and_gradients(w, b, train.images[rows], train.labels[rows])
        losses.append(loss)
        norms.append(np.sqrt((dw**2).sum() + (db**2).sum()))
        w, b = w - rate * dw, b - rate * db
        if i % steps == steps - 1:
            loss, _, _, guesses = linear_loss_and_gradients(w, b, *validation)
            expected_scores.append((loss, (guesses == validation.labels).mean()))
    np.testing.assert_allclose(record.loss, losses, rtol=1e-4)
    np.testing.assert_allclose(record.grad_norm, norms, rtol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4)
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.params["b"], b, rtol=1e-4, atol=1e-5)


def test_an_epoch_in_one_scan_equals_a_python_loop_of_steps():
    batch, steps = 8, 4
    train, validation = split(35, side=8), split(9, seed=1, side=8)
    inner = from_linen(CNN((4,), 8, CLASSES, batch_norm=True))
    model = spying(inner, steps)
    optimizer = optimizers.momentum(0.05, momentum=0.9)
    fresh = init(model, optimizer, KEY, train.images[:batch])
    state, record, _ = run(model, optimizer, fresh, train, validation, batch, epochs=1)

    params, model_state = fresh.params, fresh.model_state["inner"]
    velocity = jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def loss_and_gradients(params, model_state, x, y):
        def loss_of(params):
            logits, new = inner.apply(params, model_state, x, train=True)
            return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(batch), y]), new

        return jax.value_and_grad(loss_of, has_aux=True)(params)

    losses, norms = [], []
    for rows in order_of(state, train):
        (loss, model_state), grads = loss_and_gradients(
            params, model_state, train.images[rows], train.labels[rows]
        )
        losses.append(loss)
        norms.append(np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(grads))))
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
        params = jax.tree.map(lambda p, v: p - 0.05 * v, params, velocity)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, state.params, params)
    jax.tree.map(close, state.model_state["inner"], model_state)
    close(record.loss, losses)
    close(record.grad_norm, norms)
    np.testing.assert_array_equal(record.learning_rate, np.float32([0.05] * steps))
    np.testing.assert_array_equal(record.fires, [0] * steps)


def test_an_epoch_outside_of_jit_is_the_same():
    model, optimizer, train, validation = linear(), optimizers.sgd(plateau()), split(23), split(11)
    state = init(model, optimizer, KEY, train.images[:5])
    arguments = (state, KEY, jnp.int32(0), train, validation)
    expected, record, score = train_epoch(model, optimizer, 5, *arguments)
    found, records, scores = run(model, optimizer, state, train, validation, 5, epochs=1)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
    jax.tree.map(close, (found, records, scores), (expected, record, [score]))


@pytest.mark.parametrize("n", [1, 2, 499, 500, 501, 997, 1000, 1003])
def test_evaluation_counts_every_example_once(n):
    shapes = []
    model = linear()

    def apply(params, model_state, x, *, train, key=None):
        shapes.append(len(x))
        assert not train
        return model.apply(params, model_state, x, train=train)

    data = split(n)
    params, model_state = model.init(KEY, data.images)
    state = TrainState(params, model_state, ())
    score = evaluate(Model(model.init, apply), state, data)
    w, b = (np.asarray(params[k], np.float64) for k in "wb")
    loss, _, _, guesses = linear_loss_and_gradients(w, b, *data)
    np.testing.assert_allclose(score.loss, loss, rtol=1e-5)
    assert round(float(score.accuracy) * n, 3) == np.sum(guesses == data.labels)
    assert max(shapes) <= EVALUATION_BATCH


def orders(*pairs, n=23, batch=5, model=None, optimizer=None):
    """The order of the examples, i64[steps, batch], for each pair of a seed and an epoch."""
    train, validation = split(n), split(3)
    model = spying(model or linear(), n // batch)
    optimizer = optimizer or optimizers.sgd(0.1)
    epoch = compiled(model, optimizer, batch)
    found = []
    for seed, index in pairs:
        key = jax.random.key(seed)
        state = init(model, optimizer, key, train.images[:batch])
        state, _, _ = epoch(state, key, jnp.int32(index), train, validation)
        found.append(order_of(state, train))
    return found


@pytest.mark.parametrize(("n", "batch", "steps"), [(23, 5, 4), (20, 5, 4), (7, 1, 7)])
def test_an_epoch_shows_no_example_twice_and_leaves_out_less_than_a_batch(n, batch, steps):
    (rows,) = orders((0, 0), n=n, batch=batch)
    assert rows.shape == (steps, batch)
    assert len(np.unique(rows)) == steps * batch
    assert n - steps * batch < batch


@pytest.mark.parametrize("n", [1, 2, 3, 23, 2**16 - 1, 2**16, 2**16 + 1, 300_000])
def test_a_permutation_comes_of_stable_sorts_by_random_digits(n):
    width = (n - 1).bit_length()
    rounds = -(-3 * width // (32 - width))
    order = np.arange(n)
    for digit in np.asarray(jax.random.bits(KEY, (rounds, n))) >> width:
        order = order[np.argsort(digit, kind="stable")]
    np.testing.assert_array_equal(jax.jit(permutation, static_argnums=1)(KEY, n), order)
    assert len(np.unique(order)) == n


def test_every_permutation_is_as_likely_as_the_others():
    keys = jax.random.split(KEY, 24_000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, 4)))(keys))
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 24
    # Pearson's chi-squared of 23 degrees of freedom is under 49.7 in 99.9 % of all cases.
    assert np.sum((counts - 1000) ** 2 / 1000) < 49.7


def test_the_order_depends_on_key_and_epoch_and_gives_every_example_its_turn():
    found = orders(*((seed, epoch) for seed in range(3) for epoch in range(3)))
    together = [np.arange(20).reshape(4, 5), *found]
    assert len({rows.tobytes() for rows in together}) == 10
    assert {row for rows in found for row in rows.flat} == set(range(23))


def test_the_order_depends_on_nothing_but_key_and_epoch():
    model = linear()
    other = model._replace(init=lambda key, x: model.init(jax.random.fold_in(key, 7), x))
    changed = orders((1, 2), model=other, optimizer=optimizers.momentum(plateau()))
    np.testing.assert_array_equal(changed, orders((1, 2)))


def test_the_first_weights_depend_on_the_key_alone():
    x = split(4).images
    first, second, other = (
        init(linear(), optimizer, jax.random.key(seed), x)
        for optimizer, seed in (
            (optimizers.sgd(0.1), 0),
            (optimizers.momentum(plateau()), 0),
            (optimizers.sgd(0.1), 1),
        )
    )
    np.testing.assert_array_equal(first.params["w"], second.params["w"])
    assert not np.any(np.isin(first.params["w"], other.params["w"]))


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_validation_metrics_act_in_the_next_step_without_recompiling(monitor):
    # No value but the first is good enough: each epoch from the second on fires, once.
    mode = "min" if monitor == "val_loss" else "max"
    schedule = plateau(0.25, patience=1, monitor=monitor, mode=mode, rtol=100.0)
    batch, steps, epochs = 5, 4, 4
    # `run` checks that the epochs were one compiled program.
    model, optimizer, train = linear(), optimizers.sgd(schedule), split(23)
    state = init(model, optimizer, KEY, train.images[:batch])
    state, record, scores = run(model, optimizer, state, train, split(11, seed=1), batch, epochs)
    fires = np.repeat([0, 0, 1, 2], steps)
    np.testing.assert_array_equal(record.fires, fires)
    np.testing.assert_array_equal(record.learning_rate, np.float32(0.25 * 0.5**fires))
    observed = getattr(scores[0], monitor.removeprefix("val_"))
    assert schedule.memory(state.opt_state.schedule).trigger.rule.best == observed
    assert observed != 0
    # The last epoch's score waits for the step to come.
    inbox = state.opt_state.schedule.inbox[monitor]
    last = getattr(scores[-1], monitor.removeprefix("val_"))
    np.testing.assert_array_equal(inbox.values, [last, 1, 0])


def test_loss_and_validation_metrics_reach_the_triggers_that_watch_them():
    # One fires for the losses of the steps, the other for the scores of the epochs.
    inner = plateau(0.25, patience=3, rtol=100.0)
    schedule = plateau(inner, patience=1, monitor="val_loss", rtol=100.0)
    model, optimizer, train = linear(), optimizers.sgd(schedule), split(23)
    state = init(model, optimizer, KEY, train.images[:5])
    _, record, _ = run(model, optimizer, state, train, split(11), 5, epochs=3)
    t = np.arange(12)
    fires = (t - 1) // 3 * (t > 0) + (t >= 8)
    np.testing.assert_array_equal(record.fires, fires)
    np.testing.assert_array_equal(record.learning_rate, np.float32(0.25 * 0.5**fires))


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(CLASSES)(x.reshape(len(x), -1))


def test_batch_statistics_are_those_of_the_batches_and_evaluation_uses_them():
    batch, steps = 8, 4
    train, validation = split(35), split(50, seed=1)
    model, optimizer = spying(from_linen(Normalised()), steps), optimizers.sgd(0.1)
    state = init(model, optimizer, KEY, train.images[:batch])
    state, _, (score,) = run(model, optimizer, state, train, validation, batch, epochs=1)
    mean, variance = np.zeros(1), np.ones(1)
    for rows in order_of(state, train):
        images = train.images[rows].astype(np.float64)
        mean = 0.9 * mean + 0.1 * images.mean((0, 1, 2))
        variance = 0.9 * variance + 0.1 * images.var((0, 1, 2))
    statistics = state.model_state["inner"]["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(statistics["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], variance, rtol=1e-5)

    p = jax.tree.map(lambda x: np.asarray(x, np.float64), state.params)
    scale, bias = p["BatchNorm_0"]["scale"], p["BatchNorm_0"]["bias"]
    x = (validation.images - mean) / np.sqrt(variance + 1e-5) * scale + bias
    loss, _, _, guesses = linear_loss_and_gradients(
        p["Dense_0"]["kernel"], p["Dense_0"]["bias"], x, validation.labels
    )
    np.testing.assert_allclose(score.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(score.accuracy, (guesses == validation.labels).mean(), rtol=1e-6)


class Dropped(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(CLASSES)(x.reshape(len(x), -1))


def test_dropout_depends_on_key_and_step_and_is_off_in_evaluation():
    # At a rate of 0, and with all examples the same, losses differ by the noise alone.
    one = split(1, side=8)
    same = Split(np.repeat(one.images, 24, 0), np.repeat(one.labels, 24))
    model, optimizer = from_linen(Dropped()), optimizers.sgd(0.0)
    epoch = compiled(model, optimizer, 4)

    def losses(seed):
        key, found = jax.random.key(seed), []
        state = init(model, optimizer, key, same.images[:4])
        for i in range(3):
            state, record, score = epoch(state, key, jnp.int32(i), same, same)
            found.append(record.loss)
            w, b = (np.asarray(state.params["Dense_0"][k], float) for k in ("kernel", "bias"))
            exact, *_ = linear_loss_and_gradients(w, b, *one)
            np.testing.assert_allclose(score.loss, exact, rtol=1e-5)
        return np.concatenate(found)

    first = losses(seed=0)
    assert len(np.unique(first)) == 18
    np.testing.assert_array_equal(losses(seed=0), first)
    assert not np.any(np.isin(losses(seed=1), first))
