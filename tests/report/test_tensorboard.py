"""Event files are read back by Python's own tensorboard: every value, step and wall time."""
import json
import os
import subprocess

import pytest

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="no tensorboard in this environment: pip install tensorboard")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([os.environ["FATWOOD_REPORT_SAMPLES"], str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def rows(samples):
    lines = (samples / "plain/rows.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {kind: [r for r in records if r["type"] == kind] for kind in ("batch", "stats", "epoch")}


@pytest.fixture(scope="module")
def events(samples):
    accumulator = event_accumulator.EventAccumulator(
        str(samples / "plain-events"), size_guidance={event_accumulator.SCALARS: 0,
                                                      event_accumulator.HISTOGRAMS: 0,
                                                      event_accumulator.TENSORS: 0})
    accumulator.Reload()
    return accumulator


def test_every_batch_is_a_scalar_at_its_step_and_time(events, rows):
    for tag, key in (("loss/batch", "loss"), ("lr", "lr"), ("momentum", "momentum")):
        read = events.Scalars(tag)
        assert [e.step for e in read] == [r["step"] for r in rows["batch"]]
        assert [e.value for e in read] == pytest.approx([r[key] for r in rows["batch"]], rel=1e-6)
    started = 1.7e9
    assert [e.wall_time for e in events.Scalars("lr")] == pytest.approx(
        [started + r["timing"]["elapsed_s"] for r in rows["batch"]], abs=1e-3)


def test_every_epoch_and_every_layer_is_there(events, rows):
    for mode in ("train", "eval"):
        wanted = [r for r in rows["epoch"] if r["mode"] == mode]
        read = events.Scalars(f"accuracy/{mode}")
        assert [e.step for e in read] == [r["step"] for r in wanted]
        assert [e.value for e in read] == pytest.approx(
            [r["metrics"]["accuracy"] for r in wanted], rel=1e-6)
    for layer in range(6):
        read = events.Scalars(f"std/layer {layer}")
        assert [e.value for e in read] == pytest.approx(
            [r["std"][layer] for r in rows["stats"]], rel=1e-6)


def test_histograms_hold_the_counts_of_their_bins(events, rows):
    due = [r for r in rows["stats"] if "hist" in r]
    read = events.Histograms("activations/layer 3")
    assert [e.step for e in read] == [r["step"] for r in due]
    for event, row in zip(read, due):
        value = event.histogram_value
        assert list(value.bucket) == row["hist"][3]
        assert list(value.bucket_limit) == pytest.approx([0.25 * (i + 1) for i in range(40)])
        assert value.num == sum(row["hist"][3])
        assert (value.min, value.max) == (0, 10)


def test_what_a_rewind_takes_back_is_forgotten(samples):
    accumulator = event_accumulator.EventAccumulator(str(samples / "rewound-events"))
    accumulator.Reload()
    losses = [(e.step, e.value) for e in accumulator.Scalars("loss/batch")]
    assert losses == [(step, 1.0 if step < 4 else 0.5) for step in range(8)]
    assert [(e.step, e.value) for e in accumulator.Scalars("loss/eval")] == [(4, 1.0), (8, 0.5)]
