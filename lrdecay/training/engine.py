"""One training run as pure functions: an epoch is one compiled scan with the data on the device."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from lrdecay.optimizer_state import fires, learning_rate, observe, watched
from lrdecay.training.data import Split
from lrdecay.training.models import Model

# What an epoch tells the triggers, besides the training loss of each step.
EPOCH_METRICS = ("val_loss", "val_accuracy")

# Images in one pass of an evaluation: bounds its memory, whatever the size of the split.
EVALUATION_BATCH = 500


class TrainState(NamedTuple):
    """All that changes in training.

    Attributes:
      params: weights.
      model_state: what else the model carries, such as batch statistics.
      opt_state: the optimizer's state, the schedule's included.
    """

    params: Any
    model_state: Any
    opt_state: optax.OptState


class Steps(NamedTuple):
    """What each step of an epoch leaves behind, [steps] each.

    Attributes:
      loss: mean loss of the mini-batch before its update, f32.
      grad_norm: global norm of the gradient, f32.
      learning_rate: the rate applied, f32.
      fires: how often the schedule's triggers had fired when that rate was chosen, i32.
    """

    loss: Float[Array, "*steps"]
    grad_norm: Float[Array, "*steps"]
    learning_rate: Float[Array, "*steps"]
    fires: Int[Array, "*steps"]


class Score(NamedTuple):
    """Mean loss, and share of right answers (0 to 1), over a whole split."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


def init(
    model: Model,
    optimizer: optax.GradientTransformationExtraArgs,
    key: Key[Array, ""],
    x: ArrayLike,
) -> TrainState:
    """The state before training. The weights depend on `key` alone, not on the optimizer.

    Args:
      model: the model.
      optimizer: the optimizer.
      key: the run's key.
      x: an example batch, f32[batch, height, width, channels].
    """
    params, model_state = model.init(jax.random.fold_in(key, 0), jnp.asarray(x))
    return TrainState(params, model_state, optimizer.init(params))


def _on_device(split: Split) -> Any:
    """The split as JAX arrays: NumPy's cannot be indexed inside of a compiled loop."""
    return jax.tree.map(jnp.asarray, split)


def _as_they_are(rows: Array) -> Array:
    return rows


