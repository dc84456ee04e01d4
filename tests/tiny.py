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
from lrdecay.training.models import Model, from_linen

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


def data() -> Source:
    """Three classes of noisy images of 4x4 pixels that no model tells apart for sure."""

    def load() -> Dataset:
        rng = np.random.default_rng(0)
        centres = rng.normal(0, 0.3, (3, 4, 4, 1))

        def split(n: int) -> Split:
            labels = np.arange(n) % 3
            images = centres[labels] + rng.normal(0, 1, (n, 4, 4, 1))
            return Split(images.astype(np.float32), labels.astype(np.int32))

        return Dataset(split(TRAIN_SIZE), split(30), split(30))

    return Source(load, TRAIN_SIZE, classes=3)


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


def liar() -> Source:
    """A data set of another size than it says."""
    return Source(data().load, TRAIN_SIZE + 1, classes=3)
