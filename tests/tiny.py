"""A study that takes a moment, through the door by which a user's own data and model come."""

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from lrdecay.study.config import override
from lrdecay.training.data import Dataset, Source, Split
from lrdecay.training.engine import order_key, permutation
from lrdecay.training.models import Model, from_linen
from lrdecay.training.streaming import Stream, StreamedDataset

TOML = """
name = "tiny"
epochs = 3
batch_size = 16
seeds = 2
target_accuracy = 0.5
data = {name = "tiny:data"}
model = {name = "tiny:model"}
optimizer = {name = "sgd"}

[arms.constant]
name = "constant"
value = 0.1
"""

TRAIN_SIZE = 70  # 4 batches of 16, and 6 examples that do not fill a fifth


def config(*settings: str, arms: str | None = None) -> dict[str, Any]:
    """The configuration with `key.path=value` settings, and its arms replaced."""
    text = TOML if arms is None else TOML.partition("[arms")[0] + arms
    return override(tomllib.loads(text), settings)


@contextlib.contextmanager
def compiled_once(folder: Path) -> Iterator[None]:
    """Keeps what is compiled in a folder, for tests that run one study many times."""
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
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


@contextlib.contextmanager
def compiled_quickly() -> Iterator[None]:
    """Large programs are compiled in a fraction of the time.

    Their operations, and the kernels of libraries, stay those that users run; the machine's code in
    between is not optimised. So not where different programs are to agree bit for bit, as a run
    alone and with others: that is to be true of what users run.
    """
    jax.clear_caches()  # so that neither kind of code is used where the other is meant
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
        jax.clear_caches()


def dataset() -> Dataset:
    """Three classes of noisy images of 4x4 pixels that no model tells apart for sure."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 0.3, (3, 4, 4, 1))

    def split(n: int) -> Split:
        labels = np.arange(n) % 3
        images = centres[labels] + rng.normal(0, 1, (n, 4, 4, 1))
        return Split(images.astype(np.float32), labels.astype(np.int32))

    return Dataset(split(TRAIN_SIZE), split(30), split(30))


def data() -> Source:
    """The data set of the study."""
    return Source(dataset, TRAIN_SIZE, classes=3)


class Net(nn.Module):
    """Dense layers."""

    classes: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.classes)(x)


def model(classes: int, hidden: tuple[int, ...] = (8,)) -> Model:
    """The model of the study."""
    return from_linen(Net(classes, hidden))


def damaged() -> Source:
    """A data set that is found, and cannot be read."""

    def load() -> Dataset:
        raise ValueError("images.gz is damaged")

    return Source(load, TRAIN_SIZE, classes=3)


def streamed() -> Source:
    """The data set of the study as a stream of the mini-batches that are drawn from it in memory.

    While there is a file "broken" in the working folder, it fails in the second half of the second
    epoch of seed 1.
    """

    def load() -> StreamedDataset:
        train, validation, test = dataset()

        def batches(seed: int, epoch: int, batch_size: int) -> Iterator[tuple[Any, Any]]:
            key = order_key(jax.random.key(seed), epoch)
            order = np.asarray(permutation(key, TRAIN_SIZE))
            for first in range(0, TRAIN_SIZE, batch_size):
                late = (seed, epoch) == (1, 1) and 2 * first > TRAIN_SIZE
                if late and Path("broken").exists():
                    raise OSError("the disk is\ngone")
                rows = order[first : first + batch_size]
                yield train.images[rows], train.labels[rows]

        return StreamedDataset(Stream(batches, TRAIN_SIZE), validation, test)

    return Source(load, TRAIN_SIZE, classes=3)


def crooked() -> Source:
    """A stream of images of another shape than those in memory."""

    def load() -> StreamedDataset:
        _, validation, test = dataset()
        batch = np.zeros((16, 4, 5, 1), np.float32), np.zeros(16, np.int32)
        return StreamedDataset(Stream(lambda *_: [batch] * 4, TRAIN_SIZE), validation, test)

    return Source(load, TRAIN_SIZE, classes=3)


def liar() -> Source:
    """A data set of another size than it says."""
    return Source(data().load, TRAIN_SIZE + 1, classes=3)
