"""From a configuration to a plan: every mistake at once, and nothing loaded or compiled."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from lrdecay.registry import FACTORIES
from lrdecay.study.config import ConfigError, read
from lrdecay.study.plan import plan
from lrdecay.study.sections import RunLength
from lrdecay.training import data
from lrdecay.training.data import Source
from lrdecay.training.models import Model

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
HERE = __name__

PLATEAU = """
[arms.plateau]
name = "loss_aware"
base = 0.1
when = {name = "plateau", monitor = "val_accuracy", mode = "max", patience = 2}
how = {name = "multiply", factor = 0.5}
"""


def untouched_data() -> Source:
    def load():
        raise AssertionError("loaded")

    return Source(load, 100, classes=3)


def untouched_model(classes, sizes=(1, 2), activation=jax.nn.relu) -> Model:
    def fail(*args, **kwargs):
        raise AssertionError("traced")

    return Model(fail, fail)


def problems_of(*settings, arms=None):
    with pytest.raises(ConfigError) as error:
        plan(tiny.config(*settings, arms=arms))
    assert not any("\n" in problem for problem in error.value.problems)
    return list(error.value.problems)


@pytest.fixture
def fashion_mnist_in_name(monkeypatch, tmp_path):
    """Files of the right names: enough to plan with, not to run."""
    for name in data._FASHION_MNIST:
        (tmp_path / name).touch()
    monkeypatch.setenv("LRDECAY_DATA", str(tmp_path))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_that_ships_is_valid(path, fashion_mnist_in_name):
    study = plan(read(path))
    assert study.config.name == path.stem
    assert study.arms[0].name == ("constant" if study.halving is None else "0.1")
    assert study.run.steps == study.config.epochs * study.run.steps_per_epoch > 100


def test_configurations_ship():
    assert len(CONFIGS) >= 2


def test_a_plan_has_everything_and_touches_nothing():
    settings = (f'data.name="{HERE}:untouched_data"', f'model.name="{HERE}:untouched_model"')
    study = plan(tiny.config(*settings, arms=PLATEAU + "[arms.low]\nname='constant'\nvalue=0"))
    assert [arm.name for arm in study.arms] == ["plateau", "low"]
    assert study.run == RunLength(steps_per_epoch=100 // 16, epochs=3)
    assert study.config.seed_list == (0, 1)


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 70), (16, 4), (35, 2), (36, 1), (70, 1)])
def test_examples_that_fill_no_batch_are_no_step(batch_size, steps):
    assert plan(tiny.config(f"batch_size={batch_size}")).run.steps_per_epoch == steps


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", (0,)), ("3", (0, 1, 2)), ("[7]", (7,)), ("[2, 0]", (2, 0))]
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert plan(tiny.config(f"seeds={text}")).config.seed_list == seeds


def test_a_whole_number_does_for_a_share():
    assert plan(tiny.config("target_accuracy=1")).config.target_accuracy == 1


NAME = "name must be letters, digits, ' ', '.', '_' or '-', and not begin with one of the marks"
TOP = (
    "name, epochs, data, model, optimizer, arms, seeds, batch_size, target_accuracy, placement, "
    "successive_halving"
)
SCHEDULES, TRIGGERS, DECAYS = (
    ", ".join(FACTORIES[kind]) for kind in ("schedule", "trigger", "decay")
)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("epoch=3", f"epoch: unknown key; did you mean 'epochs'? allowed: {TOP}"),
        ("epochs=0", "epochs must be an integer of at least 1, got 0"),
        ("epochs=2.5", "epochs must be an integer of at least 1, got 2.5"),
        ("epochs=true", "epochs must be an integer of at least 1, got True"),
        ("epochs=two", "epochs must be an integer of at least 1, got 'two'"),
        ("batch_size=0", "batch_size must be an integer of at least 1, got 0"),
        (
            "batch_size=71",
            "batch_size must be an integer in [1, 70], the size of the training set, got 71",
        ),
        ("seeds=0", "seeds must be an integer of at least 1, or a list, got 0"),
        ("seeds=-1", "seeds must be an integer of at least 1, or a list, got -1"),
        ("seeds=true", "seeds must be a list, or a valid integer, got True"),
        ("seeds=1.5", "seeds must be a list, or a valid integer, got 1.5"),
        ("seeds=[]", "seeds must be different integers of at least 0, got []"),
        ("seeds=[1, 1]", "seeds must be different integers of at least 0, got [1, 1]"),
        ("seeds=[0, -1]", "seeds must be different integers of at least 0, got [0, -1]"),
        ("seeds=[0, true]", "seeds[1] must be a valid integer, got True"),
        ("seeds=[0, 2.0]", "seeds[1] must be a valid integer, got 2.0"),
        ("seeds=['0']", "seeds[0] must be a valid integer, got '0'"),
        ("target_accuracy=1.5", "target_accuracy must be a number in (0, 1], got 1.5"),
        ("target_accuracy=0", "target_accuracy must be a number in (0, 1], got 0"),
        ("target_accuracy=nan", "target_accuracy must be a number in (0, 1], got nan"),
        ("name=a/b", f"{NAME}, got 'a/b'"),
        ("name='..'", f"{NAME}, got '..'"),
        ("name=''", f"{NAME}, got ''"),
        ('name="a\\nb"', f"{NAME}, got 'a\\nb'"),
        ("name=3", "name must be a valid string, got 3"),
        ("arms={}", "arms must have at least one arm, got none"),
        ("arms=3", "arms must be a section, got 3"),
        (
            "arms.constant=0.1",
            "arms.constant must be a section {name = ..., <arguments>}, got 0.1; "
            f"names: {SCHEDULES}",
        ),
        (
            "data=digits",
            "data must be a section {name = ..., <arguments>}, got 'digits'; "
            "names: digits, fashion_mnist",
        ),
        (
            "data.name=digit",
            "data.name: unknown data 'digit'; did you mean 'digits'? "
            "allowed: digits, fashion_mnist",
        ),
        ("data.size=3", "data.size: unknown key; allowed: name"),
        ("model.name=cmn", "model.name: unknown model 'cmn'; did you mean 'cnn'? allowed: cnn"),
        ("model.classes=3", "model.classes: unknown key; allowed: name, hidden"),
        (
            "optimizer.name=addam",
            "optimizer.name: unknown optimizer 'addam'; did you mean 'adam'? allowed: "
            "sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw",
        ),
        (
            "optimizer={name = 'momentum', momentum = 1.5}",
            "optimizer.momentum must be a number in [0, 1), got 1.5",
        ),
        ("optimizer.schedule=0.1", "optimizer.schedule: unknown key; allowed: name"),
        (
            "arms.constant.name=constat",
            "arms.constant.name: unknown schedule 'constat'; did you mean 'constant'? "
            f"allowed: {SCHEDULES}",
        ),
        ("arms.constant.value=nan", "arms.constant.value must be a number of at least 0, got nan"),
        ("arms.constant.value=-1", "arms.constant.value must be a number of at least 0, got -1"),
        (
            "arms.plateau.when.patience=-1",
            "arms.plateau.when.patience must be an integer of at least 0, got -1",
        ),
        (
            "arms.plateau.when.name=platau",
            "arms.plateau.when.name: unknown trigger 'platau'; did you mean 'plateau'? "
            f"allowed: {TRIGGERS}",
        ),
        (
            "arms.plateau.how.factor=1.5",
            "arms.plateau.how.factor must be a number in (0, 1], got 1.5",
        ),
        (
            "arms.plateau.how.name=multipli",
            "arms.plateau.how.name: unknown decay 'multipli'; did you mean 'multiply'? "
            f"allowed: {DECAYS}",
        ),
        (
            "arms.plateau.when.monitor=val_acc",
            "arms.plateau: unknown monitor 'val_acc'; did you mean 'val_accuracy'? "
            "allowed: value, val_loss, val_accuracy, grad_norm, param_norm, grad_alignment",
        ),
    ],
)
def test_a_mistake_is_one_line_with_field_value_and_what_is_allowed(setting, problem):
    arms = PLATEAU + "[arms.constant]\nname='constant'\nvalue=0.1"
    assert problems_of(setting, arms=arms) == [problem]


def test_all_mistakes_are_told_at_once():
    settings = (
        "epoch=3",
        "batch_size=0",
        "seeds=0",
        "name=a/b",
        "data.name=digit",
        "model.depth=3",
        "optimizer.nesterov=true",
        "arms.plateau.when.patience=-1",
        "arms.plateau.base={name = 'step', init_value = 0.1, decay_fraction = 0.01}",
        "arms.constant.value=x",
    )
    found = problems_of(*settings, arms=PLATEAU + "[arms.constant]\nname='constant'")
    # And none that would not be there but for another, such as that of a share of an unknown run.
    assert [problem.partition(":")[0].partition(" must")[0] for problem in found] == [
        *("batch_size", "epoch", "name", "seeds"),
        *("data.name", "model.depth", "optimizer.nesterov"),
        *("arms.plateau.when.patience", "arms.constant.value"),
    ]


def test_everything_missing_is_told():
    with pytest.raises(ConfigError) as error:
        plan({"name": "empty"})
    needed = ("epochs", "data", "model", "optimizer", "arms")
    assert error.value.problems == tuple(f"{name} is missing" for name in needed)


def test_data_that_is_not_there_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "_SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setenv("LRDECAY_DATA", str(tmp_path / "mine"))
    (problem,) = problems_of("data={name = 'fashion_mnist'}")
    assert problem.startswith(f"data: no folder of {tmp_path / 'mine'}, ")
    assert "set LRDECAY_DATA" in problem


def test_the_resolved_configuration_holds_every_default():
    raw = tiny.config("optimizer.name=momentum", arms=PLATEAU)
    del raw["target_accuracy"]
    assert plan(raw).resolved == {
        "name": "tiny",
        "epochs": 3,
        "data": {"name": "tiny:data"},
        "model": {"name": "tiny:model", "hidden": [8]},
        "optimizer": {"name": "momentum", "momentum": 0.9},
        "arms": {
            "plateau": {
                "name": "loss_aware",
                "base": 0.1,
                "when": {
                    "name": "plateau",
                    "patience": 2,
                    "rtol": 1e-4,
                    "atol": 0.0,
                    "cooldown": 0,
                    "window": 1,
                    "mode": "max",
                    "monitor": "val_accuracy",
                    "grace": 0,
                    "convention": "optax",
                },
                "how": {"name": "multiply", "factor": 0.5, "floor": 0.0},
            }
        },
        "seeds": [0, 1],
        "batch_size": 16,
        "target_accuracy": 0.95,
        "placement": {},
        "successive_halving": None,
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_resolved_configuration_is_one_and_resolves_to_itself(path, fashion_mnist_in_name):
    resolved = plan(read(path)).resolved
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    assert plan(resolved).resolved == resolved


def test_defaults_that_json_does_not_have_are_the_same_every_time():
    config = tiny.config(f'model.name="{HERE}:untouched_model"')
    model = {"name": f"{HERE}:untouched_model", "sizes": [1, 2], "activation": "relu"}
    assert plan(config).resolved["model"] == model


def test_loading_gives_the_data_and_says_what_is_wrong_with_it():
    loaded = plan(tiny.config()).load()
    np.testing.assert_array_equal(loaded.train.labels, tiny.data().load().train.labels)
    with pytest.raises(ConfigError, match=r"^data: images.gz is damaged$"):
        plan(tiny.config('data.name="tiny:damaged"')).load()
    with pytest.raises(ConfigError, match=r"train_size = 71, and loads 70 training examples$"):
        plan(tiny.config('data.name="tiny:liar"')).load()
