"""A study's folder: whose it is, and what is in it if the power fails at any moment."""

import contextlib
import json
from pathlib import Path

import pytest

from lrdecay.study.config import ConfigError
from lrdecay.study.folder import Folder, write_atomically, write_json

STUDY = {
    "config": {"epochs": 1, "arms": {"a": {"value": 1}, "b": {"value": 2}}},
    "versions": {"jax": "1"},
}
RESULTS = {
    *("study.json", "history.npz", "metrics.jsonl"),
    *("report.html", "curves.svg", "summary.json"),
}
OTHER = STUDY | {"config": STUDY["config"] | {"epochs": 2}}


def contents(path):
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def refusal(folder, study, overwrite=False):
    before = contents(folder.path)
    with pytest.raises(ConfigError) as error:
        folder.check(study, overwrite)
    assert contents(folder.path) == before
    (problem,) = error.value.problems
    assert "\n" not in problem
    return problem


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "runs" / "study")


@pytest.fixture
def begun(folder):
    folder.check(STUDY, overwrite=False)
    folder.open(STUDY, overwrite=False)
    (folder.runs / "0-0.npz").write_bytes(b"a run")
    return folder


def finish(folder):
    folder.history.write_bytes(b"history")
    folder.metrics.write_bytes(b"metrics")
    folder.finish(report="report", figure="figure", summary={"seconds": 1})


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, lambda p: p.write_text("old"))

    def half(temporary):
        temporary.write_text("ne")
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, half)
    assert path.read_text() == "old"
    write_atomically(path, lambda p: p.write_text("new"))
    assert contents(tmp_path) == {"file.txt": b"new"}


def test_json_is_strict(tmp_path):
    path = tmp_path / "file.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert contents(tmp_path) == {}


def test_checking_a_new_folder_makes_nothing(folder):
    folder.check(STUDY, overwrite=False)
    assert not folder.path.parent.exists()
    folder.path.mkdir(parents=True)
    folder.check(STUDY, overwrite=False)
    assert contents(folder.path) == {}
    assert not folder.done


def test_the_same_study_may_go_on(begun):
    before = contents(begun.path)
    begun.check(STUDY, overwrite=False)
    begun.open(STUDY, overwrite=False)
    assert contents(begun.path) == before
    assert json.loads(begun.study.read_text()) == STUDY


def test_another_study_is_refused_by_what_differs(begun):
    assert refusal(begun, OTHER) == (
        f"{begun.path} holds another study (different: config.epochs): "
        "give another --out, or --overwrite to delete it"
    )
    newer = {"config": {"epochs": 1, "arms": {"a": {"value": 3}, "c": {}}}, "versions": {"jax": 2}}
    assert (
        "(different: config.arms.a.value, config.arms.c, config.arms.b, versions.jax)"
        in refusal(begun, newer)
    )


def test_arms_in_another_order_are_another_study(begun):
    arms = dict(reversed(STUDY["config"]["arms"].items()))
    swapped = STUDY | {"config": STUDY["config"] | {"arms": arms}}
    assert swapped == STUDY
    assert "(different: order of config.arms)" in refusal(begun, swapped)


def test_overwriting_deletes_the_other_study_and_nothing_else(begun):
    finish(begun)
    begun.runs.mkdir()
    (begun.runs / "0-1.npz").write_bytes(b"an old run")
    foreign = {"notes.txt": b"mine", "runs/notes.txt": b"mine too", "sub/history.npz": b"x"}
    for name, content in foreign.items():
        (begun.path / name).parent.mkdir(exist_ok=True)
        (begun.path / name).write_bytes(content)
    begun.check(OTHER, overwrite=True)
    begun.open(OTHER, overwrite=True)
    assert not begun.done
    found = contents(begun.path)
    assert json.loads(found.pop("study.json")) == OTHER
    assert found == foreign
    finish(begun)
    assert begun.done
    assert foreign.items() <= contents(begun.path).items()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "x"},
        {"runs/0-0.npz": "x"},
        {"summary.json": "{}"},
        {"study.json": '{"patients": 3}', "report.html": "x"},
        {"study.json": "[1]"},
        {"study.json": "broken"},
    ],
    ids=lambda files: ", ".join(files) if isinstance(files, dict) else None,
)
def test_files_that_are_no_studys_are_never_touched(folder, files, overwrite):
    for name, content in files.items():
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).write_text(content)
    assert refusal(folder, STUDY, overwrite) == (
        f"--out must be a new folder or a study's, got {folder.path} with other files"
    )


@pytest.mark.parametrize("name", [".", "deeper/still"])
def test_a_file_is_no_folder(tmp_path, name):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / name
    assert refusal(Folder(path), STUDY, overwrite=True) == (
        f"--out must be a folder that can be written, got {path}"
    )


def test_a_study_is_done_when_its_summary_is_there(begun):
    begun.history.write_bytes(b"history")
    begun.metrics.write_bytes(b"metrics")
    with pytest.raises(UnicodeEncodeError):
        begun.finish(report="report", figure="\ud800", summary={})
    assert not begun.done
    assert (begun.runs / "0-0.npz").exists()
    finish(begun)
    assert begun.done
    assert contents(begun.path).keys() == RESULTS
    assert not begun.runs.exists()


class PowerFailure(BaseException):
    """Nothing catches it."""


@pytest.fixture
def fail_at(monkeypatch):
    """Makes the n-th change of the disk fail, before or after it is done."""
    real = {name: getattr(Path, name) for name in ("mkdir", "write_text", "replace", "unlink")}

    def arm(n, after):
        left = iter(range(n))

        def failing(name):
            def change(*args, **kwargs):
                last = next(left, None) is None
                if last and not after:
                    raise PowerFailure
                result = real[name](*args, **kwargs)
                if last:
                    raise PowerFailure
                return result

            return change

        for name in real:
            monkeypatch.setattr(Path, name, failing(name))

    return arm, monkeypatch.undo


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("n", range(12))
@pytest.mark.parametrize("state", ["new", "begun", "done"])
def test_stopped_at_any_change_it_goes_on(folder, fail_at, state, n, after):
    if state != "new":
        folder.open(OTHER, overwrite=False)
        (folder.runs / "0-0.npz").write_bytes(b"of the other")
    if state == "done":
        finish(folder)
    arm, disarm = fail_at
    arm(n, after)
    overwrite = state != "new"
    with contextlib.suppress(PowerFailure):
        folder.open(STUDY, overwrite)
    disarm()
    if folder.done:  # it is the other study still, and whole
        assert contents(folder.path).keys() >= RESULTS
        assert json.loads(folder.study.read_text()) == OTHER
    again = Folder(folder.path)
    again.check(STUDY, overwrite)
    again.open(STUDY, overwrite)
    assert contents(folder.path).keys() <= {"study.json", ".part-study.json"}
    assert json.loads(folder.study.read_text()) == STUDY


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("n", range(9))
def test_stopped_while_finishing_it_is_done_or_goes_on(begun, fail_at, n, after):
    begun.history.write_bytes(b"history")
    begun.metrics.write_bytes(b"metrics")
    arm, disarm = fail_at
    arm(n, after)
    with contextlib.suppress(PowerFailure):
        begun.finish(report="report", figure="figure", summary={"seconds": 1})
    disarm()
    Folder(begun.path).check(STUDY, overwrite=False)
    found = contents(begun.path)
    if begun.done:
        results = {"report.html": b"report", "curves.svg": b"figure"}
        assert results.items() <= found.items()
        assert json.loads(found["summary.json"]) == {"seconds": 1}
    else:
        assert found["runs/0-0.npz"] == b"a run"
