"""`fatwood tune` from outside, and what the other commands make of its table."""
import hashlib
import json
import os
import signal
import subprocess
import time

import pytest

from program import PROGRAM, WAIT_SECONDS, fatwood, refused

SMALL = ["--model", "cnn", "--threads", 1]


def tune(table, *args):
    result = fatwood("tune", *SMALL, "--batch-size", 4, "--seconds", 0.01, "-o", table, *args)
    assert result.returncode == 0, result.stderr
    return result


def plan(*args):
    """What runs each layer, and with what or why."""
    result = fatwood("summary", *SMALL, "--batch-size", 4, "--plan", *args)
    assert result.returncode == 0, result.stderr
    return [tuple(cell.strip() for cell in line.strip("|").split("|"))[2:] for line in result.stdout.splitlines()[2:]]


def force(table, runs):
    """The table with every entry changed to `runs`."""
    text = table.read_text()
    table.write_text(text.replace('"runs":"kernels"', f'"runs":"{runs}"').replace('"runs":"torch"', f'"runs":"{runs}"'))


def test_tune_prints_and_writes_what_summary_then_shows(tmp_path):
    table = tmp_path / "tuning.json"
    result = tune(table)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["Layer", "Shape", "Input", "Kernels", "ms", "LibTorch", "ms", "Ratio", "Chosen"]
    assert [line.split()[0] for line in lines[1:6]] == [f"layers.{i}" for i in range(5)]
    written = json.loads(table.read_text())
    assert (written["kind"], written["format"], len(written["entries"])) == ("fatwood tuning", 1, 5)
    assert all(entry["threads"] == 1 and entry["batch"] == 4 and entry["kernels_ms"] > 0 for entry in written["entries"])
    assert str(table) in result.stderr and [path.name for path in tmp_path.iterdir()] == ["tuning.json"]
    assert all("tuned: kernels " in why for _, why in plan("--tuning", table))
    assert not any("tuned:" in why for _, why in plan("--tuning", "none"))


def test_entries_decide_in_both_directions(tmp_path):
    table = tmp_path / "tuning.json"
    tune(table)
    force(table, "torch")
    assert {runs for runs, _ in plan("--tuning", table)} == {"LibTorch"}
    force(table, "kernels")
    assert all(runs.startswith("kernels, ") for runs, _ in plan("--tuning", table))


def test_the_variable_and_the_cache_folder_are_looked_at(tmp_path):
    cached = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    cached.pop("FATWOOD_TUNING", None)
    small = [PROGRAM, "tune", *map(str, SMALL), "--batch-size", "4", "--seconds", "0"]
    subprocess.run(small, env=cached, check=True, capture_output=True)
    table = tmp_path / "fatwood" / "tuning.json"
    show = [PROGRAM, "summary", *map(str, SMALL), "--batch-size", "4", "--plan"]
    for environment in (cached, {**cached, "XDG_CACHE_HOME": "/nowhere", "FATWOOD_TUNING": str(table)}):
        shown = subprocess.run(show, env=environment, check=True, capture_output=True, text=True).stdout
        assert "tuned: kernels " in shown
    shown = subprocess.run(show, env={**cached, "FATWOOD_TUNING": "none"}, check=True, capture_output=True, text=True).stdout
    assert "tuned:" not in shown


def test_a_run_names_the_table_it_was_given(tiny_mnist, tmp_path):
    table = tmp_path / "tuning.json"
    tune(table)
    digest = hashlib.sha256(table.read_bytes()).hexdigest()[:16]
    for variable, named in ((str(table), digest), ("none", None)):
        run = tmp_path / f"run-{named}"
        result = fatwood("train", *SMALL, "--epochs", 1, "--data", tiny_mnist, "--output", run, env={**os.environ, "FATWOOD_TUNING": variable})
        assert result.returncode == 0, result.stderr
        assert json.loads((run / "args.json").read_text())["machine"].get("tuning") == named


def test_a_second_tune_adds_and_replaces(tmp_path):
    table = tmp_path / "tuning.json"
    tune(table)
    tune(table, "--batch-size", "4,8")
    assert len(json.loads(table.read_text())["entries"]) == 10


