"""The system refuses a run something: calls fail, the disk is full, a limit on file size or memory is
reached. The run says so and goes on, or stops with one message; what is there resumes to the same end."""

import errno
import os
import resource
import signal

import pytest

import disk
import refused_calls
import small_disk
import training
from small_disk import mounts  # noqa: F401
from training import FULL

SEED = 20260105


def error_lines(ended):
    return [line for line in ended.stderr.splitlines() if line.startswith("fatwood: ") and " error: " in line]


def check(run, ended, calm_result, begin, what, more=()):
    """`begin()` trains into the folder when the run came to nothing. Says how it ended."""
    none_can_be_read = ended.code == 3 and "data error: [find_checkpoint] " in ended.stderr
    assert ended.code in (0, 5) or none_can_be_read, f"{what}: exit code {ended.code} {ended.stderr}"
    assert len(error_lines(ended)) == (1 if ended.code else 0), f"{what}: {ended.stderr}"
    # What was there before the refusal is whole.
    newest = max(training.whole_checkpoints(disk.read(run.parent)), default=0)
    assert newest >= max(training.committed(ended.records), default=0), f"{what}: {ended.stderr}"
    said = "checkpoint failed" in ended.stderr
    if ended.code == 0 and not said:
        assert newest == training.STEPS and not training.events(run), f"{what}: {ended.stderr}"
    check_end(run, ended, calm_result, begin, what, more)
    if ended.code != 0:
        return "stopped"
    return "went on and said so" if said else "was refused nothing"


def check_end(run, ended, calm_result, begin, what, more=()):
    if ended.code != 0:
        again = training.resume(run, *more) if (run / "args.json").exists() else begin()
        assert again.code == 0, f"{what}: {ended.stderr}, then {again.stderr}"
    assert training.result(run, events=False) == calm_result, what
    if not refused_calls.halves_may_stay(ended.records):
        assert not [path for path in disk.read(run) if path.endswith(".tmp")], what


def fired(rules, wanted, attempt):
    """attempt(rule) for rules until `wanted` have met a call of theirs; says how they ended. A snapshot that waits
    while the disk is slow gives way to a newer one, so that a run may make fewer calls than a rule was drawn for."""
    outcomes, without, problems = [], 0, []
    while len(outcomes) < wanted:
        rule = next(rules)
        try:
            outcome = attempt(rule)
        except AssertionError as error:
            outcome = "wrong"
            problems.append(str(error))
        if outcome is None:
            without += 1
            assert without <= wanted, "the rules do not fit the run"
        else:
            outcomes.append(outcome)
    assert not problems, f"{len(problems)} of {wanted}:\n" + "\n".join(problems)
    return f"{wanted} rules: {training.counted(outcomes)}; {without} more met no call"


def test_calls_that_fail(reference, data, tmp_path, capsys):
    journal = tmp_path / "journal"

    def train(plan):
        run = training.copy_run(None, tmp_path / "disk")
        return run, training.train(data, run, root=run.parent, plan=plan, journal=journal)

    def attempt(rule):
        run, ended = train(rule)
        if not ended.faults:
            return None
        outcome = refused_calls.check_said(run, ended, rule)
        check(run, ended, reference.calm_result, lambda: training.train(data, run), rule)
        return outcome

    calls = refused_calls.counts(train(refused_calls.COUNTING)[1].records)
    outcomes = fired(refused_calls.rules(calls, SEED), 200 if FULL else 12, attempt)
    with capsys.disabled():
        print(f"\n{outcomes}")


@pytest.mark.parametrize("every", [0, 1])
def test_a_row_that_is_refused_is_written_by_the_resume(every, reference, data, tmp_path):
    """Each row up to the first checkpoint, which may not count a row that is not there."""
    more, journal = ["--checkpoint-steps", every], tmp_path / "journal"

    def train(plan):
        run = training.copy_run(None, tmp_path / "disk")
        return run, training.train(data, run, *more, root=run.parent, plan=plan, journal=journal)

    # Those behind the row with which the first save is due come in no fixed order with the save's own writes.
    writes = [record for record in train("")[1].records if record.op == "write"]
    due = b'"type":"batch"' if every else b'"mode":"eval"'
    last = next(number for number, record in enumerate(writes, 1) if due in record.data and record.path.endswith("/rows.jsonl"))
    numbers = [number for number, record in enumerate(writes[:last], 1) if record.path.endswith("/rows.jsonl")]
    problems = []
    for number in numbers if FULL else numbers[-3:]:
        rule = f"fail:write:{number}:{number}:{errno.ENOSPC}"
        run, ended = train(rule)
        assert [fault.path.rpartition("/")[2] for fault in ended.faults] == ["rows.jsonl"], rule
        try:
            refused_calls.check_said(run, ended, rule)
            assert check(run, ended, reference.calm_result, lambda: training.train(data, run, *more), rule) == "stopped"
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, f"{len(problems)}:\n" + "\n".join(problems)


