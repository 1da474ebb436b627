"""Runs that version 0.1 left behind are still resumed, reported and compared (fixtures/make_runs.py made them)."""
import pathlib
import shutil
import sys

import numpy
import pytest
from safetensors.numpy import load_file

from program import fatwood, rows_of

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))

import make_runs  # noqa: E402

# The last block sees one pixel, so that its norm takes away whatever the shift before it adds: the shift's gradient
# is zero but for rounding, of which AdamW makes steps as long as of any other gradient, and the mean follows it.
WITHOUT_GRADIENT = ("layers.3.norm.bias", "layers.4.norm.running_mean")


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_a_run_of_format_1_goes_on_to_the_weights_that_it_had(engine, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    make_runs.make_data(data)
    run = tmp_path / "run"
    shutil.copytree(FIXTURES / f"run-1-{engine}", run)
    expected = load_file(run / "expected.safetensors")
    (run / "expected.safetensors").unlink()
    result = fatwood("train", "--resume", run, "--data", data)
    assert result.returncode == 0, result.stderr
    assert f"resuming at step {make_runs.STEP} (epoch 1, batch 2)" in result.stderr and "PASSED OVER" not in result.stderr
    rows = rows_of(run)
    assert [row["step"] for row in rows if row["type"] == "batch"] == list(range(make_runs.STEPS))
    assert rows[-1]["status"] == "completed"
    weights = load_file(run / "model.safetensors")
    assert weights.keys() == expected.keys()
    for name, tensor in weights.items():
        # Another processor, instruction set or LibTorch rounds otherwise.
        tolerances = {"atol": 0.01} if name in WITHOUT_GRADIENT else {"rtol": 1e-3, "atol": 1e-4}
        numpy.testing.assert_allclose(tensor, expected[name], **tolerances, err_msg=name)
    assert fatwood("report", run, "-o", tmp_path / "report.html").returncode == 0
    assert (tmp_path / "report.html").stat().st_size > 10_000
