import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

import heard_signals  # noqa: E402, F401


@pytest.fixture(scope="session")
def tiny_mnist(tmp_path_factory):
    import tiny_data

    return tiny_data.make(tmp_path_factory.mktemp("data"), 300, 70)
