"""The README's own lines: its Python runs, its configuration plans, its files are there."""

import re
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from lrdecay.study.plan import plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@jax.numpy_dtype_promotion("standard")  # as a reader has it
def test_its_python_runs_and_does_what_it_says(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {}
    first, second, third, fourth = blocks("python")
    exec(first, names)
    assert names["lrdecay"].learning_rate(names["opt_state"]) == 0.0  # the first step of a warmup
    exec(second, names)
    assert names["lrdecay"].learning_rate(names["opt_state"]) == np.float32(0.1)
    assert names["lrdecay"].watched(names["opt_state"]) == ("accuracy",)
    exec(third, names)
    said = re.search(r"# (rate .*)", third)
    assert said is not None
    assert capsys.readouterr().out.strip() == said[1]
    exec(fourth, names)
    assert capsys.readouterr().out.startswith("[")
    assert len(names["replayed"].learning_rate) == len(names["curve"]) + 1


def test_its_configuration_plans():
    (config,) = blocks("toml")
    study = plan({"name": "study", **tomllib.loads(config)})
    assert [arm.name for arm in study.arms] == ["constant", "cosine", "plateau"]


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:configs|experiments)/[\w/.]*\w", README)))
)
def test_what_it_points_to_is_there(path):
    assert (ROOT / path).exists()