def test_ctrl_c_leaves_the_table_as_it_was(tmp_path):
    table = tmp_path / "tuning.json"
    tune(table)
    before = table.read_bytes()
    process = subprocess.Popen([PROGRAM, "tune", "--batch-size", "64", "--seconds", "600", "-o", str(table)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "residual_cnn, batch 64" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130 and "as it was" in stderr, stderr
    assert table.read_bytes() == before and list(tmp_path.iterdir()) == [table]


@pytest.mark.parametrize("text, words", [
    ("", ["no valid JSON"]),
    ("{", ["no valid JSON"]),
    ("[]", ["found an array, wanted an object"]),
    ('{"kind": "fatwood tuning", "format": 2, "entries": []}', ["found 2, wanted 1"]),
    ('{"kind": "a run", "format": 1, "entries": []}', ["found \"a run\"", "fatwood tuning"]),
    (" " * (4 << 20) + "{}", ["4194306", "4194304"]),
])
def test_a_damaged_table_is_one_error_before_anything_is_written(text, words, tiny_mnist, tmp_path):
    table = tmp_path / "bad.json"
    table.write_text(text)
    run = tmp_path / "run"
    refused(fatwood("train", *SMALL, "--data", tiny_mnist, "--output", run, "--tuning", table), 3, table, *words)
    assert not run.exists()
    refused(fatwood("summary", "--plan", "--tuning", table), 3, table, *words)
    refused(fatwood("tune", *SMALL, "-o", table), 3, table, *words)
    assert table.read_text() == text


@pytest.mark.parametrize("args, code, words", [
    (["--batch-size", "0"], 2, ["--batch-size", "0"]),
    (["--batch-size", "many"], 2, ["--batch-size"]),
    (["--threads", "-1"], 2, ["--threads", "-1"]),
    (["--seconds", "nan"], 2, ["--seconds", "nan"]),
    (["--amp", "fp16"], 2, ["--amp", "fp16"]),
    (["--model", "alexnet"], 2, ["alexnet"]),
    (["--input", "28"], 2, ["--input", "CxHxW"]),
    (["--input", "1x64x64", "--model", "cnn"], 4, ["(512, 10, 2, 2)"]),
    (["-o", "/nowhere/t.json"], 5, ["/nowhere"]),
    (["-o", "/tmp"], 2, ["/tmp", "folder"]),
    (["-o", "none"], 2, ["--output none"]),
])
def test_bad_arguments_of_tune_get_one_clear_error(args, code, words, tmp_path):
    output = [] if "-o" in args else ["-o", tmp_path / "t.json"]
    refused(fatwood("tune", *output, *args), code, *words)
    assert not list(tmp_path.iterdir())


def test_a_named_table_that_is_not_there_is_an_error(tmp_path):
    refused(fatwood("summary", "--plan", "--tuning", tmp_path / "t.json"), 5, tmp_path / "t.json")


def test_a_resume_under_another_table_says_that_it_is_not_exact(tiny_mnist, tmp_path):
    table = tmp_path / "tuning.json"
    fatwood("tune", *SMALL, "--batch-size", 50, "--seconds", 0, "-o", table)
    force(table, "kernels")
    run = tmp_path / "run"
    args = [*SMALL, "--epochs", 2, "--batch-size", 50, "--data", tiny_mnist, "--keep", 9]
    assert fatwood("train", *args, "--output", run).returncode == 0
    first = min((run / "checkpoints").glob("*.safetensors"))

    def resumed(*more):
        result = fatwood("train", "--resume", first, "--data", tiny_mnist, "--threads", 1, *more)
        assert result.returncode == 0, result.stderr
        return [line for line in result.stderr.splitlines() if "NOT EXACT" in line]

    assert resumed() == []
    # Entries that say what the built-in table says change nothing.
    assert resumed("--tuning", table) == []
    force(table, "torch")
    [line] = resumed("--tuning", table)
    assert "plan " in line
