"""Optimizers against Optax bit for bit, and against PyTorch's own in float64.

The rate halves whenever two losses in a row are no better than the best. All losses here are 1, so
the rates are known: halving is exact, and they serve Optax and PyTorch as plain numbers.
"""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrdecay
from lrdecay.arguments import number
from lrdecay.registry import FACTORIES, factory

BASE = 0.25
# The first loss sets the best; the second and third are bad, and act in the step after.
FIRES = (0, 0, 0, 1, 1, 2, 2, 3)
RATES = tuple(BASE * 0.5**n for n in FIRES)

_RNG = np.random.default_rng(0)
START = {"w": _RNG.normal(size=(3, 2)), "b": _RNG.normal(size=2)}

# The optimizer of Optax and of PyTorch of each name, and arguments in the words of ours.
SAME = {
    "sgd": (optax.sgd, {}, {}),
    "momentum": (optax.sgd, {}, {"momentum": 0.8}),
    "nesterov": (optax.sgd, {"nesterov": True}, {"momentum": 0.8}),
    "adagrad": (optax.adagrad, {}, {"initial_accumulator_value": 0.3, "eps": 1e-2}),
    "rmsprop": (optax.rmsprop, {}, {"decay": 0.7, "eps": 1e-2}),
    "adam": (optax.adam, {}, {"b1": 0.8, "b2": 0.9, "eps": 1e-2}),
    "adamw": (optax.adamw, {}, {"b1": 0.8, "b2": 0.9, "eps": 1e-2, "weight_decay": 0.3}),
}


@pytest.fixture(autouse=True)
def _as_optax_needs():
    # Optax promotes dtypes in places, such as the bias correction of Adam.
    with jax.numpy_dtype_promotion("standard"):
        yield


def parameters(dtype=jnp.float32):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), START)


def gradients(params, t):
    """Of no loss in particular: they depend on the weights, and change their signs."""
    return {k: np.sin(3 * np.asarray(p) + t + len(k)) for k, p in params.items()}


def loss_aware():
    when, how = lrdecay.plateau(patience=2), lrdecay.multiply(0.5)
    return lrdecay.loss_aware(BASE, when=when, how=how)


def train(tx, params, **extra):
    """The weights after each step, and the final state."""
    state, seen = tx.init(params), []
    update = jax.jit(tx.update)
    for t in range(len(RATES)):
        grads = jax.tree.map(jnp.asarray, gradients(params, t))
        updates, state = update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    return seen, state


def test_every_registered_optimizer_is_tested_here():
    assert set(SAME) == set(FACTORIES["optimizer"])


@pytest.mark.parametrize("defaults", [True, False])
@pytest.mark.parametrize("name", SAME)
def test_bit_for_bit_that_of_optax_with_the_same_arguments(name, defaults):
    theirs, fixed, arguments = SAME[name]
    make = factory("optimizer", name)
    ours, state = train(
        make(loss_aware(), **({} if defaults else arguments)), parameters(), value=1.0
    )
    if defaults:
        signature = inspect.signature(make).parameters
        arguments = {k: p.default for k, p in signature.items() if k != "schedule"}
    rates = jnp.asarray(RATES, jnp.float32)
    expected, _ = train(theirs(lambda count: rates[count], **fixed, **arguments), parameters())
    chex.assert_trees_all_equal(ours, expected)
    assert lrdecay.learning_rate(state) == RATES[-1]
    assert lrdecay.fires(state) == FIRES[-1]


@pytest.mark.parametrize("name", [n for n in SAME if n not in ("sgd", "momentum", "nesterov")])
def test_defaults_are_those_of_optax(name):
    make, theirs = factory("optimizer", name), inspect.signature(SAME[name][0]).parameters
    for parameter in list(inspect.signature(make).parameters.values())[1:]:
        assert parameter.default == theirs[parameter.name].default


def torch_weights(make):
    """The weights after each step, in float64, with the rates set by hand."""
    torch = pytest.importorskip("torch")
    weights = {k: torch.tensor(x) for k, x in START.items()}
    optimizer = make(torch.optim, list(weights.values()))
    seen = []
    for t, rate in enumerate(RATES):
        found = gradients({k: w.numpy() for k, w in weights.items()}, t)
        for k, w in weights.items():
            w.grad = torch.tensor(found[k])
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        seen.append({k: w.numpy().copy() for k, w in weights.items()})
    return seen


