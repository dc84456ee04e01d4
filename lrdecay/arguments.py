"""What a numeric argument may be, said once in a factory's signature.

An annotation such as `patience: Count` carries a `Number`. `checked` reads it to refuse bad values
the moment an object is made, and the configuration reads the same mark, so that a range is never
written twice.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

P = ParamSpec("P")
R = TypeVar("R")

INT32_MAX = 2**31 - 1


def _in_float32(x: ArrayLike) -> np.ndarray:
    """Where float32 holds a number as a finite one; False for NaN."""
    return np.asarray(np.abs(np.asarray(x, np.float64)) <= np.finfo(np.float32).max)


class Number(NamedTuple):
    """The kind and range of a number; every number must also be finite, as a float32.

    Attributes:
      kind: `int`, or `float` (which accepts whole numbers too).
      low: smallest value allowed.
      high: largest value allowed.
      open_low: True where `low` itself is refused.
      open_high: True where `high` itself is refused.
      duration: True for a length of time in steps, which a configuration may also give in epochs
        or as a fraction of the run.
      many: True for a list of such numbers.
    """

    kind: type = float
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    duration: bool = False
    many: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        noun = "an integer" if self.kind is int else "a number"
        if self.many:
            noun = f"a list, each {noun}"
        above = "above" if self.open_low else "of at least"
        if self.high is None or self.high == INT32_MAX:
            return noun if self.low is None else f"{noun} {above} {self.low}"
        left = "(-inf" if self.low is None else f"{'(' if self.open_low else '['}{self.low}"
        return f"{noun} in {left}, {self.high}{')' if self.open_high else ']'}"

    def check(self, name: str, value: Any) -> None:
        """Raises a TypeError or ValueError that names the argument, its value and what is allowed.

        A traced value has no value to look at: only its dtype is checked.
        """
        if self.many and isinstance(value, list | tuple):
            for i, item in enumerate(value):
                self._replace(many=False).check(f"{name}[{i}]", item)
            return
        traced = isinstance(value, jax.core.Tracer)
        # As objects, lists within lists need not be of one length.
        dtype = object if isinstance(value, list | tuple) else None
        array = value if traced else np.asarray(value, dtype)
        kinds = (np.integer,) if self.kind is int else (np.integer, np.floating)
        if np.ndim(array) != self.many or not any(jnp.issubdtype(array.dtype, k) for k in kinds):
            got = f"{array.dtype}{list(array.shape)}" if traced else repr(value)
            raise TypeError(f"{name} must be {self.allowed}, got {got}")
        if not traced and not self._within(np.asarray(array, np.float64)):
            raise ValueError(f"{name} must be {self.allowed}, got {value}{self._excess(array)}")

    def _excess(self, array: Any) -> str:
        """What is wrong with numbers that are in range, in words, and too large to be kept."""
        if self.high == INT32_MAX and np.any(array > INT32_MAX):
            return ", which int32 does not hold"
        too_large = np.isfinite(np.asarray(array, np.float64)) & ~_in_float32(array)
        return ", which float32 does not hold" if np.any(too_large) else ""

    def _within(self, x: np.ndarray) -> bool:
        within = _in_float32(x)
        if self.low is not None:
            within &= x > self.low if self.open_low else x >= self.low
        if self.high is not None:
            within &= x < self.high if self.open_high else x <= self.high
        return bool(np.all(within))


Real = Annotated[ArrayLike, Number()]
NonNegative = Annotated[ArrayLike, Number(low=0)]
Positive = Annotated[ArrayLike, Number(low=0, open_low=True)]
Factor = Annotated[ArrayLike, Number(low=0, high=1, open_low=True)]
Fraction = Annotated[ArrayLike, Number(low=0, high=1)]
Beta = Annotated[ArrayLike, Number(low=0, high=1, open_high=True)]
PositiveInt = Annotated[int, Number(int, low=1)]  # never traced
Count = Annotated[ArrayLike, Number(int, low=1, high=INT32_MAX)]
CountOrZero = Annotated[ArrayLike, Number(int, low=0, high=INT32_MAX)]
Steps = Annotated[ArrayLike, Number(int, low=0, high=INT32_MAX, duration=True)]
PositiveSteps = Annotated[ArrayLike, Number(int, low=1, high=INT32_MAX, duration=True)]


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; any other annotation alone."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def number(annotation: Any) -> Number | None:
    """The `Number` that an annotation carries, also as one of several; None where there is none."""
    marks = (m for a in alternatives(annotation) for m in getattr(a, "__metadata__", ()))
    return next((m for m in marks if isinstance(m, Number)), None)


def _check(name: str, value: Any, annotation: Any) -> None:
    members = alternatives(annotation)
    functions = any(typing.get_origin(m) is Callable for m in members)
    others = [m for m in members if typing.get_origin(m) is not Callable and m is not type(None)]
    if (value is None and type(None) in members) or (functions and callable(value)):
        return
    mark = number(annotation)
    if mark is not None:
        mark.check(name, value)
    literals = (m for m in members if typing.get_origin(m) is typing.Literal)
    words = [word for literal in literals for word in typing.get_args(literal)]
    if words and not (isinstance(value, str) and value in words):
        allowed = " or ".join([*map(repr, words), *["a function"] * functions])
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    if functions and not others:
        raise TypeError(f"{name} must be a function, got {value!r}")
    if members == (bool,) and not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def checked(factory: Callable[P, R]) -> Callable[P, R]:
    """Makes a factory refuse what its signature does not allow: numbers, `Literal` words, flags.

    A function is accepted where the annotation has one beside the number or the words.

    Raises (when the factory is called):
      TypeError: a number of the wrong kind, such as 2.5 for an integer, or a flag that is no bool.
      ValueError: a number out of range or not finite, or an unknown word.
    """
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def with_checks(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            _check(name, value, signature.parameters[name].annotation)
        return factory(*args, **kwargs)

    return with_checks
