"""A convolution that stays fast inside of loops on the CPU."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

_NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))

# XLA has no fast kernel for a convolution with at most 16 channels and at most 16 features.
_NARROW, _WIDE = 16, 32

# Places in a kernel up to which a sum over them is faster for one channel and few features.
_PLACES = 25


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: lax.ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, for the argument of that name of Flax's two `Conv`.

    Inside a loop body, such as a scan over training steps, XLA's CPU backend has a fast kernel for
    plain convolutions alone, and the gradients that `lax` derives are not plain (jax issue 12868):
    they are dilated, or in another layout. Here they are: the input's is that of the cotangent with
    the flipped kernel, the kernel's that of the images with the cotangent, the batch as channels.
    With one channel, few features and a small kernel, the value is a sum of shifted images, which
    XLA fuses with what follows. Forward-mode differentiation is left out.

    Args:
      lhs: images, [batch, height, width, channels].
      rhs: kernel, [height, width, channels, features], of the same dtype.
      window_strides: a stride for each of the two dimensions.
      padding: "SAME", "SAME_LOWER", "VALID", or a (low, high) pair for each dimension.
      lhs_dilation: dilation of the images; any but 1 is left to `lax`.
      rhs_dilation: dilation of the kernel.
      dimension_numbers: the layout; any but NHWC, HWIO, NHWC is left to `lax`.
      feature_group_count: groups of channels; any but 1 is left to `lax`.
      batch_group_count: groups of the batch; any but 1 is left to `lax`.
      precision: precision of the product.
      preferred_element_type: dtype of the result; that of the inputs by default.
      out_sharding: sharding of the result; any is left to `lax`.

    Returns:
      [batch, height, width, features].

    Raises:
      TypeError, ValueError: whatever `lax.conv_general_dilated` refuses when traced, in its words.
    """
    layout = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    convolve = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=layout,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    # Tracing the original checks the arguments and gives the shape of the result.
    result = jax.eval_shape(convolve, lhs, rhs)
    if (
        jax.default_backend() != "cpu"
        or layout != _NHWC
        or feature_group_count * batch_group_count != 1
        or any(d != 1 for d in lhs_dilation or ())
        or out_sharding is not None
        or result.size == 0
    ):
        return convolve(lhs, rhs)
    dilation = tuple(rhs_dilation or (1, 1))
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(
            lhs.shape[1:3], _extent(rhs.shape[:2], dilation), window_strides, padding
        )
    pairs = tuple((low, high) for low, high in padding)
    return _convolve(
        lhs, rhs, tuple(window_strides), pairs, dilation, precision, preferred_element_type
    )


def _extent(size: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Length of each dimension once its entries are `dilation` apart."""
    return [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]


def is_sum(kernel: Sequence[int]) -> bool:
    """Whether a convolution with a kernel of that shape is evaluated as a sum over its places."""
    height, width, channels, features = kernel
    return channels == 1 and features <= _NARROW and height * width <= _PLACES


def depthwise(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> jax.Array:
    """Each channel by itself: a sum of shifted slices, one for each place in the kernel.

    Args:
      images: [batch, height, width, channels].
      kernel: [height, width, 1, channels * multiplier].
      strides: a stride for each of the two dimensions.
      padding: a (low, high) pair for each; a negative one crops.
      dilation: dilation of the kernel.

    Returns:
      [batch, height, width, channels * multiplier], half precision as float32.
    """
    batch, *_, channels = images.shape
    edges = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    padded = lax.pad(images, jnp.zeros((), images.dtype), edges)
    reach = _extent(kernel.shape[:2], dilation)
    size = [
        max(0, (n - r) // stride + 1)
        for n, r, stride in zip(padded.shape[1:3], reach, strides, strict=True)
    ]
    # Products of half precision are summed in float32, as in a matrix product.
    half = images.dtype in (jnp.bfloat16, jnp.float16)
    dtype = jnp.float32 if half else images.dtype
    padded, kernel = padded.astype(dtype), kernel.astype(dtype)
    result = jnp.zeros((batch, *size, channels, kernel.shape[-1] // channels), dtype)
    for place in np.ndindex(*kernel.shape[:2]):
        rows, columns = (
            slice(i * d, i * d + n * stride, stride)
            for i, d, n, stride in zip(place, dilation, size, strides, strict=True)
        )
        factors = kernel[place].reshape(1, 1, 1, channels, -1)
        result += padded[:, rows, columns, :, None] * factors
    return result.reshape(batch, *size, kernel.shape[-1])


def _plain(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    edges: Sequence[tuple[int, int, int]],
    dilation: Sequence[int],
    precision: lax.PrecisionLike,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """A convolution of the kind that is fast; `edges` is low, high and interior padding."""
    # Unlike the convolution's own padding, lax.pad also crops.
    images = lax.pad(images, jnp.zeros((), images.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    features = kernel.shape[-1]
    if max(kernel.shape[2:]) <= _NARROW:
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, 0), (0, _WIDE - features)))
    result = lax.conv_general_dilated(
        images,
        kernel,
        strides,
        "VALID",
        rhs_dilation=dilation,
        dimension_numbers=_NHWC,
        precision=precision,
        preferred_element_type=dtype,
    )
    return result[..., :features]


def _value(
    images: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    precision: lax.PrecisionLike,
    dtype: DTypeLike | None,
) -> jax.Array:
    if is_sum(kernel.shape):
        return depthwise(images, kernel, strides, padding, dilation).astype(dtype or images.dtype)
    edges = [(low, high, 0) for low, high in padding]
    return _plain(images, kernel, strides, edges, dilation, precision, dtype)


def _forward(images: jax.Array, kernel: jax.Array, *options: Any) -> tuple[jax.Array, Any]:
    # Not `_convolve`, so that the gradient may be differentiated forwards.
    return _value(images, kernel, *options), (images, kernel)


def _backward(
    strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    precision: lax.PrecisionLike,
    dtype: DTypeLike | None,
    inputs: tuple[jax.Array, jax.Array],
    cotangent: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    del dtype  # that of the cotangent
    images, kernel = (a.astype(cotangent.dtype) for a in inputs)
    # Lengths of the image, of the kernel, and of the cotangent with its entries a stride apart.
    lengths = zip(
        images.shape[1:3],
        _extent(kernel.shape[:2], dilation),
        _extent(cotangent.shape[1:3], strides),
        strict=True,
    )
    lows = [low for low, _ in padding]
    image_edges, cotangent_edges = [], []
    for (image, window, result), low, stride in zip(lengths, lows, strides, strict=True):
        image_edges.append((low, window - 1 + result - image - low, 0))
        cotangent_edges.append((window - 1 - low, image + low - result, stride - 1))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    image_gradient = _plain(cotangent, flipped, (1, 1), cotangent_edges, dilation, precision)
    # The batch as channels, and the strides as the dilation of the kernel.
    kernel_gradient = _plain(
        images.transpose(3, 1, 2, 0),
        cotangent.transpose(1, 2, 0, 3),
        *(dilation, image_edges, strides, precision),
    ).transpose(1, 2, 0, 3)
    return image_gradient.astype(inputs[0].dtype), kernel_gradient.astype(inputs[1].dtype)


_convolve = jax.custom_vjp(_value, nondiff_argnums=(2, 3, 4, 5, 6))
_convolve.defvjp(_forward, _backward)
