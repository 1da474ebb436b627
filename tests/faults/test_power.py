"""The power is cut while a run saves and prunes: what is left resumes at a committed checkpoint or a
later one, and ends as the run that went through. Without any one sync that is not so."""

import random

import pytest

import disk
import injection
import training
from training import FULL

SEED = 20260104
VARIANTS = ["nothing", "names", "zeros", "data", *range(4)]


def loss(tree, saved, rows, finished=None):
    """What a tree lacks of what was committed: the newest of `saved`, the options, the rows that the
    checkpoint counts; when the run was finished, its files."""
    wrong = []
    whole = training.whole_checkpoints(tree)
    newest = max(whole, default=0)
    if newest < max(saved, default=0):
        return [f"newest checkpoint {newest}, committed {saved}"]
    if saved or finished:
        if not (tree.get("run/args.json") or b"").endswith(b"}\n"):
            wrong.append("args.json")
    if newest:
        counted = training.about(whole[newest])["timing"]["rows_bytes"]
        if not (tree.get("run/rows.jsonl") or b"").startswith(rows[:counted]):
            wrong.append(f"the {counted} bytes of rows that checkpoint {newest} counts")
    for path, content in (finished or {}).items():
        if tree.get(path) != content:
            wrong.append(path)
    return wrong


@pytest.fixture(scope="module")
def told(reference):
    """The reference run's rows, and the files that its end promises."""
    files = {path: content for path, content in disk.read(reference.root).items()
             if content is not None and path.endswith((".json", ".jsonl", "model.safetensors"))}
    return files["run/rows.jsonl"], files


def replayed(reference, empty, without=lambda record: False):
    tree = disk.Disk(empty)
    tree.root = str(reference.root)
    for number, record in enumerate(reference.records, 1):
        tree.apply(record, record.op.startswith("sync") and without(record))
        yield number, tree


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def losses(reference, told, empty, without=lambda record: False):
    rows, finished = told
    for number, tree in replayed(reference, empty, without):
        # Only what changes durability can lose what was there before.
        if reference.records[number - 1].op in ("said", "write") and number % 7:
            continue
        saved = training.committed(reference.records[:number])
        for variant in VARIANTS:
            done = finished if number == len(reference.records) else None
            if lost := loss(tree.after_cut(variant), saved, rows, done):
                yield f"cut behind call {number}, {variant}: {lost}"


def test_the_journal_holds_all_that_happened(reference, empty):
    for _, tree in replayed(reference, empty):
        pass
    assert tree.now() == disk.read(reference.root)


def test_a_power_cut_at_any_call_leaves_what_was_committed(reference, told, empty):
    assert list(losses(reference, told, empty)) == []


def test_without_any_one_sync_a_power_cut_loses_something(reference, told, empty, capsys):
    functions = injection.Functions(training.PROGRAM)
    # The code that syncs: the function that calls fsync, and who calls that.
    sites = {record.site[:2] for record in reference.records if record.op.startswith("sync")}
    found = {functions.chain(site): next(losses(reference, told, empty, lambda r: r.site[:2] == site), None)
             for site in sites}
    with capsys.disabled():
        for name, first in sorted(found.items()):
            print(f"\nwithout {name}: {first}", end="")
    assert len(sites) >= 4
    # Making checkpoints/ syncs the same folder again; test_io.py shows what this one is needed for.
    assert {name for name, first in found.items() if first is None} <= {"sync_folder ← AppendFile::AppendFile"}


def test_what_a_power_cut_leaves_is_resumed_exactly(reference, empty, tmp_path, capsys):
    """50 cuts between the first save and the end, each in one of the variants."""
    choice = random.Random(SEED)
    first = reference.first_save
    cuts = dict(zip(sorted(choice.sample(range(first, len(reference.records)), 50 if FULL else 4)),
                    VARIANTS * 10))
    steps = []
    for number, tree in replayed(reference, empty):
        if number not in cuts:
            continue
        run = training.copy_run(None, tmp_path / "disk")
        disk.restore(tree.after_cut(cuts[number]), run.parent)
        what = f"cut behind call {number}, {cuts[number]}"
        saved = max(training.committed(reference.records[:number]))
        newest = max(training.whole_checkpoints(disk.read(run.parent)))
        assert newest >= saved > 0, what
        ended = training.resume(run)
        assert ended.code == 0, f"{what}: {ended.stderr}"
        if (run / "restarts.jsonl").exists():
            steps.append(training.restarts(run)[-1]["step"])
            assert steps[-1] == newest, what
        assert training.result(run) == reference.result, what
    with capsys.disabled():
        print(f"\n{len(cuts)} cuts, resumed from steps {training.counted(map(str, steps))}")
