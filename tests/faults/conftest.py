"""What the tests of whole runs share: the data, and the run that nothing happened to."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

import heard_signals  # noqa: E402, F401
import tiny_data  # noqa: E402


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tiny_data.make(tmp_path_factory.mktemp("data"))


class Reference:
    """An undisturbed run: its folder, its journal, what it leaves."""

    def __init__(self, root, data):
        import disk
        import training

        self.root, self.run = root, root / "run"
        root.mkdir()
        self.before = disk.Disk(root)
        ended = training.train(data, self.run, root=root, journal=root.parent / "journal")
        assert ended.code == 0, ended.stderr
        self.records, self.stderr = ended.records, ended.stderr
        self.result = training.result(self.run)
        self.calm_result = training.result(self.run, events=False)
        self.calls = sum(record.op not in ("said", "fault") for record in self.records)
        self.saves = training.committed(self.records)
        # The number of the call with which the first checkpoint is committed.
        for self.first_save in range(1, self.calls + 1):
            if training.committed(self.records[:self.first_save]):
                break


@pytest.fixture(scope="session")
def reference(tmp_path_factory, data):
    return Reference(pathlib.Path(tmp_path_factory.mktemp("reference")) / "disk", data)
