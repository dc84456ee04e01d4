"""Image classifiers as a pair of pure functions, like an Optax transformation."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Key

from lrdecay.arguments import Number, checked
from lrdecay.training.convolution import conv_general_dilated, is_sum


class Apply(Protocol):
    """The forward pass.

    `train` says which mode layers such as dropout and batch normalisation are in; `key` feeds their
    noise, and may be left out where there is none. Returns the logits and the new model state,
    which is the old one unless in training.
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
        statistics; `{}` where there is nothing of the kind.
      apply: the forward pass.
    """

    init: Callable[[Array, Any], tuple[Any, Any]]
    apply: Apply


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

# What Linen modules call the argument that sets the mode, and its value in training.
_LINEN_MODES = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


def from_linen(module: nn.Module) -> Model:
    """A Flax Linen module as a `Model`.

    Args:
      module: called as `module(x)`, with the mode where it takes an argument `train`, `training`,
        `is_training`, `deterministic` or `use_running_average`. Its dropout draws from the stream
        "dropout".

    Raises:
      TypeError: it needs another argument.
    """
    _, *arguments = inspect.signature(module.__call__).parameters.values()
    modes = {p.name: _LINEN_MODES[p.name] for p in arguments if p.name in _LINEN_MODES}
    for p in arguments:
        if p.name not in modes and p.default is p.empty and p.kind not in _VARIADIC:
            raise TypeError(
                f"{type(module).__name__} must be called with the images and at most a mode "
                f"({', '.join(_LINEN_MODES)}), but needs the argument {p.name!r}"
            )

    def mode(train: bool) -> dict[str, Any]:
        return {name: on is train for name, on in modes.items()}

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        variables = dict(module.init(key, x, **mode(False)))
        return variables.pop("params"), variables

    def apply(
        params: Any, model_state: Any, x: Array, *, train: bool, key: Array | None = None
    ) -> tuple[Array, Any]:
        logits, updated = module.apply(
            {"params": params, **model_state},
            x,
            rngs={} if key is None else {"dropout": key},
            mutable=list(model_state) if train else [],
            **mode(train),
        )
        return logits, {**model_state, **updated}

    return Model(init, apply)


def from_nnx(build: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """A Flax NNX module as a `Model`.

    A key given to `apply` restarts every random stream of the module, so that its noise is a
    function of that key; without one, the streams go on from where the model state left them.

    Args:
      build: makes the module, as in `lambda rngs: Net(rngs=rngs)`. The module is called as
        `module(x)`, in the mode that its `train()` or `eval()` sets.
    """
    example = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graph, _, _ = nnx.split(example, nnx.Param, ...)
    streams = sorted(
        {s.key.tag for _, s in nnx.iter_graph(example) if isinstance(s, nnx.RngStream)}
    )

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        del x
        _, params, model_state = nnx.split(build(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(model_state)

    def apply(
        params: Any, model_state: Any, x: Array, *, train: bool, key: Array | None = None
    ) -> tuple[Array, Any]:
        module: Any = nnx.merge(graph, params, model_state, copy=True)
        if not train:
            module.eval()
            return module(x), model_state
        module.train()
        if key is not None:
            keys = dict(zip(streams, jax.random.split(key, len(streams)), strict=True))
            nnx.reseed(module, policy="match_shape", **keys)
        logits = module(x)
        _, _, updated = nnx.split(module, nnx.Param, ...)
        return logits, nnx.to_pure_dict(updated)

    return Model(init, apply)


@jax.custom_vjp
def _average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Means of 2x2 pixels; an odd last row or column is left out.

    As sums of slices: on the CPU faster than a reduction, which Linen's own is. Its gradient is
    written out, since that of a slice is a padded sum.
    """
    height, width = (n // 2 * 2 for n in x.shape[1:3])
    rows = x[:, 0:height:2] + x[:, 1:height:2]
    return (rows[:, :, 0:width:2] + rows[:, :, 1:width:2]) / 4


def _average_pool_forward(x: Array) -> tuple[Array, tuple[int, ...]]:
    return _average_pool(x), x.shape


def _average_pool_backward(shape: tuple[int, ...], gradient: Array) -> tuple[Array]:
    spread = (gradient / 4).repeat(2, axis=1).repeat(2, axis=2)
    return (jnp.pad(spread, [(0, n - m) for n, m in zip(shape, spread.shape, strict=True)]),)


_average_pool.defvjp(_average_pool_forward, _average_pool_backward)


# Places up to which `_flat` concatenates.
_FEW_PLACES = 16


def _flat(x: Float[Array, "b h w c"]) -> Float[Array, "b h*w*c"]:
    """The features of each image in a row.

    XLA's CPU backend fuses a reshape with the pooling before it into a loop that it cannot
    vectorise, but not a concatenation.
    """
    places = list(np.ndindex(*x.shape[1:3]))
    if len(places) > _FEW_PLACES:
        return x.reshape(len(x), -1)
    return jnp.concatenate([x[:, row, column] for row, column in places], axis=-1)


# Bytes of features that stay in a core's cache, and of those computed at a time: their images,
# gradients and the convolution's own workspace are next to them.
_KEPT, _AT_A_TIME = 2**19, 2**17


class _Block(nn.Module):
    """3x3 convolution, ReLU and average pooling; on the CPU, for a few images at a time.

    A whole batch in each of the three would go to memory and back in between.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        shape = (3, 3, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))

        def block(images: Array) -> Array:
            layout = ("NHWC", "HWIO", "NHWC")
            y = conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=layout)
            return _average_pool(nn.relu(checkpoint_name(y + bias[None, None, None], "features")))

        if jax.default_backend() != "cpu":
            return block(x)
        if is_sum(shape):
            # One loop for all three. XLA would repeat it in each use, but for the concatenation.
            half = len(x) // 2
            return jnp.concatenate([block(x[:half]), block(x[half:])])
        each = x.nbytes // len(x) // channels * self.features
        sizes = [n for n in range(1, len(x) + 1) if len(x) % n == 0 and n * each <= _AT_A_TIME]
        size = max(sizes, default=1)
        if size == len(x):
            return block(x)
        # With few channels, features cost less to compute again than to fetch from memory.
        kept = ["features"] if channels > 4 or len(x) * each <= _KEPT else []
        policy = jax.checkpoint_policies.save_only_these_names(*kept)
        few = jax.checkpoint(block, policy=policy, prevent_cse=False)
        y = jax.lax.map(few, x.reshape(-1, size, *x.shape[1:]))
        return y.reshape(-1, *y.shape[2:])


class CNN(nn.Module):
    """Blocks of 3x3 convolution, ReLU and 2x2 average pooling, then two dense layers.

    Attributes:
      features: channels of each block.
      hidden: width of the first dense layer.
      classes: number of classes.
      batch_norm: whether each convolution is followed by batch normalisation (Ioffe & Szegedy
        2015), in place of its bias.
    """

    features: Sequence[int]
    hidden: int
    classes: int
    batch_norm: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """f32[batch, height, width, channels] to logits, f32[batch, classes]."""
        for i, features in enumerate(self.features):
            name = f"Conv_{i}"
            if self.batch_norm:
                x = nn.Conv(
                    features,
                    (3, 3),
                    use_bias=False,
                    conv_general_dilated=conv_general_dilated,
                    name=name,
                )(x)
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
                x = _average_pool(nn.relu(x))
            else:
                x = _Block(features, name=name)(x)
        x = nn.relu(nn.Dense(self.hidden)(_flat(x)))
        return nn.Dense(self.classes)(x)


_SIZES = {"small": ((16, 32), 64), "medium": ((32, 64), 256), "large": ((64, 128, 256), 256)}


@checked
def cnn(
    classes: Annotated[int, Number(int, low=1)],
    size: Literal["small", "medium", "large"] = "small",
    batch_norm: bool = False,
) -> Model:
    """A convolutional network for images of at least 8x8 pixels.

    Args:
      classes: number of classes, at least 1.
      size: channels of the blocks and width of the dense layer: small (16, 32; 64), medium (32,
        64; 256) or large (64, 128, 256; 256).
      batch_norm: whether each convolution is followed by batch normalisation.

    Raises:
      TypeError: `classes` is no integer.
      ValueError: `classes` is out of range, or the size unknown.
    """
    features, hidden = _SIZES[size]
    return from_linen(CNN(features, hidden, classes, batch_norm))
