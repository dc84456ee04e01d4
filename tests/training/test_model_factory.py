"""Models from a user's classes and functions: what each may look like, and what is refused."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lrdecay.training.model_factory import as_model, check_model, model_factory
from lrdecay.training.models import Model, cnn, from_linen

pytestmark = pytest.mark.usefixtures("compiled_quickly")

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))


class Linen(nn.Module):
    classes: int
    features: Sequence[int] = (4,)
    activation: Callable = nn.relu

    @nn.compact
    def __call__(self, x, train):
        for features in self.features:
            x = self.activation(nn.Conv(features, (3, 3))(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.classes)(x.mean((1, 2)))


class Quoted(nn.Module):
    width: "int" = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x.mean((1, 2)))


class Nnx(nnx.Module):
    def __init__(self, classes: int, width: "int" = 4, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, width, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x):
        return self.dense(nnx.relu(self.conv(x)).mean((1, 2)))


def linen_function(classes: int, depth: int = 1):
    return Linen(classes, (4,) * depth)


def nnx_function(rngs, classes: int):
    return Nnx(classes, rngs=rngs)


def nnx_builder(classes: int):
    return functools.partial(Nnx, classes)


def nnx_lambda(classes: int):
    return lambda rngs: Nnx(classes, rngs=rngs)


def model_function(classes: int):
    return cnn(classes)


SOURCES = (
    *(Linen, Nnx, linen_function, nnx_function, nnx_builder, nnx_lambda, model_function),
    functools.partial(Linen, features=(2, 2)),
)


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: getattr(s, "__name__", "partial"))
def test_every_kind_of_source_gives_a_model_of_so_many_classes(source):
    model = model_factory(source)(classes=5)
    assert isinstance(model, Model)
    params, model_state = model.init(KEY, X)
    logits, _ = model.apply(params, model_state, X, train=True, key=KEY)
    assert logits.shape == (4, 5)
    check_model(model, X, 5)


def test_a_class_is_the_module_that_it_makes():
    ours = model_factory(Linen)(classes=3, features=[2, 4])
    theirs = from_linen(Linen(3, (2, 4)))
    chex.assert_trees_all_equal(ours.init(KEY, X), theirs.init(KEY, X))


def test_the_signature_is_the_users_without_what_flax_fills_in():
    def parameters(source):
        signature = inspect.signature(model_factory(source), eval_str=True)
        return {n: (p.annotation, p.default) for n, p in signature.parameters.items()}

    empty = inspect.Parameter.empty
    assert parameters(Linen) == {
        "classes": (int, empty),
        "features": (Sequence[int], (4,)),
        "activation": (Callable, nn.relu),
    }
    assert parameters(Quoted) == {"width": (int, 3)}
    assert parameters(Nnx) == {"classes": (int, empty), "width": (int, 4)}
    assert parameters(nnx_function) == {"classes": (int, empty)}
    assert parameters(linen_function) == {"classes": (int, empty), "depth": (int, 1)}
    assert list(parameters(cnn)) == ["classes", "size", "batch_norm"]


def test_the_number_of_classes_goes_only_where_it_is_asked_for():
    params, _ = model_factory(Quoted)(classes=7, width=2).init(KEY, X)
    assert params["Dense_0"]["kernel"].shape == (1, 2)


def test_a_wrong_argument_is_refused_in_the_sources_words():
    with pytest.raises(TypeError, match="unexpected keyword argument 'widht'"):
        model_factory(Quoted)(widht=2)


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (3, "got a int"),
        (Linen, "got the class Linen"),
        (Nnx(3, rngs=nnx.Rngs(0)), "got a Nnx"),
        (lambda: 3, "got a function"),
        (Point(3), "got a Point"),
    ],
    ids=["number", "Linen class", "NNX instance", "function", "tuple"],
)
def test_refuses_what_is_no_model(made, words):
    with pytest.raises(TypeError, match=f"^a model must be .* {words}$"):
        as_model(made)


def test_linen_modes_in_all_their_words():
    class Train(nn.Module):
        def __call__(self, x, train):
            return x * (2 if train else 1)

    class Training(nn.Module):
        def __call__(self, x, *, training=False):
            return x * (2 if training else 1)

    class IsTraining(nn.Module):
        def __call__(self, x, is_training: bool = False):
            return x * (2 if is_training else 1)

    class Deterministic(nn.Module):
        def __call__(self, x, deterministic: bool = True):
            return x * (1 if deterministic else 2)

    class RunningAverage(nn.Module):
        def __call__(self, x, use_running_average=True):
            return x * (1 if use_running_average else 2)

    for module in (Train(), Training(), IsTraining(), Deterministic(), RunningAverage()):
        model = from_linen(module)
        for train, factor in ((True, 2), (False, 1)):
            y, _ = model.apply({}, {}, X, train=train, key=KEY)
            np.testing.assert_array_equal(y, factor * X)


def test_linen_that_needs_more_than_images_is_refused():
    class Needs(nn.Module):
        def __call__(self, x, mask):
            return x

    with pytest.raises(TypeError, match=r"^Needs must be called .* needs the argument 'mask'$"):
        from_linen(Needs())


def two_results():
    return Model(lambda key, x: ({}, {}), lambda p, s, x, *, train, key=None: ((x, x), s))


def state_that_grows():
    return Model(
        lambda key, x: ({"w": jnp.ones((64, 3))}, {"seen": jnp.zeros(())}),
        lambda p, s, x, *, train, key=None: (
            x.reshape(len(x), -1) @ p["w"],
            {"seen": jnp.zeros((2,))} if train else s,
        ),
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (from_linen(Quoted(4)), r"^the model must return logits of shape \(4, 3\), got \(4, 4\)$"),
        (
            two_results(),
            r"logits of shape \(4, 3\), got tuple$",
        ),
        (state_that_grows(), r"float32\[\].*before a step and .*float32\[2\].* after it$"),
    ],
    ids=["classes", "tuple", "state"],
)
def test_check_refuses_what_training_cannot_use(model, words):
    with pytest.raises(ValueError, match=words):
        check_model(model, X, 3)
