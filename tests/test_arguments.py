"""Numbers in signatures: what passes, what is refused, and in which words."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrdecay.arguments import (
    INT32_MAX,
    Beta,
    Count,
    CountOrZero,
    Factor,
    NonNegative,
    Number,
    Positive,
    PositiveSteps,
    Real,
    Steps,
    alternatives,
    checked,
    number,
)

bounds = st.one_of(st.none(), st.integers(-5, 5), st.floats(-5, 5))
numbers = st.builds(
    Number,
    kind=st.sampled_from([int, float]),
    low=bounds,
    high=bounds,
    open_low=st.booleans(),
    open_high=st.booleans(),
    duration=st.just(False),
    many=st.just(False),
)
# Whole and half numbers come to lie on the bounds, and floats between them.
values = st.one_of(
    st.integers(-6, 6),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-12, 12).map(lambda n: n / 2),
    st.floats(),
)


FLOAT32_MAX = (2 - 2**-23) * 2.0**127


def is_allowed(mark, value):
    if not math.isfinite(value) or abs(value) > FLOAT32_MAX:
        return False
    if mark.low is not None and (value < mark.low or (value == mark.low and mark.open_low)):
        return False
    return not (
        mark.high is not None and (value > mark.high or (value == mark.high and mark.open_high))
    )


def error_of(mark, value, name="x"):
    """The error's type and message; None where the value passes."""
    try:
        mark.check(name, value)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return None


@given(numbers, values)
def test_a_number_passes_if_it_is_of_its_kind_and_in_its_range(mark, value):
    if mark.kind is int and isinstance(value, float):
        expected = TypeError, f"x must be {mark.allowed}, got {value}"
    elif not is_allowed(mark, value):
        excess = math.isfinite(value) and abs(value) > FLOAT32_MAX
        why = ", which float32 does not hold" if excess else ""
        expected = ValueError, f"x must be {mark.allowed}, got {value}{why}"
    else:
        expected = None
    assert error_of(mark, value) == expected


@given(numbers, st.integers(-6, 6))
def test_arrays_and_scalars_of_numpy_and_jax_are_as_python_numbers(mark, value):
    kind = np.int32 if mark.kind is int else np.float32
    expected = error_of(mark, value) is None
    for same in (kind(value), np.asarray(value, kind), jnp.asarray(value, kind)):
        assert (error_of(mark, same) is None) == expected


@given(numbers, st.lists(values, max_size=4))
def test_a_list_passes_if_each_of_its_numbers_does(mark, items):
    first_bad = next((i for i, v in enumerate(items) if error_of(mark, v)), None)
    for given_as in (list, tuple):
        found = error_of(mark._replace(many=True), given_as(items))
        if first_bad is None:
            assert found is None
        else:
            assert found == error_of(mark, items[first_bad], f"x[{first_bad}]")


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        (Number(), "a number"),
        (Number(int), "an integer"),
        (Number(low=0), "a number of at least 0"),
        (Number(low=0, open_low=True), "a number above 0"),
        (Number(low=0, high=1), "a number in [0, 1]"),
        (Number(low=0, high=1, open_low=True), "a number in (0, 1]"),
        (Number(low=0, high=1, open_high=True), "a number in [0, 1)"),
        (Number(high=1), "a number in (-inf, 1]"),
        (Number(int, 1, INT32_MAX), "an integer of at least 1"),
        (Number(int, 1, 9, many=True), "a list, each an integer in [1, 9]"),
    ],
)
def test_what_is_allowed_is_said_in_words(mark, words):
    assert mark.allowed == words


NO_NUMBERS = (True, np.bool_(False), "1", b"1", None, 1j, {}, {1}, [[1]], [[1], [1, 2]])


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("value", [*NO_NUMBERS, [], [1], (1,)], ids=repr)
def test_what_is_no_number_is_refused_by_name(kind, value):
    mark = Number(kind)
    assert error_of(mark, value) == (TypeError, f"x must be {mark.allowed}, got {value!r}")


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_in_a_list_by_its_place(kind, value):
    mark = Number(kind)
    assert error_of(mark._replace(many=True), [1, value]) == (
        TypeError,
        f"x[1] must be {mark.allowed}, got {value!r}",
    )


@pytest.mark.parametrize("value", [1, 0.5, True, "1", None, {}], ids=repr)
def test_what_is_no_list_is_refused_where_a_list_must_be(value):
    mark = Number(many=True)
    assert error_of(mark, value) == (TypeError, f"x must be a list, each a number, got {value!r}")


def test_counts_are_those_that_int32_holds():
    mark = number(Count)
    mark.check("patience", INT32_MAX)
    with pytest.raises(ValueError, match=r"at least 1, got 2147483648, which int32 does not hold$"):
        mark.check("patience", INT32_MAX + 1)


