"""The system refuses a run something: calls fail, the disk is full, a limit on file size or memory is
reached. The run says so and goes on, or stops with one message; what is there resumes to the same end."""

import errno
import os
import random
import resource
import signal

import pytest

import disk
import small_disk
import training
from small_disk import mounts  # noqa: F401
from training import FULL

SEED = 20260105
CODES = {"create": ["ENOSPC", "EACCES", "EIO"], "write": ["ENOSPC", "EIO"], "sync": ["EIO", "ENOSPC"],
         "sync_folder": ["EIO"], "rename": ["EIO", "ENOSPC", "EACCES"], "unlink": ["EIO", "EACCES"],
         "open": ["EACCES", "EIO"], "read": ["EIO"], "close": ["EIO", "ENOSPC"], "mkdir": ["ENOSPC"]}


def error_lines(ended):
    return [line for line in ended.stderr.splitlines() if line.startswith("fatwood: ") and " error: " in line]


def check(run, ended, calm_result, begin, what, more=()):
    """`begin()` trains into the folder when the run came to nothing. Says how it ended."""
    assert ended.code in (0, 5), f"{what}: exit code {ended.code} {ended.stderr}"
    assert len(error_lines(ended)) == (1 if ended.code else 0), f"{what}: {ended.stderr}"
    check_end(run, ended, calm_result, begin, what, more)
    if ended.code == 5:
        return "stopped"
    return "went on and said so" if "checkpoint failed" in ended.stderr else "went on"


def check_end(run, ended, calm_result, begin, what, more=()):
    if ended.code != 0:
        again = training.resume(run, *more) if (run / "args.json").exists() else begin()
        assert again.code == 0, f"{what}: {ended.stderr}, then {again.stderr}"
    assert training.result(run, events=False) == calm_result, what
    assert not [path for path in disk.read(run) if path.endswith(".tmp")], what


def rules(reference, count):
    """Single failures and failures from some call onwards, spread over the kinds of calls."""
    choice = random.Random(SEED)
    calls = {op: sum(record.op == op for record in reference.records) for op in CODES}
    calls.update(open=12, read=12, close=calls["create"])
    for index in range(count):
        op = list(CODES)[index % len(CODES)]
        number = choice.randint(1, max(calls[op], 1))
        last = choice.choice([number, number, number + 2, 10**6])
        yield f"fail:{op}:{number}:{last}:{getattr(errno, choice.choice(CODES[op]))}"
    for size in (1, 100):
        yield f"shorten:write:1:1000000:{size}"


def test_calls_that_fail(reference, data, tmp_path, capsys):
    outcomes = []
    for rule in rules(reference, 198 if FULL else 8):
        run = training.copy_run(None, tmp_path / "disk")
        ended = training.train(data, run, root=run.parent, plan=rule, journal=tmp_path / "journal")
        if not ended.faults:
            outcomes.append("there was no such call")
            continue
        outcomes.append(check(run, ended, reference.calm_result, lambda: training.train(data, run), rule))
    with capsys.disabled():
        print(f"\n{len(outcomes)} rules: {training.counted(outcomes)}")


def test_calls_that_fail_in_a_resume(reference, data, tmp_path, capsys):
    """A checkpoint that cannot be read is passed over aloud, or the resume stops and can be repeated."""
    cut = training.copy_run(None, tmp_path / "cut" / "disk")
    number = reference.first_save * 2
    training.train(data, cut, root=cut.parent, plan=f"kill:any:{number}:{number}:0")
    outcomes = []
    for rule in list(rules(reference, 60 if FULL else 3)):
        kind, op, first, _, code = rule.split(":")
        rule = f"{kind}:{op}:{1 + int(first) % 6}:{1 + int(first) % 6}:{code}"
        run = training.copy_run(cut, tmp_path / "disk")
        ended = training.resume(run, root=run.parent, plan=rule)
        outcomes.append(check(run, ended, reference.calm_result, lambda: training.train(data, run), rule))
    with capsys.disabled():
        print(f"\n{len(outcomes)} rules: {training.counted(outcomes)}")


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