class Cut:
    """A run that was killed behind its first checkpoints, and its resumes under a plan."""

    def __init__(self, reference, data, folder):
        self.reference, self.data, self.folder = reference, data, folder
        self.run = training.copy_run(None, folder / "cut" / "disk")
        number = reference.first_save * 2
        training.train(data, self.run, root=self.run.parent, plan=f"kill:any:{number}:{number}:0")
        self.newest = max(training.whole_checkpoints(disk.read(self.run.parent)))
        assert self.newest > 0

    def resume(self, plan):
        run = training.copy_run(self.run, self.folder / "disk")
        return run, training.resume(run, root=run.parent, plan=plan, journal=self.folder / "journal")

    def attempt(self, rule):
        """The resume begins at the newest whole checkpoint, or says aloud that it passed it over, or stops and
        can be repeated."""
        run, ended = self.resume(rule)
        if not ended.faults:
            return None
        begun = training.restarts(run)
        if begun and begun[-1]["step"] != self.newest:
            passed_over = [line for line in ended.stderr.splitlines() if line.startswith("PASSED OVER: ")]
            assert any(f"step-{self.newest:08d}" in line for line in passed_over), \
                f"{rule}: began at {begun[-1]['step']}, not {self.newest}\n{ended.stderr}"
        outcome = refused_calls.check_said(run, ended, rule)
        check(run, ended, self.reference.calm_result, lambda: training.train(self.data, run), rule)
        # After a resume that stopped, the next one's beginning.
        assert training.restarts(run)[-1]["step"] >= self.newest or "PASSED OVER: " in ended.stderr, f"{rule}: {ended.stderr}"
        return outcome


def test_calls_that_fail_in_a_resume(reference, data, tmp_path, capsys):
    cut = Cut(reference, data, tmp_path)
    # The first calls of each kind, which a resume makes before it trains.
    calls = {op: min(count, 8) for op, count in refused_calls.counts(cut.resume(refused_calls.COUNTING)[1].records).items()}
    outcomes = fired(refused_calls.rules(calls, SEED + 1), 60 if FULL else 12, cut.attempt)
    with capsys.disabled():
        print(f"\nin a resume from step {cut.newest}, {outcomes}")


def test_a_resume_that_cannot_list_its_checkpoints_does_not_begin_again(reference, data, tmp_path):
    cut = Cut(reference, data, tmp_path)
    opened = [fault.path for fault in cut.resume(refused_calls.COUNTING)[1].faults if fault.path2 == "open"]
    first = [number for number, path in enumerate(opened, 1) if path.endswith("/checkpoints")][:3]
    rules = (f"fail:open:{number}:{number}:{code}" for number in first for code in (errno.EACCES, errno.EIO))
    fired(rules, 2 * len(first), cut.attempt)


# Larger, so that a checkpoint takes several of the disk's steps.
LARGER = ["--nfs", "8,16,32,64"]


@pytest.fixture(scope="module")
def larger(data, tmp_path_factory):
    """The result of an undisturbed run of the larger network, its size and that of its largest file."""
    run = training.copy_run(None, tmp_path_factory.mktemp("larger") / "disk")
    ended = training.train(data, run, *LARGER)
    assert ended.code == 0, ended.stderr
    sizes = [path.stat().st_size for path in run.rglob("*") if path.is_file()]
    return training.result(run, events=False), sum(sizes), max(sizes)


def test_full_disks(mounts, data, larger, tmp_path, capsys):  # noqa: F811
    calm_result, size, largest = larger
    # Room for one more checkpoint than stays: the temporary file of the next.
    steps = list(range(64 << 10, size + largest + (128 << 10), 64 << 10))
    outcomes = []
    for size in steps if FULL else steps[5::len(steps) // 3]:
        with small_disk.mounted(tmp_path / "small", size) as folder:
            run = folder / "run"
            ended = training.train(data, run, *LARGER)
            small_disk.set_size(folder, 64 << 20)
            outcomes.append(check(run, ended, calm_result, lambda: training.train(data, run, *LARGER),
                                  f"a disk of {size} bytes"))
    with capsys.disabled():
        print(f"\n{len(outcomes)} disks: {training.counted(outcomes)}")


def limited(limit, value):
    return {"preexec_fn": lambda: resource.setrlimit(limit, (value, value))}


def test_limits_on_file_size(data, larger, tmp_path, capsys):
    calm_result, _, largest = larger
    sizes = list(range(0, largest + 40_000, 20_000))
    outcomes = []
    for size in sizes if FULL else sizes[2::len(sizes) // 2]:
        run = training.copy_run(None, tmp_path / "disk")
        ended = training.train(data, run, *LARGER, **limited(resource.RLIMIT_FSIZE, size))
        outcomes.append(check(run, ended, calm_result, lambda: training.train(data, run, *LARGER),
                              f"files of at most {size} bytes"))
    with capsys.disabled():
        print(f"\n{len(outcomes)} limits: {training.counted(outcomes)}")


@pytest.mark.skipif(bool(os.environ.get("FATWOOD_SANITIZE")), reason="AddressSanitizer reserves terabytes")
def test_limits_on_memory(data, larger, tmp_path, capsys):
    """From what the program needs to start up to what the run needs."""
    def starts(megabytes):
        return training.program(["--version"], **limited(resource.RLIMIT_AS, megabytes << 20)).code == 0

    low, high = 0, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if starts(middle) else (middle, high)
    outcomes = []
    for more in range(4, 400, 4 if FULL else 60):
        run = training.copy_run(None, tmp_path / "disk")
        ended = training.train(data, run, *LARGER, **limited(resource.RLIMIT_AS, (high + more) << 20))
        # Not every allocation that fails is survived (docs/faults.md); what is on the disk is.
        check_end(run, ended, larger[0], lambda: training.train(data, run, *LARGER),
                  f"{more} MiB above the {high} of the start")
        assert ended.code in (0, 1, 5, -signal.SIGABRT, -signal.SIGSEGV), ended.stderr
        outcomes.append(f"exit {ended.code}")
        if ended.code == 0 and more > 100:
            break
    with capsys.disabled():
        print(f"\n{len(outcomes)} limits: {training.counted(outcomes)}")
