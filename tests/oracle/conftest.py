"""Calls of oracle_driver: tensors in, tensors out."""

import json
import os
import subprocess

import pytest
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """driver(command, tensors, option=...) → the tensors that fatwood answers with, by name."""
    folder = tmp_path_factory.mktemp("driver")

    def call(command, tensors=None, **options):
        request = {"command": command, "out": str(folder / "out"), **options}
        if tensors is not None:
            request["in"] = str(folder / "in")
            save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()},
                      request["in"])
        done = subprocess.run([os.environ["FATWOOD_ORACLE_DRIVER"], json.dumps(request)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return load_file(request["out"])
    return call
