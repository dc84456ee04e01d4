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
def test_its_python_runs_and_applies_the_first_rates():
    names = {}
    first, second = blocks("python")
    exec(first, names)
    assert names["lrdecay"].learning_rate(names["opt_state"]) == 0.0  # the first step of a warmup
    exec(second, names)
    assert names["lrdecay"].learning_rate(names["opt_state"]) == np.float32(0.1)
    assert names["lrdecay"].watched(names["opt_state"]) == ("accuracy",)


def test_its_configuration_plans():
    (config,) = blocks("toml")
    study = plan({"name": "study", **tomllib.loads(config)})
    assert [arm.name for arm in study.arms] == ["constant", "cosine", "plateau"]


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:configs|experiments)/[\w/.]*\w", README)))
)
def test_what_it_points_to_is_there(path):
    assert (ROOT / path).exists()
