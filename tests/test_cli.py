"""The command line as a whole: what answers at once, and how."""

import subprocess
import sys

import pytest

from lrdecay.cli import main

HEAVY = "{'jax', 'numpy', 'optax', 'rich', 'matplotlib', 'pydantic'}"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        ([], 2),
        (["rum"], 2),
        *(([command, "--help"], 0) for command in ("run", "replay", "list", "plot")),
        (["list", "schedul"], 2),
        (["run", "none.toml"], 2),
        (["replay", "none.csv", "--column", "loss"], 2),
        (["replay", "none.csv", "--column", "loss", "--out", "figure.gif"], 2),
        (["plot", "none.toml"], 2),
    ],
)
def test_help_and_the_commonest_mistakes_load_nothing(arguments, code):
    program = f"""
import sys
from lrdecay.cli import main
try:
    code = main({arguments})
except SystemExit as exit:
    code = exit.code
print(code, sorted({HEAVY} & set(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == f"{code} []"
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("module", ["rich", "pydantic", "matplotlib"])
def test_without_the_extra_it_says_what_to_install(module):
    program = f"""
import sys
sys.modules[{module!r}] = None
from lrdecay.cli import main
sys.exit(main(["run", "digits"]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr == f'lrdecay: {module} is not installed: pip install "lrdecay[study]"\n'


def test_a_missing_log_is_named(capsys):
    assert main(["replay", "none.csv", "--column", "loss"]) == 2
    assert (
        capsys.readouterr().err == "lrdecay: none.csv: cannot be read: No such file or directory\n"
    )


def test_a_log_that_cannot_be_read_does_not_wait_for_jax(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,los\n1,2\n")
    program = f"""
import sys
from lrdecay.cli import main
print(main(["replay", {str(path)!r}, "--column", "loss"]), "jax" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "2 False\n"


def test_a_factory_of_the_users_own_is_found_in_the_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_rates.py").write_text(
        "def steady(value: float = 0.25):\n    return lambda t: value\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["plot", "my_rates:steady", "my_rates:steady:0.5"]) == 0
    text = capsys.readouterr().out
    assert "0.25" in text
    assert "0.5" in text
