"""A run made again is the same to the last bit, at one thread count: weights, the last checkpoint's tensors, rows.
Between thread counts initial weights and batch order are.

Three repeats of each by default, ten with FATWOOD_REPEATS=full.
"""
import os

import numpy
import pytest
import safetensors.numpy

from program import fatwood, rows_of, same

REPEATS = 10 if os.environ.get("FATWOOD_REPEATS") == "full" else 3
STEPS = 18  # 3 epochs of 6


def left_by(run):
    rows = rows_of(run)
    for row in rows:
        row.pop("timing", None)
    state = safetensors.numpy.load_file(run / "checkpoints" / f"step-{STEPS:08d}.safetensors")
    state.pop("digest")  # of the whole file, its date too
    return {"rows": rows, "weights": (run / "model.safetensors").read_bytes(),
            "state": {name: (tensor.dtype.str, tensor.shape, tensor.tobytes()) for name, tensor in state.items()}}


def train(run, data, *more):
    result = fatwood("train", "--epochs", 3, "--batch-size", 50, "--data", data, "--output", run, *more)
    assert result.returncode == 0, result.stderr
    return left_by(run)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("engine", ["torch", "fused"])
@pytest.mark.parametrize("model", ["cnn", "residual_cnn"])
def test_a_repeated_run_is_bit_equal(model, engine, threads, tiny_mnist, tmp_path):
    if engine == "fused":
        plan = fatwood("summary", "--model", model, "--plan", "--batch-size", 50).stdout
        assert "| kernels, " in plan
    options = ["--model", model, "--engine", engine, "--threads", threads]
    first = train(tmp_path / "0", tiny_mnist, *options)
    assert rows_of(tmp_path / "0")[-1]["step"] == STEPS
    for number in range(1, REPEATS):
        run = tmp_path / str(number)
        again = train(run, tiny_mnist, *options)
        for what in first:
            assert again[what] == first[what], f"{what} of repeat {number}"
    same(tmp_path / "0", run)


def test_another_seed_is_not(tiny_mnist, tmp_path):
    runs = [train(tmp_path / str(seed), tiny_mnist, "--model", "cnn", "--seed", seed) for seed in (1, 2)]
    assert runs[0]["weights"] != runs[1]["weights"] and runs[0]["state"] != runs[1]["state"]


STILL = ["--opt", "sgd", "--sched", "constant", "--lr", "1e-12", "--momentum", "0"]  # a batch's loss is its images' alone


def start_of(run, data, *more):
    """Weights before the first step, and the losses of two epochs of small batches of a network that does not learn."""
    result = fatwood("train", "--epochs", 2, "--batch-size", 6, "--data", data, "--output", run, *STILL,
                     "--on-diverge", "rewind", "--keep", 1000, *more)
    assert result.returncode == 0, result.stderr
    state = safetensors.numpy.load_file(run / "checkpoints" / "step-00000000.safetensors")
    weights = {name: (tensor.dtype.str, tensor.shape, tensor.tobytes()) for name, tensor in state.items() if name.startswith("model.")}
    losses = numpy.array([row["loss"] for row in rows_of(run) if row["type"] == "batch"])
    assert len(weights) > 4 and len(losses) == 100
    return weights, losses


@pytest.mark.parametrize("engine", ["torch", "fused"])
@pytest.mark.parametrize("model", ["cnn", "residual_cnn"])
def test_other_threads_start_with_the_same_weights_and_see_the_same_batches(model, engine, tiny_mnist, tmp_path):
    options = ["--model", model, "--engine", engine]
    one, two, other_order = (start_of(tmp_path / name, tiny_mnist, *options, *more) for name, more in
                             [("1", ["--threads", 1]), ("2", ["--threads", 2]), ("3", ["--threads", 1, "--no-shuffle"])])
    assert one[0] == two[0] == other_order[0]
    rounding = 1e-4 * numpy.abs(one[1])
    assert (numpy.abs(one[1] - two[1]) < rounding).all()
    # Which batch it is shows in the loss: other images, and the same images in the second epoch, have others.
    for other in (other_order[1], numpy.roll(one[1], 1), numpy.roll(one[1], 50)):
        assert (numpy.abs(one[1] - other) > rounding).mean() > 0.95