def evaluate(
    model: Model,
    state: TrainState,
    split: Split,
    spread: Callable[[Array], Array] = _as_they_are,
) -> Score:
    """Scores the model on every example of a split.

    Args:
      model: the model.
      state: the state, of which the optimizer's is not used.
      split: the examples.
      spread: spreads the indices of a batch over devices, as in `train_epoch`.
    """
    split = _on_device(split)
    n = len(split.labels)
    batches = -(-n // EVALUATION_BATCH)
    size = -(-n // batches)
    # The last batch is filled up with examples that do not count.
    rows = jnp.arange(batches * size).reshape(batches, size)

    def score(rows: Array) -> tuple[Array, Array]:
        rows = spread(rows)
        images, labels = split.images[rows % n], split.labels[rows % n]
        logits, _ = model.apply(state.params, state.model_state, images, train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        counts = rows < n
        right = (logits.argmax(-1) == labels) & counts
        return jnp.sum(jnp.where(counts, losses, 0.0)), jnp.sum(right)

    losses, right = jax.lax.map(score, rows)
    return Score(losses.sum() / n, right.sum().astype(jnp.float32) / n)


def train_step(
    model: Model,
    optimizer: optax.GradientTransformationExtraArgs,
    state: TrainState,
    images: Float[Array, "batch height width channels"],
    labels: Int[Array, " batch"],
    key: Key[Array, ""],
) -> tuple[TrainState, Steps]:
    """One update on one mini-batch; `key` feeds dropout."""

    def loss_of(params: Any) -> tuple[Array, Any]:
        logits, model_state = model.apply(params, state.model_state, images, train=True, key=key)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, model_state

    (loss, model_state), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=loss)
    params = optax.apply_updates(state.params, updates)
    rate = learning_rate(opt_state)
    assert not isinstance(rate, dict)  # several rates have no one record
    record = Steps(loss, optax.tree.norm(grads), rate, fires(opt_state))
    return TrainState(params, model_state, opt_state), record


def order_key(key: Key[Array, ""], epoch: ArrayLike) -> Key[Array, ""]:
    """What the order of the examples in an epoch depends on.

    Args:
      key: the run's key.
      epoch: index of the epoch, from 0.
    """
    return jax.random.fold_in(jax.random.fold_in(key, 1), epoch)


def permutation(key: Key[Array, ""], n: int) -> Int[Array, " n"]:
    """A random order of `n` things, uniform but for a share of at most 1 / (2 n).

    `jax.random.permutation` sorts pairs of a random key and an index, which takes XLA's CPU backend
    ten times as long as single numbers. Here the index is in the low bits of the key. Sorts by
    random digits, the last one first, come to one by a key of all their bits (a radix sort):
    3 log2(n) of them, so that two keys are seldom alike.

    Args:
      key: a random key.
      n: how many, from 1 to 2^31.
    """
    width = (n - 1).bit_length()
    digits = jax.random.bits(key, (-(-3 * width // (32 - width)), n), jnp.uint32) >> width << width
    places = jnp.arange(n, dtype=jnp.uint32)
    order = jnp.arange(n)
    for digit in digits:
        order = order[jax.lax.sort(digit | places) & (2**width - 1)]
    return order


def dropout_keys(key: Key[Array, ""], epoch: ArrayLike, steps: int) -> Key[Array, " steps"]:
    """What dropout depends on in each step of an epoch.

    Args:
      key: the run's key.
      epoch: index of the epoch, from 0.
      steps: steps in the epoch.
    """
    return jax.random.split(jax.random.fold_in(order_key(key, epoch), 0), steps)


def train_steps(
    model: Model,
    optimizer: optax.GradientTransformationExtraArgs,
    state: TrainState,
    batches: Any,
    keys: Key[Array, " steps"],
    take: Callable[[Any], tuple[Array, Array]],
) -> tuple[TrainState, Steps]:
    """One update on each of several mini-batches in a row.

    Args:
      model: the model.
      optimizer: an optimizer whose rate `learning_rate` can find.
      state: the state so far.
      batches: a pytree of arrays with a first axis of steps.
      keys: feed dropout.
      take: from what `batches` has of a step to the images and labels of its mini-batch.

    Returns:
      The new state, and what each step left behind.
    """

    def body(state: TrainState, step: tuple[Any, Array]) -> tuple[TrainState, Steps]:
        images, labels = take(step[0])
        return train_step(model, optimizer, state, images, labels, step[1])

    return jax.lax.scan(body, state, (batches, keys))


def validate(
    model: Model,
    state: TrainState,
    validation: Split,
    spread: Callable[[Array], Array] = _as_they_are,
) -> tuple[TrainState, Score]:
    """Scores the validation split, and tells the triggers that monitor the score."""
    score = evaluate(model, state, validation, spread)
    metrics = dict(zip(EPOCH_METRICS, score, strict=True))
    names = watched(state.opt_state)
    heard = {name: value for name, value in metrics.items() if name in names}
    return state._replace(opt_state=observe(state.opt_state, **heard)), score


def train_epoch(
    model: Model,
    optimizer: optax.GradientTransformationExtraArgs,
    batch_size: int,
    state: TrainState,
    key: Key[Array, ""],
    epoch: Int[Array, ""],
    train: Split,
    validation: Split,
    spread: Callable[[Array], Array] = _as_they_are,
) -> tuple[TrainState, Steps, Score]:
    """Trains for one epoch, scores the validation split, and tells the triggers.

    The order of the examples depends on `key` and `epoch` alone, so that runs with the same key
    see the same batches. Examples that do not fill a last batch are left out of this epoch.

    Args:
      model: the model.
      optimizer: an optimizer whose rate `learning_rate` can find.
      batch_size: examples in a mini-batch, at most those in `train`.
      state: the state so far.
      key: the run's key.
      epoch: index of the epoch, from 0.
      train: training split.
      validation: validation split; its loss and accuracy reach triggers that monitor `val_loss`
        and `val_accuracy`, and act in the next step.
      spread: spreads the indices of a mini-batch, i32[batch], over the devices that share it; what
        is computed of them is then spread likewise.

    Returns:
      The new state, what each step left behind, and the validation score.
    """
    train = _on_device(train)
    steps = len(train.labels) // batch_size
    order = permutation(order_key(key, epoch), len(train.labels))
    batches = order[: steps * batch_size].reshape(steps, batch_size)

    def take(rows: Array) -> tuple[Array, Array]:
        rows = spread(rows)
        return train.images[rows], train.labels[rows]

    keys = dropout_keys(key, epoch, steps)
    state, record = train_steps(model, optimizer, state, batches, keys, take)
    state, score = validate(model, state, validation, spread)
    return state, record, score
