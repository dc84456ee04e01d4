"""Any argument at all: a curve that meets the laws, or an error that names the argument."""

import inspect
import re

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay
from lrdecay.arguments import number
from lrdecay.compat import hf, keras, optax, timm, torch
from lrdecay.registry import FACTORIES, factory

OURS = {
    name: make
    for name in FACTORIES["schedule"]
    if (make := factory("schedule", name)).__module__.startswith("lrdecay.schedules.")
}
PEERS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (hf, keras, optax, timm, torch)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
STEPS = jnp.asarray([0, 1, 7, 40, 1000, 2**31 - 1], jnp.int32)
# Two of the largest rates multiply to what float32 still holds.
NUMBERS = [0, 0.0, 1e-45, 1e-30, 0.1, 0.5, 1, 1.0, 2, 2.5, 7, 40, 1000, 1e18, 2**31 - 1]
STRANGE = [-1, -0.5, -1e-30, 1e39, 10**30, 2**31, 1j, float("nan"), float("inf"), -float("inf")]
STRANGE += ["x", "linear", "cosine", b"x", None, True, False, (), [], {}, object()]
STRANGE += [[0.1], [7], [0.1, 0.2], [7, 5], ["x"], [None], np.ones(2), np.zeros((1, 2)), np.int8(5)]
PAIRS = st.dictionaries(st.sampled_from([0, 3, 7, 50]), st.sampled_from([0.0, 0.5, 2.0]))
ANYTHING = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
    st.sampled_from(STRANGE),
    st.lists(st.sampled_from([0.1, 0.5, 1.0]), max_size=3),
    st.lists(st.sampled_from([0, 3, 7, 50]), max_size=3),
    PAIRS,
    st.just(lrdecay.linear(1.0, 0.5, 5)),
)


@pytest.fixture(autouse=True)
def _without_the_checks_of_jaxtyping():
    """What a user meets, who has only the library's own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def valid(mark):
    """Arguments within the range of a number; two of the largest still multiply to a float32."""
    if mark.many:
        return st.lists(valid(mark._replace(many=False)), min_size=1, max_size=3).map(sorted)
    low = (mark.low or 0) + (1e-30 if mark.open_low else 0)
    if mark.kind is int:
        return st.integers(mark.low, 50) | st.integers(mark.low, 2**31 - 1)
    ceiling = 1e18 if mark.high is None else mark.high - (1e-6 if mark.open_high else 0)
    return st.floats(low, min(1.5 + low, ceiling)) | st.floats(low, ceiling)


def argument(parameter):
    mark = number(parameter.annotation)
    return ANYTHING if mark is None else valid(mark) | valid(mark) | ANYTHING


# `**kwargs` of the peers hold names that are no arguments of ours.
FREE = {"hf.get_scheduler", "optax.sgdr_schedule"}


@pytest.mark.parametrize("name", sorted((OURS | PEERS).keys() - FREE))
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_a_curve_that_meets_the_laws_or_an_error_that_names_the_argument(name, data):
    make = (OURS | PEERS)[name]
    parameters = inspect.signature(make).parameters
    arguments = {
        p.name: data.draw(argument(p), label=p.name)
        for p in parameters.values()
        if p.default is p.empty or data.draw(st.booleans())
    }
    names = rf"({'|'.join(map(re.escape, parameters))})\b"
    try:
        schedule = make(**arguments)
    except (TypeError, ValueError) as error:
        if re.search(names, str(error)) is None:
            raise
        return
    rates = schedule(STEPS)
    assert rates.dtype == jnp.float32
    assert rates.shape == STEPS.shape
    assert np.all(np.isfinite(rates)), rates
    assert np.all(np.asarray(rates) >= 0), rates


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hf.get_scheduler("cosin", 0.1), "name must be one of"),
        (lambda: hf.get_scheduler("linear", 0.1, 1, 9, {"power": 2}), "scheduler_specific_kwargs"),
        (lambda: optax.sgdr_schedule([]), "cosine_kwargs must be a list"),
    ],
)
def test_arguments_of_arguments_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
