"""What a configuration's `package.module:Name` may be to stand for a model."""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax import nnx

from lrdecay.training.models import Model, from_linen, from_nnx

# Of the constructor of a Linen module; Flax fills them in.
_LINEN_OWN = ("parent", "name")


def as_model(made: Any) -> Model:
    """A `Model` from what a user's code makes.

    Args:
      made: a `Model`, a Linen module, or what builds an NNX module when called with `rngs=...`,
        such as its class.

    Raises:
      TypeError: it is none of these.
    """
    if isinstance(made, Model):
        return made
    if isinstance(made, nn.Module):
        return from_linen(made)
    build = made.func if isinstance(made, functools.partial) else made
    if callable(build) and not isinstance(build, nnx.Module) and "rngs" in _parameters(build):
        return from_nnx(lambda rngs: made(rngs=rngs))
    got = f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"
    raise TypeError(
        "a model must be a lrdecay Model, a Flax Linen module, or an NNX module's class or a "
        f"function with an argument rngs that builds one, got {got}"
    )


def model_factory(source: Callable[..., Any]) -> Callable[..., Model]:
    """A factory of models from any callable that describes one.

    Args:
      source: the class of a Linen module, whose fields are the factory's arguments; the class of an
        NNX module, or a function that makes one, with an argument `rngs` which each run fills in;
        or a function that returns anything that `as_model` takes.

    Returns:
      A function of the other arguments of `source`, with their annotations and defaults in its
      signature. It also takes `classes`, the number of classes, and drops it where `source` does
      not ask for it.

    Raises:
      NameError: an annotation of `source` cannot be resolved.
      ValueError: `source` has no signature.
    """
    parameters = _parameters(source)
    free = [p for name, p in parameters.items() if name != "rngs"]

    @functools.wraps(source, updated=())
    def make(*, classes: int | None = None, **arguments: Any) -> Model:
        if "classes" in parameters and classes is not None:
            arguments["classes"] = classes
        if "rngs" in parameters:
            return from_nnx(lambda rngs: source(rngs=rngs, **arguments))
        return as_model(source(**arguments))

    make.__signature__ = inspect.Signature(free, return_annotation=Model)  # pyrefly: ignore
    return make


def check_model(model: Model, x: Any, classes: int) -> None:
    """Refuses a model that training cannot use, without computing anything.

    Args:
      model: the model.
      x: an example batch, f32[batch, height, width, channels]; a `jax.ShapeDtypeStruct` will do.
      classes: number of classes.

    Raises:
      ValueError: its logits are not [batch, classes], or training changes the form of its state.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    params, model_state = jax.eval_shape(model.init, key, x)
    for train in (True, False):
        logits, after = jax.eval_shape(
            lambda p, s, x, key, train=train: model.apply(p, s, x, train=train, key=key),
            *(params, model_state, x, key),
        )
        expected = (x.shape[0], classes)
        if getattr(logits, "shape", None) != expected:
            got = getattr(logits, "shape", type(logits).__name__)
            raise ValueError(f"the model must return logits of shape {expected}, got {got}")
        if _form(model_state) != _form(after):
            raise ValueError(
                "the model's state must keep its structure, shapes and dtypes in training, "
                f"got {_form(model_state)} before a step and {_form(after)} after it"
            )


def _parameters(source: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function, or of a class's constructor, with resolved annotations."""
    if isinstance(source, type) and issubclass(source, nn.Module):
        hints = typing.get_type_hints(source, include_extras=True)
        parameters = inspect.signature(source).parameters
        return {
            name: p.replace(annotation=hints[name])
            for name, p in parameters.items()
            if name not in _LINEN_OWN
        }
    if isinstance(source, type) and issubclass(source, nnx.Module):
        # The class itself has the signature of its metaclass.
        _, *parameters = inspect.signature(source.__init__, eval_str=True).parameters.values()
        return {p.name: p for p in parameters}
    return dict(inspect.signature(source, eval_str=True).parameters)


def _form(tree: Any) -> Any:
    return jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", tree)
