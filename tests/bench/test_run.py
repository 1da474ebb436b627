"""What `./fatwood bench` refuses before it measures anything."""
import pathlib
import subprocess
import sys

import pytest

RUN = pathlib.Path(__file__).parents[2] / "bench/run.py"


@pytest.mark.parametrize("arguments, wanted", [
    (["--sections", "steps"], "found steps, wanted some of step, epochs"),
    (["--networks", "conv,lenet"], "found lenet, wanted some of conv, residual, double, resnet18"),
    (["--networks", "resnet18", "--sections", "step,widths"], "found resnet18, which the sections widths do not have"),
    (["--networks", "conv,resnet18"], "found resnet18, which the sections inside, widths do not have"),
])
def test_what_a_section_does_not_know_is_an_error(arguments, wanted):
    ended = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True)
    assert ended.returncode == 2 and wanted in ended.stderr, ended.stderr
