"""What the tests of whole runs share: the data, and the run that nothing happened to."""

import pathlib
import signal
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


@pytest.fixture
def killed(reference, data, tmp_path):
    """killed(plan): a run that a plan killed, and how it ended.

    A snapshot that waits while the disk is slow gives way to a newer one, so that a run may make fewer
    calls than the plan was drawn for: such a run ends untouched, and is made again with an earlier call."""
    import training

    def kill(plan):
        kind, calls, number, *_ = plan.split(":")
        for earlier in range(0, int(number), 25 if calls == "any" else 1):
            call = int(number) - earlier
            run = training.copy_run(None, tmp_path / "disk")
            ended = training.train(data, run, root=run.parent, plan=f"{kind}:{calls}:{call}:{call}:0",
                                   journal=tmp_path / "journal")
            if ended.faults:
                break
            assert ended.code == 0, f"{plan}: {ended.code} {ended.stderr}"
        assert ended.code == -signal.SIGKILL, f"{plan}: {ended.code} {ended.stderr}"
        return run, ended

    return kill