def test_arrays_pass_whole_where_many_are_allowed():
    mark = Number(low=0, high=1, many=True)
    for array in (np.float32([0, 0.5, 1]), jnp.zeros(3, jnp.bfloat16), np.zeros(0)):
        mark.check("x", array)
    with pytest.raises(ValueError, match=r"^x must be a list, each a number in \[0, 1\], got"):
        mark.check("x", np.float32([0.5, 1.5]))
    with pytest.raises(TypeError, match=r"^x must be a list"):
        mark.check("x", np.zeros((2, 2)))
    with pytest.raises(TypeError, match=r"^x must be a number"):
        mark._replace(many=False).check("x", np.zeros(1))


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Real, [-1.5, 0, 1e30], []),
        (NonNegative, [0, 0.0, 1e30], [-1e-30]),
        (Positive, [1e-30, 3], [0, 0.0, -1]),
        (Factor, [1e-30, 1, 1.0], [0.0, 1.0001]),
        (Beta, [0, 0.999], [1, 1.0, -0.1]),
        (Count, [1, INT32_MAX], [0, -1, INT32_MAX + 1]),
        (CountOrZero, [0, INT32_MAX], [-1, INT32_MAX + 1]),
        (Steps, [0, INT32_MAX], [-1, INT32_MAX + 1]),
        (PositiveSteps, [1, INT32_MAX], [0, INT32_MAX + 1]),
    ],
)
def test_the_named_ranges(annotation, good, bad):
    mark = number(annotation)
    assert [error_of(mark, value) for value in good] == [None] * len(good)
    for value in (*bad, math.nan, math.inf, -math.inf):
        assert error_of(mark, value) is not None
    assert mark.duration == (annotation in (Steps, PositiveSteps))


def make(rate: Positive, steps: Steps | None = None, mode: Literal["min", "max"] = "min", tag=""):
    """Makes a tuple."""
    return rate, steps, mode, tag


def test_checked_changes_nothing_but_the_checks():
    factory = checked(make)
    assert factory(0.5, 3, "max", tag=[1]) == (0.5, 3, "max", [1])
    assert (factory.__name__, factory.__doc__) == ("make", "Makes a tuple.")
    with pytest.raises(TypeError, match="rate"):
        factory()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rate": 0}, ValueError, "rate must be a number above 0, got 0"),
        ({"rate": "x"}, TypeError, "rate must be a number above 0, got 'x'"),
        ({"rate": 1, "steps": 2.5}, TypeError, "steps must be an integer of at least 0, got 2.5"),
        ({"rate": 1, "steps": -2}, ValueError, "steps must be an integer of at least 0, got -2"),
        ({"rate": 1, "mode": "mean"}, ValueError, "mode must be 'min' or 'max', got 'mean'"),
    ],
)
def test_checked_refuses_by_name(arguments, error, message):
    with pytest.raises(error) as found:
        checked(make)(**arguments)
    assert str(found.value) == message


def test_checked_looks_at_positional_arguments_too():
    with pytest.raises(ValueError, match="steps must be"):
        checked(make)(0.5, -3)


def test_none_and_functions_pass_where_the_annotation_has_them():
    def schedule(count):
        return -count

    @checked
    def takes(
        rate: Positive | Callable[[int], int], shape: Literal["a"] | Callable[[int], int] = "a"
    ):
        return rate, shape

    assert takes(schedule, schedule) == (schedule, schedule)
    assert checked(make)(0.5, None)[:2] == (0.5, None)
    for rate in (schedule, None):
        with pytest.raises(TypeError, match=r"^rate must be a number above 0, got"):
            checked(make)(rate)
    with pytest.raises(ValueError, match=r"^shape must be 'a' or a function, got 'b'"):
        takes(0.5, "b")


def test_flags_and_functions_are_checked_too():
    @checked
    def takes(flag: bool = False, function: Callable[[int], int] | None = None):
        return flag, function

    assert takes(True, abs) == (True, abs)
    with pytest.raises(TypeError, match=r"^flag must be True or False, got 1"):
        takes(1)
    with pytest.raises(TypeError, match=r"^function must be a function, got 1"):
        takes(True, 1)


def test_traced_values_pass_whatever_their_value():
    @jax.jit
    def program(rate, steps):
        found = checked(make)(rate, steps)
        return found[0] * 2, found[1] + 1

    assert program(-1.0, -3) == (-2.0, -2)
    np.testing.assert_array_equal(jax.vmap(program)(-jnp.ones(2), jnp.zeros(2, int))[1], [1, 1])


@pytest.mark.parametrize(
    ("value", "got"), [(jnp.float32(1), r"float32\[\]"), (True, r"bool\[\]"), ([1, 2], "int32")]
)
def test_traced_values_of_the_wrong_dtype_or_shape_are_refused(value, got):
    with pytest.raises(TypeError, match=rf"^steps must be an integer of at least 0, got {got}"):
        jax.jit(lambda steps: checked(make)(0.5, steps))(jnp.asarray(value))


def test_traced_values_in_a_list_are_looked_at_one_by_one():
    mark = Number(low=0, many=True)
    jax.jit(lambda x: mark.check("x", [x, 1.0]))(-1.0)
    with pytest.raises(ValueError, match=r"^x\[1\] must be a number of at least 0, got -1\.0"):
        jax.jit(lambda x: mark.check("x", [x, -1.0]))(-1.0)


def test_a_number_is_found_in_a_union_and_nowhere_else():
    mark = Number(low=0, open_low=True)
    assert alternatives(Positive | None) == (Positive, type(None))
    assert alternatives(int) == (int,)
    assert number(Positive) == number(Positive | None) == number(str | Positive) == mark
    assert number(float) is None
    assert number(str | None) is None
