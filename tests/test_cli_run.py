"""The command line, as a user meets it."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import lrdecay
from lrdecay.cli import main
from lrdecay.study import run as run_module
from lrdecay.study.history import load

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RESULTS = {
    *("study.json", "history.npz", "metrics.jsonl"),
    *("summary.json", "report.html", "curves.svg"),
}

PLATEAU = """
[arms.plateau]
name = "loss_aware"
base = 0.3
when = {name = "plateau", monitor = "val_accuracy", mode = "max", patience = 1}
how = {name = "multiply", factor = 0.5}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory, but for the file of a study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "study.toml").write_text(tiny.TOML + PLATEAU)
    return tmp_path


def stamps(path):
    return {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in path.rglob("*") if f.is_file()}


def names_in(path):
    return {f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file()}


def refused(capsys, *argv):
    """The lines of an error: exit code 2, nothing on the standard output, nothing written."""
    before = stamps(Path())
    assert main(["run", *argv]) == 2
    assert stamps(Path()) == before
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert all(line.startswith("lrdecay: ") for line in lines)
    return [line.removeprefix("lrdecay: ") for line in lines]


# Without JAX


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--help"], 0, "usage: lrdecay"),
        (["run", "--help"], 0, "--overwrite"),
        (["--version"], 0, lrdecay.__version__),
        ([], 2, "COMMAND"),
        (["ran"], 2, "invalid choice: 'ran'"),
        (["run"], 2, "the following arguments are required: config\n"),
        (["run", "study.toml", "--outt", "x"], 2, "unrecognized arguments: --outt"),
        (["run", "nowhere.toml"], 2, "lrdecay: nowhere.toml: no such file"),
        (["run", "."], 2, "lrdecay: .: cannot be read: Is a directory\n"),
        (["run", "broken.toml"], 2, "lrdecay: broken.toml: not TOML: "),
        (["run", "study.toml", "epochs"], 2, "double quotes, got 'epochs'\n"),
    ],
    ids=lambda x: " ".join(x) or "nothing" if isinstance(x, list) else "",
)
def test_help_and_the_commonest_mistakes_answer_without_jax(folder, argv, code, words):
    (folder / "broken.toml").write_text("epochs 3")
    script = (
        "import sys\n"
        "from lrdecay.cli import main\n"
        "try:\n"
        f"    code = main({argv!r})\n"
        "except SystemExit as stop:\n"
        "    code = stop.code\n"
        "heavy = {'jax', 'numpy', 'pydantic', 'rich', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_is_installed_and_the_versions_agree():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="lrdecay")
    assert entry.load() is main
    assert importlib.metadata.version("lrdecay") == lrdecay.__version__


# A study


def test_a_study_shows_its_plan_then_runs_and_leaves_its_folder(folder, capsys):
    assert main(["run", "study.toml", "seeds=3"]) == 0
    shown = capsys.readouterr().out
    plan, _, results = shown.partition("constant: done")
    words = " ".join(plan.split())
    assert "constant(value=0.1)" in words
    assert "when=plateau(patience=1, rtol=0.0001," in words
    assert "2 arms x 3 seeds = 6 runs of 12 steps (3 epochs of 4, batches of 16)" in words
    assert "into runs/tiny" in words
    assert "plateau: done" in results
    assert "Report: runs/tiny/report.html" in results
    study = folder / "runs" / "tiny"
    assert names_in(study) == RESULTS
    assert load(study / "history.npz").loss.shape == (2, 3, 12)
    assert len((study / "metrics.jsonl").read_text().splitlines()) == 2 * 3 * 3
    summary = json.loads((study / "summary.json").read_text())
    assert [arm["name"] for arm in summary["arms"]] == ["constant", "plateau"]
    assert summary["steps"] == 6 * 12
    assert summary["config"] == json.loads((study / "study.json").read_text())["config"]
    assert summary["config"]["seeds"] == [0, 1, 2]
    assert summary["config"]["model"]["hidden"] == [8]
    assert set(summary["versions"]) >= {"lrdecay", "jax", "python", "device"}
    # The table is that of the record.
    accuracy = 100 * load(study / "history.npz").test_accuracy.mean(1)
    for name, mean in zip(("constant", "plateau"), accuracy, strict=True):
        assert f" {name} {mean:.2f} ± " in " ".join(results.split())


def test_the_summary_is_written_last(folder):
    main(["run", "study.toml"])
    study = folder / "runs" / "tiny"
    times = {name: (study / name).stat().st_mtime_ns for name in RESULTS}
    assert max(times, key=times.__getitem__) == "summary.json"
    assert min(times, key=times.__getitem__) == "study.json"


def test_a_finished_study_says_so_and_rewrites_nothing(folder, capsys):
    main(["run", "study.toml"])
    before, first = stamps(folder), capsys.readouterr().out
    assert main(["run", "study.toml"]) == 0
    again = capsys.readouterr().out
    assert stamps(folder) == before
    assert "This study is done. Report: runs/tiny/report.html" in again
    table = [line for line in first.splitlines() if " ± " in line]
    assert len(table) == 2 + 1  # the arms and the caption
    assert [line for line in again.splitlines() if " ± " in line] == table


def stop_in_wave(monkeypatch, n):
    """Makes the n-th wave of a study fail like Ctrl-C, after its first epoch."""
    real, left = run_module.train, iter(range(n - 1))

    def train(*args):
        if next(left, None) is not None:
            return real(*args)
        *others, told = args

        def interrupt(*what):
            told(*what)
            raise KeyboardInterrupt

        return real(*others, interrupt)

    monkeypatch.setattr(run_module, "train", train)


@pytest.mark.parametrize("n", [1, 2])
def test_a_stopped_study_goes_on_with_the_same_command(folder, capsys, monkeypatch, n):
    two = ["run", "study.toml", "placement.groups=2"]
    main([*two, "--out", "whole"])
    with monkeypatch.context() as context:
        stop_in_wave(context, n)
        capsys.readouterr()
        assert main([*two, "--out", "halves"]) == 130
    assert capsys.readouterr().err == "lrdecay: stopped; the same command goes on from here\n"
    assert names_in(folder / "halves") == {
        "study.json",
        *[f"runs/{arm}-{seed}.npz" for arm in range(n - 1) for seed in (0, 1)],
    }
    assert main([*two, "--out", "halves"]) == 0
    assert names_in(folder / "halves") == RESULTS
    whole, halves = (np.load(folder / name / "history.npz") for name in ("whole", "halves"))
    assert whole.files == halves.files
    assert all(whole[name].tobytes() == halves[name].tobytes() for name in whole.files)
    logs = [(folder / name / "metrics.jsonl").read_bytes() for name in ("whole", "halves")]
    assert logs[0] == logs[1]
    summary = json.loads((folder / "halves" / "summary.json").read_text())
    assert summary["steps"] == (4 - 2 * (n - 1)) * 12


def test_stopped_with_overwrite_it_goes_on_without(folder, capsys, monkeypatch):
    stop_in_wave(monkeypatch, 1)
    assert main(["run", "study.toml", "--overwrite"]) == 130
    assert "the command without --overwrite goes on from here" in capsys.readouterr().err


def test_another_study_is_refused_and_overwritten_on_demand(folder, capsys):
    main(["run", "study.toml"])
    capsys.readouterr()
    study = folder / "runs" / "tiny"
    (study / "notes.txt").write_text("mine")
    assert refused(capsys, "study.toml", "epochs=2", "arms.constant.value=0.2") == [
        "runs/tiny holds another study (different: config.epochs, config.arms.constant.value): "
        "give another --out, or --overwrite to delete it"
    ]
    assert main(["run", "study.toml", "epochs=2", "--overwrite"]) == 0
    assert load(study / "history.npz").loss.shape == (2, 2, 8)
    assert names_in(study) == RESULTS | {"notes.txt"}
    assert (study / "notes.txt").read_text() == "mine"


def test_files_that_are_no_studys_are_safe(folder, capsys):
    thesis = folder / "thesis"
    thesis.mkdir()
    (thesis / "report.html").write_text("years of work")
    for more in ([], ["--overwrite"]):
        assert refused(capsys, "study.toml", "--out", "thesis", *more) == [
            "--out must be a new folder or a study's, got thesis with other files"
        ]


def test_a_study_that_retires_arms_says_which(folder, capsys):
    study = ["run", "study.toml", "epochs=4", "successive_halving={min_epochs=1}"]
    study += [f"arms.{name}={{name='constant', value={x}}}" for name, x in (("a", 0.0), ("b", 1.0))]
    assert main(study) == 0
    shown = capsys.readouterr().out
    assert "Successive halving: 4 arms to epoch 1, 2 arms to epoch 3, 2 arms to epoch 4." in shown
    out = folder / "runs" / "tiny"
    history = load(out / "history.npz")
    names = np.array(["constant", "plateau", "a", "b"])
    retired = names[history.epochs == 1]
    assert len(retired) == 2
    (line,) = [line for line in shown.splitlines() if line.startswith("retired")]
    assert line == f"retired after epoch 1: {', '.join(retired)}"
    done = [line for line in shown.splitlines() if line.endswith(": done")]
    assert done == [f"{name}: done" for name in names[history.epochs == 4]]
    assert names_in(out) == RESULTS
    summary = json.loads((out / "summary.json").read_text())
    assert summary["steps"] == (4 + 3 * 2) * 2 * 4
    assert summary["config"]["successive_halving"] == {"min_epochs": 1, "reduction_factor": 3}
    assert [arm["retired"] for arm in summary["arms"]] == [
        1 if name in retired else None for name in names
    ]
    table = [line for line in shown.splitlines() if "±" in line]
    assert main(study) == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if "±" in line] == table


