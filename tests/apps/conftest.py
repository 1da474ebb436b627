import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

# A shell's background job ignores Ctrl-C and hands that on; what the tests start is to hear signals.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def tiny_mnist(tmp_path_factory):
    import tiny_data

    return tiny_data.make(tmp_path_factory.mktemp("data"), 300, 70)
