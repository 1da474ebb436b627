"""Killed, interrupted and diverged runs from outside: they go on as if nothing had happened, or say why not.

Runs are on a small data set in FashionMNIST's format, so that each takes a second.
"""
import gzip, hashlib, json, os, random, shutil, signal, subprocess, time

import numpy
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from program import PROGRAM, WAIT_SECONDS, fatwood, refused, rows_of, same

SMALL = ["--model", "cnn", "--epochs", "3", "--batch-size", "32", "--checkpoint-steps", "3"]  # 10 batches an epoch


@pytest.fixture
def data(tiny_mnist):
    return tiny_mnist


def start(*args):
    return subprocess.Popen([PROGRAM, "train", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process, run, batches, checkpoints=1):
    """Until the run has that many batches and checkpoints; false when it ended before."""
    deadline = time.time() + WAIT_SECONDS
    while time.time() < deadline and process.poll() is None:
        rows = run / "rows.jsonl"
        if rows.exists() and rows.read_text().count('"batch"') >= batches and len(list(run.glob("checkpoints/step-*.safetensors"))) >= checkpoints:
            return True
        time.sleep(0.002)
    return False


def newest_step(run):
    return max(int(path.name[5:13]) for path in run.glob("checkpoints/step-*.safetensors"))


def restarts(run):
    return [json.loads(line) for line in (run / "restarts.jsonl").read_text().splitlines()]


CASES = {
    "torch": ["--engine", "torch"],
    "fused": [],
    "bf16": ["--engine", "fused", "--amp", "bf16"],
    "sgd with averaged weights": ["--opt", "sgd", "--sched", "cosine", "--warmup-epochs", "0.5", "--lr", "0.05", "--model-ema-decay", "0.9"],
    "accumulation and clipping": ["--engine", "fused", "--grad-accum-steps", "4", "--clip-grad", "1", "--no-decay-norms"],
    "lsuv": ["--init", "lsuv"],
    "early stopping": ["--epochs", "8", "--patience", "0", "--lr", "1e-9"],
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_goes_on_to_the_same_files(name, data, tmp_path):
    args = [*SMALL, "--data", data, *CASES[name]]
    whole = tmp_path / "whole"
    assert fatwood("train", *args, "--output", whole).returncode == 0
    total = sum(row["type"] == "batch" for row in rows_of(whole))
    draw, killed = random.Random(name), 0
    for number in range(3):
        run = tmp_path / f"run{number}"
        process = start(*args, "--output", run)
        if wait_for(process, run, draw.randrange(4, total)):
            process.kill()
        process.communicate()
        if process.returncode == 0:
            same(whole, run)
            continue
        assert process.returncode == -signal.SIGKILL
        killed += 1
        committed = newest_step(run)
        resumed = fatwood("train", "--resume", run)
        assert resumed.returncode == 0, resumed.stderr
        assert f"resuming at step {committed}" in resumed.stderr and "NOT EXACT" not in resumed.stderr
        assert restarts(run)[0]["step"] == committed > 0
        same(whole, run)
    assert killed > 0


def test_a_run_that_is_killed_before_its_first_checkpoint_starts_where_it_started(data, tmp_path):
    weights = tmp_path / "weights"
    assert fatwood("train", "--model", "cnn", "--epochs", 1, "--seed", 5, "--data", data, "--output", weights).returncode == 0
    args = ["--model", "cnn", "--epochs", 1, "--batch-size", 2, "--data", data, "--initial-checkpoint", weights / "model.safetensors"]
    whole = tmp_path / "whole"
    assert fatwood("train", *args, "--output", whole).returncode == 0
    for attempt in range(5):
        run = tmp_path / f"run{attempt}"
        process = start(*args, "--output", run)
        wait_for(process, run, 2, checkpoints=0)
        process.kill()
        process.communicate()
        if not list(run.glob("checkpoints/step-*")):
            break  # else the machine was busy: 150 batches were over before the kill
    else:
        pytest.fail("no run was killed before its first checkpoint")
    resumed = fatwood("train", "--resume", run)
    assert resumed.returncode == 0 and "no checkpoint yet" in resumed.stderr, resumed.stderr
    same(whole, run)


def test_a_reader_that_goes_away_ends_no_run(data, tmp_path):
    run = tmp_path / "run"
    process = start(*SMALL, "--data", data, "--output", run)
    process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=WAIT_SECONDS) == 0
    assert rows_of(run)[-1]["status"] == "completed" and (run / "model.safetensors").exists()


def test_verify_resume_finds_killed_runs_equal_and_cleans_up(data, tmp_path):
    result = fatwood("verify-resume", "--trials", 2, *SMALL, "--data", data, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 of 2 killed runs ended equal" in result.stdout
    assert not list(tmp_path.iterdir())
    here = fatwood("--version").stdout.split("instruction set ")[1].split()[0]
    other = fatwood("verify-resume", "--trials", 1, *SMALL, "--isa", "portable", "--data", data, env={**os.environ, "FATWOOD_ISA": here})
    assert other.returncode == 0, other.stdout + other.stderr
    refused(fatwood("verify-resume", "--output", tmp_path), 2, "--output")


@pytest.mark.parametrize("signal_sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_saves_says_how_to_resume_and_goes_on_exactly(signal_sent, code, data, tmp_path):
    args = [*SMALL, "--epochs", "20", "--data", data]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert fatwood("train", *args, "--output", whole).returncode == 0
    process = start(*args, "--output", run)
    assert wait_for(process, run, 25)
    process.send_signal(signal_sent)
    _, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == code, stderr
    assert f"resume with: fatwood train --resume {run}" in stderr
    step = rows_of(run)[-1]["step"]
    assert newest_step(run) == step and f"step-{step:08d}.safetensors" in stderr
    assert fatwood("diff-runs", whole, run).returncode == 7
    assert fatwood("train", "--resume", "auto", "--output", run).returncode == 0
    assert restarts(run)[0]["step"] == step
    same(whole, run)


def test_a_run_that_is_started_to_ignore_a_signal_does(data, tmp_path):
    """As `nohup` starts it: the terminal's end is not the run's."""
    run = tmp_path / "run"
    ignoring = subprocess.Popen(["env", "--ignore-signal=HUP", PROGRAM, "train", *SMALL, "--epochs", "20", "--data", data, "--output", run],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert wait_for(ignoring, run, 5)
    ignoring.send_signal(signal.SIGHUP)
    _, stderr = ignoring.communicate(timeout=WAIT_SECONDS)
    assert ignoring.returncode == 0, stderr
    assert rows_of(run)[-1]["status"] == "completed"


def test_a_second_signal_ends_at_once_and_leaves_no_torn_file(data, tmp_path):
    """During a step of seconds, which the first signal alone would wait for, and then save."""
    args = ["--model", "resnet18", "--engine", "torch", "--threads", 1, "--epochs", 2, "--batch-size", 300, "--opt", "sgd", "--data", data]
    for attempt in range(5):
        run = tmp_path / f"run{attempt}"
        process = start(*args, "--output", run)
        assert wait_for(process, run, 1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        rows = rows_of(run)
        before = time.monotonic()
        if process.poll() is None and [row["type"] for row in rows if row["type"] in ("batch", "end")] == ["batch"]:
            break  # else the next step was over before the signal came: the machine was busy
        process.kill()
        process.communicate()
    else:
        pytest.fail("every first step's successor was over before the signal")
    step_seconds = next(row["timing"]["elapsed_s"] for row in rows if row["type"] == "batch")
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert time.monotonic() - before < step_seconds / 2, f"a step takes {step_seconds} s"
    assert process.returncode == 143, stderr
    assert "saved" not in stderr and "resume with" not in stderr and "interrupted" not in stderr, stderr
    assert [row["type"] for row in rows_of(run) if row["type"] in ("batch", "end")] == ["batch"] and (run / "rows.jsonl").read_bytes().endswith(b"}\n")
    checkpoints = list(run.glob("checkpoints/*"))
    assert [path.name for path in checkpoints] == ["step-00000001.safetensors"]
    load_file(checkpoints[0])
    content = checkpoints[0].read_bytes()
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert {path.name for path in run.iterdir()} == {"args.json", "checkpoints", "rows.jsonl", "run.lock", "summary.csv", "summary.json"}
    json.loads((run / "summary.json").read_text())
    assert json.loads((run / "args.json").read_text())["options"]["model"] == "resnet18"
    assert (run / "summary.csv").read_text().count("\n") == 2  # the names of its columns, and the first epoch
    resumed = fatwood("train", "--resume", run)
    assert resumed.returncode == 0 and "NOT EXACT" not in resumed.stderr, resumed.stderr
    assert restarts(run)[0]["step"] == 1 and [row["step"] for row in rows_of(run) if row["type"] == "batch"] == [0, 1]


def test_python_reads_a_checkpoint(data, tmp_path):
    run = tmp_path / "run"
    assert fatwood("train", *SMALL, "--data", data, "--output", run).returncode == 0
    path = run / "checkpoints" / "step-00000030.safetensors"
    about = json.loads(safe_open(path, "numpy").metadata()["fatwood.checkpoint"])
    assert about["format"] == 1 and about["step"] == 30
    assert about["position"] == {"epoch": 3, "pass": "train", "batch": 0}
    assert about["machine"]["engine"] == "fused"
    tensors, weights = load_file(path), load_file(run / "model.safetensors")
    for key, value in weights.items():
        assert (tensors["model." + key] == value).all()
    content = path.read_bytes()
    assert tensors["digest"].tobytes() == content[-32:] == hashlib.sha256(content[:-32]).digest()


def test_a_finished_run_has_nothing_to_resume_and_auto_starts_a_new_one(data, tmp_path):
    run = tmp_path / "run"
    first = fatwood("train", *SMALL, "--data", data, "--resume", "auto", "--output", run)
    assert first.returncode == 0 and not (run / "restarts.jsonl").exists()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    again = fatwood("train", "--resume", run)
    assert again.returncode == 0 and "nothing to resume" in again.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_whose_last_files_are_missing_makes_them_again(data, tmp_path):
    run = tmp_path / "run"
    assert fatwood("train", *SMALL, "--data", data, "--model-ema-decay", 0.9, "--output", run).returncode == 0
    weights = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    assert fatwood("train", "--resume", run).returncode == 0
    assert (run / "model.safetensors").read_bytes() == weights


def test_the_newest_checkpoint_is_passed_over_loudly_when_it_is_damaged(data, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    args = [*SMALL, "--epochs", "10", "--data", data]
    assert fatwood("train", *args, "--output", whole).returncode == 0
    process = start(*args, "--output", run)
    assert wait_for(process, run, 22, checkpoints=2)
    process.kill()
    process.communicate()
    newest = run / "checkpoints" / f"step-{newest_step(run):08d}.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    refused(fatwood("train", "--resume", newest), 3, newest, "SHA-256")
    resumed = fatwood("train", "--resume", run)
    assert resumed.returncode == 0
    assert f"PASSED OVER: [read_checkpoint] {newest}" in resumed.stderr
    assert len(restarts(run)[0]["passed_over"]) == 1
    same(whole, run)


def interrupted(data, tmp_path, *more):
    run = tmp_path / "run"
    process = start(*SMALL, "--epochs", "30", *more, "--data", data, "--output", run)
    assert wait_for(process, run, 12)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    return run


def test_other_threads_or_another_engine_are_allowed_and_said(data, tmp_path):
    run = interrupted(data, tmp_path)
    result = fatwood("train", "--resume", run, "--threads", 1, "--engine", "torch")
    assert result.returncode == 0
    assert "NOT EXACT" in result.stderr and "engine torch, the checkpoint was made with fused" in result.stderr
    assert any("threads 1" in line for line in restarts(run)[0]["inexact"])


def test_what_contradicts_a_run_is_refused_and_changes_nothing(data, tmp_path):
    run = interrupted(data, tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"}
    for args, words in [
        (["--resume", run, "--lr", "0.5"], ["--lr 0.5", "0.01", run / "args.json"]),
        (["--resume", run, "--model", "resnet18"], ["--model resnet18", "cnn"]),
        (["--resume", run, "--no-shuffle"], ["--no-shuffle contradicts the run's shuffle true"]),
        (["--resume", run, "--output", tmp_path / "other"], ["--output", "--resume"]),
        (["--resume", run, "--overwrite"], ["--overwrite"]),
        (["--resume", tmp_path / "nowhere"], ["nowhere"]),
        (["--resume", tmp_path], ["args.json"]),
        (["--resume", "auto"], ["--output"]),
        (["--keep", 1, "--output", tmp_path / "other"], ["--keep", "2"]),
        (["--on-diverge", "pray", "--output", tmp_path / "other"], ["--on-diverge"]),
    ]:
        refused(fatwood("train", *args), 2, *words)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"} == before
    assert not (tmp_path / "other").exists()
    assert fatwood("train", "--resume", run, "--lr", "0.01").returncode == 0  # the same is no contradiction


def test_other_data_are_refused_and_change_nothing(data, tmp_path):
    run = interrupted(data, tmp_path, "--tensorboard")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"}
    assert any("tensorboard" in path.parts for path in before)
    other = tmp_path / "data"
    other.mkdir()
    for path in data.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    labels = other / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    content[-1] = (content[-1] + 1) % 10
    labels.write_bytes(gzip.compress(bytes(content)))
    refused(fatwood("train", "--resume", run, "--data", other, "--tensorboard"), 3, "other data", "train_sha256")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"} == before


def test_a_diverging_run_keeps_finite_checkpoints_and_weights(data, tmp_path):
    run = tmp_path / "run"
    args = ["--model", "cnn", "--opt", "sgd", "--sched", "constant", "--batch-size", 64, "--epochs", 3, "--data", data, "--checkpoint-steps", 1]
    result = fatwood("train", *args, "--lr", 1e30, "--output", run)
    assert result.returncode == 6, result.stderr
    files = [*run.glob("checkpoints/step-*.safetensors"), *run.glob("model.safetensors")]
    for path in files:
        for name, tensor in load_file(path).items():
            assert tensor.dtype.kind != "f" or numpy.isfinite(tensor).all(), (path, name)


def test_a_run_that_its_last_step_ruins_has_diverged(data, tmp_path):
    run = tmp_path / "run"
    args = ["--model", "cnn", "--opt", "sgd", "--sched", "constant", "--batch-size", 1000, "--epochs", 1, "--data", data]
    result = fatwood("train", *args, "--lr", 1e30, "--output", run)
    assert result.returncode == 6, result.stderr
    rows = rows_of(run)
    assert rows[-1]["status"] == "diverged" and sum(row["type"] == "batch" for row in rows) == 1


def test_rewind_goes_back_at_half_the_rate_and_says_so(data, tmp_path):
    run = tmp_path / "run"
    args = ["--model", "cnn", "--opt", "sgd", "--sched", "constant", "--batch-size", 64, "--epochs", 2, "--data", data]
    result = fatwood("train", *args, "--lr", 1e20, "--on-diverge", "rewind", "--output", run)
    assert result.returncode == 6, result.stderr  # not even a 256th of it is sane
    assert "(rewind 8)" in result.stderr and f"learning rate halved to {1e20 / 256!r}" in result.stderr
    events = [row for row in rows_of(run) if row["type"] == "event"]
    assert events[-1]["what"] == "rewind" and "step-00000000.safetensors" in events[-1]["reason"]
    assert result.stdout.count("epoch") == 1, result.stdout  # one heading, however often


def test_diff_runs_says_where_first(data, tmp_path):
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        assert fatwood("train", *SMALL, "--epochs", "1", "--data", data, "--seed", seed, "--output", run).returncode == 0
    result = fatwood("diff-runs", *runs)
    assert result.returncode == 7
    lines = result.stdout.splitlines()
    assert lines[0] == "args.json, options.seed: 0 and 1"
    assert any(line.startswith("rows.jsonl, line 1, seed") for line in lines)
    assert any(line.startswith("model.safetensors, layers.0.weight: differ first in element") for line in lines)
    refused(fatwood("diff-runs", runs[0], tmp_path), 3, tmp_path)
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    steps = sorted((int(path.stem.removeprefix("step-")) for path in (copy / "checkpoints").iterdir()), reverse=True)
    assert fatwood("diff-runs", runs[0], copy).stdout == f"equal but for times; checkpoints compared: {', '.join(map(str, steps))}\n"
    shutil.rmtree(copy / "checkpoints")
    assert "compared: none" in fatwood("diff-runs", runs[0], copy).stdout