# Settings and files


def test_settings_may_follow_options(folder, capsys):
    for argv in (
        ["study.toml", "--out", "x", "epochs=0", "seeds=0"],
        ["--out", "x", "study.toml", "epochs=0", "seeds=0"],
        ["study.toml", "epochs=0", "--overwrite", "seeds=0"],
    ):
        assert refused(capsys, *argv) == [
            "epochs must be an integer of at least 1, got 0",
            "seeds must be an integer of at least 1, or a list, got 0",
        ]


@pytest.mark.parametrize("name", ["digits", "digits.toml", "fashion_mnist"])
def test_a_configuration_that_ships_is_found_by_name(folder, capsys, name):
    (folder / "digits").mkdir()  # a folder of that name is in nobody's way
    (problem,) = refused(capsys, name, "epochs=0")
    assert problem == "epochs must be an integer of at least 1, got 0"


def test_a_file_goes_before_what_ships(folder, capsys):
    (folder / "digits.toml").write_text(tiny.TOML)
    assert main(["run", "digits.toml", "seeds=1"]) == 0
    assert (folder / "runs" / "tiny" / "report.html").exists()


def test_a_path_is_no_name_of_what_ships(folder, capsys):
    assert refused(capsys, "mine/digits.toml") == [
        "mine/digits.toml: cannot be read: No such file or directory"
    ]
    assert refused(capsys, "digit") == [
        "digit: no such file, nor one that ships; did you mean 'digits'? "
        "allowed: digits, digits_peak, fashion_mnist"
    ]