# PyTorch adds the eps of AdaGrad and RMSprop to the root, Optax inside of it: they agree where it
# is too small to matter. Its momentum has a dampening that Optax's has not.
TINY = 1e-30
TORCH = {
    "sgd": ({}, lambda optim, p: optim.SGD(p)),
    "momentum": (
        {"momentum": 0.8},
        lambda optim, p: optim.SGD(p, momentum=0.8, dampening=0.0),
    ),
    "nesterov": (
        {"momentum": 0.8},
        lambda optim, p: optim.SGD(p, momentum=0.8, dampening=0.0, nesterov=True),
    ),
    "adagrad": (
        {"initial_accumulator_value": 0.3, "eps": TINY},
        lambda optim, p: optim.Adagrad(p, initial_accumulator_value=0.3, eps=TINY),
    ),
    "rmsprop": (
        {"decay": 0.7, "eps": TINY},
        lambda optim, p: optim.RMSprop(p, alpha=0.7, eps=TINY),
    ),
    "adam": (
        {"b1": 0.8, "b2": 0.9, "eps": 1e-2},
        lambda optim, p: optim.Adam(p, betas=(0.8, 0.9), eps=1e-2),
    ),
    "adamw": (
        {"b1": 0.8, "b2": 0.9, "eps": 1e-2, "weight_decay": 0.3},
        lambda optim, p: optim.AdamW(p, betas=(0.8, 0.9), eps=1e-2, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_weights_are_those_of_pytorch(name):
    arguments, make = TORCH[name]
    expected = torch_weights(make)
    with jax.enable_x64(True):
        tx = factory("optimizer", name)(loss_aware(), **arguments)
        ours, _ = train(tx, parameters(jnp.float64), value=1.0)
    for mine, theirs in zip(ours, expected, strict=True):
        for k in mine:
            np.testing.assert_allclose(mine[k], theirs[k], rtol=1e-12)


@pytest.mark.parametrize("name", ["adagrad", "rmsprop"])
def test_eps_is_inside_of_the_root(name):
    eps, start, decay = 0.5, 0.3, 0.7
    arguments = {
        "adagrad": {"initial_accumulator_value": start, "eps": eps},
        "rmsprop": {"decay": decay, "eps": eps},
    }[name]
    ours, _ = train(factory("optimizer", name)(loss_aware(), **arguments), parameters(), value=1.0)
    w = START["w"]
    squares = np.full_like(w, start if name == "adagrad" else 0.0)
    for t, rate in enumerate(RATES):
        g = gradients({"w": w}, t)["w"]
        squares = squares + g**2 if name == "adagrad" else decay * squares + (1 - decay) * g**2
        w = w - rate * g / np.sqrt(squares + eps)
        np.testing.assert_allclose(ours[t]["w"], w, rtol=1e-5)


def test_weight_decay_is_decoupled_and_follows_the_rate():
    # Without gradients, what is left of a weight is what the decay leaves of it.
    tx = factory("optimizer", "adamw")(loss_aware(), weight_decay=0.3)
    params = parameters()
    state, left = tx.init(params), 1.0
    zero = jax.tree.map(jnp.zeros_like, params)
    for rate in RATES:
        updates, state = tx.update(zero, state, params, value=1.0)
        params = optax.apply_updates(params, updates)
        left *= 1 - rate * 0.3
    for k, start in START.items():
        np.testing.assert_allclose(params[k], left * start, rtol=1e-6)


NUMBERS = [
    (name, k)
    for name in SAME
    for k, p in inspect.signature(factory("optimizer", name)).parameters.items()
    if number(p.annotation) is not None and k != "schedule"
]


@pytest.mark.parametrize(("name", "parameter"), NUMBERS)
def test_every_number_may_be_traced_and_vmapped(name, parameter):
    params, values = parameters(), (0.25, 0.75)

    def run(value):
        tx = factory("optimizer", name)(loss_aware(), **{parameter: value})

        def step(carry, t):
            params, state = carry
            grads = jax.tree.map(lambda p: jnp.sin(3 * p + t), params)
            updates, state = tx.update(grads, state, params, value=1.0)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(5.0))[0][0]

    program = jax.jit(lambda traced: (jax.vmap(run)(traced), [run(value) for value in values]))
    together, alone = program(jnp.asarray(values))
    for i in range(len(values)):
        for k in params:
            np.testing.assert_allclose(together[k][i], alone[i][k], rtol=1e-5)
    assert np.all(together["w"][0] != together["w"][1])


@pytest.mark.parametrize(
    ("name", "parameter", "value", "allowed"),
    [
        ("momentum", "momentum", 1.0, r"in \[0, 1\)"),
        ("nesterov", "momentum", -0.1, r"in \[0, 1\)"),
        ("adagrad", "initial_accumulator_value", -1e-9, "of at least 0"),
        ("adagrad", "eps", 0.0, "above 0"),
        ("rmsprop", "decay", 1, r"in \[0, 1\)"),
        ("rmsprop", "eps", -1e-8, "above 0"),
        ("adam", "b1", 1.5, r"in \[0, 1\)"),
        ("adam", "b2", float("nan"), r"in \[0, 1\)"),
        ("adamw", "weight_decay", -0.3, "of at least 0"),
        *((name, "schedule", -0.1, "of at least 0") for name in SAME),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(name, parameter, value, allowed):
    arguments = {"schedule": 0.1} | {parameter: value}
    with pytest.raises(ValueError, match=rf"^{parameter} must be a number {allowed}, got {value}$"):
        factory("optimizer", name)(**arguments)
