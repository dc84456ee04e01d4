"""The registry: its names load, its factories say what they take, and wrong names say what is."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lrdecay.registry import FACTORIES, did_you_mean, factory

ROOT = Path(__file__).parent.parent
EVERY = [(kind, name) for kind, names in FACTORIES.items() for name in names]

every_name = pytest.mark.parametrize(("kind", "name"), EVERY, ids=lambda x: x)

# Parameters that the one line of their factory's docstring makes plain without their name.
PLAIN = {("schedule", "constant", "value")}


@every_name
def test_a_name_stands_for_the_factory_at_its_path(kind, name):
    module, attribute = FACTORIES[kind][name].split(":")
    found = factory(kind, name)
    assert found is getattr(importlib.import_module(module), attribute)
    assert callable(found)
    # So that a message about the factory, or its documentation, leads back to the name.
    assert found.__name__ == name


@every_name
def test_every_argument_has_a_type(kind, name):
    signature = inspect.signature(factory(kind, name))
    for parameter in signature.parameters.values():
        assert parameter.annotation is not parameter.empty, parameter.name
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    assert signature.return_annotation is not signature.empty


@every_name
def test_every_argument_is_in_the_docstring(kind, name):
    make = factory(kind, name)
    text = inspect.getdoc(make)
    assert text
    summary, _, described = text.partition("Args:\n")
    described = set(re.findall(r"^  (\w+): ", described.split("\n\n")[0], re.MULTILINE))
    parameters = set(inspect.signature(make).parameters)
    assert described <= parameters, "the docstring has arguments that the factory does not"
    for parameter in parameters - described:
        plain = f"`{parameter}`" in summary or (kind, name, parameter) in PLAIN
        assert plain, f"{parameter} is not in the docstring of {kind} {name}"


def test_a_path_loads_a_factory_of_ones_own():
    assert factory("trigger", "lrdecay.triggers:watch").__name__ == "watch"
    assert factory("model", "pathlib:Path.cwd") == Path.cwd


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "schedule",
            "cosin",
            "unknown schedule 'cosin'; did you mean 'cosine'? allowed: constant, ",
        ),
        ("optimizer", "adma", "unknown optimizer 'adma'; did you mean 'adam'? allowed: sgd, "),
        ("model", "transformer", "unknown model 'transformer'; allowed: cnn"),
        ("decay", "", "unknown decay ''; allowed: multiply, "),
        # A name of another kind is as unknown as any.
        ("trigger", "adam", "unknown trigger 'adam'; allowed: "),
    ],
)
def test_an_unknown_name_is_refused_with_a_guess_and_the_list(kind, name, message):
    with pytest.raises(LookupError) as error:
        factory(kind, name)
    assert str(error.value).startswith(message)
    assert str(error.value).endswith("allowed: " + ", ".join(FACTORIES[kind]))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no_such_package:thing", "No module named 'no_such_package'"),
        ("lrdecay.no_such_module:thing", "No module named 'lrdecay.no_such_module'"),
        ("lrdecay.triggers:no_such_thing", "has no attribute 'no_such_thing'"),
        (":thing", "invalid format"),
        (".triggers:plateau", "invalid format"),
        ("a:b:c", "invalid format"),
        ("lrdecay.triggers:", "is no function"),
        ("lrdecay:__version__", "is no function"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_reason(path, why):
    with pytest.raises(LookupError, match=f"^cannot load data '{re.escape(path)}': .*{why}"):
        factory("data", path)


def test_a_guess_is_made_only_where_there_is_a_close_one():
    assert did_you_mean("lerning_rate", ["seeds", "learning_rate"]) == (
        "did you mean 'learning_rate'? allowed: seeds, learning_rate"
    )
    assert did_you_mean("xyz", iter(["seeds", "epochs"])) == "allowed: seeds, epochs"


def test_the_registry_imports_nothing_until_a_name_is_used():
    code = """
import sys
from lrdecay.registry import factory
assert not {"jax", "numpy", "lrdecay.schedules"} & set(sys.modules)
factory("schedule", "cosine")
assert "lrdecay.schedules" in sys.modules
assert "lrdecay.training.models" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