def test_every_mistake_is_a_line_and_nothing_is_loaded_or_written(folder, capsys):
    settings = (
        "data.name=tiny:damaged",  # would say so if it were loaded
        "epoch=3",
        "seeds=true",
        "optimizer.name=addam",
        "arms.plateau.when.patience=-1",
        "arms.plateau.how.factor=1.5",
        "arms.constant.value=nan",
        "model.name=tiny:nothing",
    )
    problems = refused(capsys, "study.toml", *settings)
    fields = [problem.partition(":")[0].partition(" must")[0] for problem in problems]
    assert fields == [
        *("seeds", "epoch", "model.name", "optimizer.name"),
        *("arms.constant.value", "arms.plateau.when.patience", "arms.plateau.how.factor"),
    ]


def test_damaged_data_is_a_line_and_nothing_is_written(folder, capsys):
    before = stamps(folder)
    assert main(["run", "study.toml", "data.name=tiny:damaged"]) == 2
    out, err = capsys.readouterr()
    assert "constant(value=0.1)" in out  # the plan was shown
    assert err == "lrdecay: data: images.gz is damaged\n"
    assert stamps(folder) == before
    assert not (folder / "runs").exists()


# What a user brings


def test_factories_in_the_working_directory_are_found(folder, capsys):
    (folder / "my_parts.py").write_text(
        """
import lrdecay
import optax
import tiny

def data(): return tiny.data()
def model(classes, width=4): return tiny.model(classes, (width,))
def optimizer(schedule, beta=0.5):
    return lrdecay.with_learning_rate(optax.sgd, schedule, momentum=beta)
def hyperbola(peak): return lambda step: peak / (1 + step).astype("float32")
def never(): return lambda fires, since: 1.0
"""
    )
    (folder / "mine.toml").write_text(
        """
epochs = 1
seeds = 1
batch_size = 16
data = {name = "my_parts:data"}
model = {name = "my_parts:model", width = 5}
optimizer = {name = "my_parts:optimizer"}
[arms.mine]
name = "loss_aware"
base = {name = "my_parts:hyperbola", peak = 0.5}
when = {name = "plateau", patience = 1}
how = {name = "my_parts:never"}
"""
    )
    assert main(["run", "mine.toml"]) == 0
    rates = load(folder / "runs" / "mine" / "history.npz").learning_rate
    np.testing.assert_allclose(rates, [[[0.5 / (1 + t) for t in range(4)]]], rtol=1e-6)
    config = json.loads((folder / "runs" / "mine" / "study.json").read_text())["config"]
    assert config["model"] == {"name": "my_parts:model", "width": 5}
    assert config["optimizer"] == {"name": "my_parts:optimizer", "beta": 0.5}


def test_names_are_shown_as_they_are(folder, capsys):
    (folder / "odd.toml").write_text(
        tiny.TOML.partition("[arms")[0]
        + "".join(
            f"[arms.{name!r}]\nname = 'join'\nboundaries = [2]\n"
            "schedules = [0.1, {name = 'constant', value = 0.2}]\n"
            for name in ("[/red]", ":smile:")
        )
    )
    assert main(["run", "odd.toml", "epochs=1", "seeds=1", "--out", "x" * 120]) == 0
    out = capsys.readouterr().out
    assert "│ [/red]  │ join(schedules=[0.1, constant(value=0.2)], boundaries=[2]) │" in out
    assert "\n:smile:: done\n" in out
    assert f"Report: {'x' * 120}/report.html\n" in out  # in one piece, to be copied
