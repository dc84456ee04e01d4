"""Image classifiers as a pair of pure functions, like an Optax transformation."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import flax.linen as nn
import jax
from flax import nnx
from jaxtyping import Array, Float, Key

from lrdecay.training.convolution import conv_general_dilated


class Apply(Protocol):
    """The forward pass.

    `train` says which mode layers such as dropout and batch normalisation are in; `key` feeds their
    noise, and may be left out where there is none. Returns the logits and the new model state.
    """

    def __call__(  # noqa: D102 - documented above
        self,
        params: Any,
        model_state: Any,
        x: Float[Array, "batch height width channels"],
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, "batch classes"], Any]: ...


class Model(NamedTuple):
    """A classifier.

    Attributes:
      init: (key, x) -> (params, model_state), where x is an example batch, f32[batch, height,
        width, channels]. The model state is all that changes without a gradient, such as batch
        statistics.
      apply: the forward pass.
    """

    init: Callable[[Array, Array], tuple[Any, Any]]
    apply: Apply


def from_linen(module: nn.Module) -> Model:
    """A Flax Linen module as a `Model`.

    Args:
      module: called as `module(x)`, or `module(x, train=...)` where it takes `train`. Its dropout
        draws from the stream "dropout".
    """
    takes_train = "train" in inspect.signature(module.__call__).parameters

    def mode(train: bool) -> dict[str, bool]:
        return {"train": train} if takes_train else {}

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        variables = dict(module.init(key, x, **mode(False)))
        return variables.pop("params"), variables

    def apply(
        params: Any, model_state: Any, x: Array, *, train: bool, key: Array | None = None
    ) -> tuple[Array, Any]:
        rngs = {} if key is None else {"dropout": key}
        variables = {"params": params, **model_state}
        if not train:
            return module.apply(variables, x, rngs=rngs, **mode(train)), model_state
        mutable = list(model_state)
        return module.apply(variables, x, rngs=rngs, mutable=mutable, **mode(train))

    return Model(init, apply)


def from_nnx(build: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """A Flax NNX module as a `Model`.

    Args:
      build: makes the module, as in `lambda rngs: Net(rngs=rngs)`. The module is called as
        `module(x)`, in the mode that its `train()` and `eval()` set.
    """
    graph, _, _ = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param, ...)

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        del x
        _, params, model_state = nnx.split(build(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(model_state)

    def apply(
        params: Any, model_state: Any, x: Array, *, train: bool, key: Array | None = None
    ) -> tuple[Array, Any]:
        module = nnx.merge(graph, params, model_state, copy=True)
        if train:
            module.train()
        else:
            module.eval()
        logits = module(x)
        return logits, nnx.to_pure_dict(nnx.split(module, nnx.Param, ...)[2])

    return Model(init, apply)


class CNN(nn.Module):
    """Blocks of 3x3 convolution, ReLU and 2x2 average pooling, then two dense layers.

    Attributes:
      features: channels of each block.
      hidden: width of the first dense layer.
      classes: number of classes.
      batch_norm: whether each convolution is followed by batch normalisation.
    """

    features: Sequence[int]
    hidden: int
    classes: int
    batch_norm: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        for features in self.features:
            x = nn.Conv(features, (3, 3), conv_general_dilated=conv_general_dilated)(x)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.avg_pool(nn.relu(x), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(self.hidden)(x.reshape(len(x), -1)))
        return nn.Dense(self.classes)(x)


_SIZES = {"small": ((16, 32), 64), "medium": ((32, 64), 256), "large": ((64, 128, 256), 256)}


def cnn(
    classes: int,
    size: Literal["small", "medium", "large"] = "small",
    batch_norm: bool = False,
) -> Model:
    """A convolutional network for images of at least 8x8 pixels.

    Args:
      classes: number of classes.
      size: channels of the blocks and width of the dense layer: small (16, 32; 64), medium (32,
        64; 256) or large (64, 128, 256; 256).
      batch_norm: whether each convolution is followed by batch normalisation.
    """
    features, hidden = _SIZES[size]
    return from_linen(CNN(features, hidden, classes, batch_norm))
