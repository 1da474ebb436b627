"""The power is cut while a run saves and prunes: what is left resumes at a committed checkpoint or a
later one, and ends as the run that went through. Without any one sync that is not so."""

import collections
import errno
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


def finished_files(root):
    """The files that the end of a run promises, and their content."""
    return {path: content for path, content in disk.read(root).items()
            if content is not None and path.endswith((".json", ".jsonl", ".csv", "model.safetensors"))}


def end_of_rows(records):
    """The number of the sync behind the row with which a run ends; `summary.csv` is durable by then. None where
    that row was written and not synced."""
    ends = [number for number, record in enumerate(records, 1) if record.op == "write" and
            record.path.endswith("/rows.jsonl") and b'"type":"end"' in record.data]
    return next((number for number, record in enumerate(records[ends[-1]:], ends[-1] + 1)
                 if record.op == "sync" and record.path.endswith("/rows.jsonl")), None)


@pytest.fixture(scope="module")
def told(reference):
    """The reference run's rows, and the files that its end promises."""
    files = finished_files(reference.root)
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
    end = end_of_rows(reference.records)
    table = {"run/summary.csv": finished["run/summary.csv"]}
    for number, tree in replayed(reference, empty, without):
        # Only what changes durability can lose what was there before.
        if reference.records[number - 1].op in ("said", "write") and number % 7:
            continue
        saved = training.committed(reference.records[:number])
        for variant in VARIANTS:
            done = finished if number == len(reference.records) else table if number >= end else None
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
    # The code that syncs: the function that calls fsync, and who calls that, from wherever in it.
    places = collections.defaultdict(set)
    for record in reference.records:
        if record.op.startswith("sync"):
            places[functions.chain(record.site[:2])].add(record.site[:2])
    anyway = set(losses(reference, told, empty))
    found = {name: next((lost for lost in losses(reference, told, empty, lambda r: r.site[:2] in sites) if lost not in anyway), None)
             for name, sites in places.items()}
    with capsys.disabled():
        for name, first in sorted(found.items()):
            print(f"\nwithout {name}: {first}", end="")
    assert len(places) >= 4
    # Making checkpoints/ syncs the same folder again; test_io.py shows what this one is needed for.
    assert {name for name, first in found.items() if first is None} <= {"sync_folder ← AppendFile::AppendFile"}


def drawn_cuts(reference, count):
    """{number of the call: variant}: four of five over the phases of saving and pruning in turn, half of which
    takes a few calls, the others anywhere behind the first save."""
    choice, numbers, cuts = random.Random(SEED), collections.defaultdict(list), []
    for number, record in enumerate(reference.records, 1):
        if number >= reference.first_save and record.op != "said":
            numbers[training.phase(record)].append(number)
    phases = sorted(phase for phase in numbers if phase.startswith(("save", "prune")))
    anywhere = [number for some in numbers.values() for number in some]
    for index in range(count):
        turn = phases[index % len(phases):] + phases[:index % len(phases)]
        pools = [anywhere] if index % 5 == 4 else [numbers[phase] for phase in turn]
        left = next(left for pool in [*pools, anywhere] if (left := [number for number in pool if number not in cuts]))
        cuts.append(choice.choice(left))
    return {number: VARIANTS[index % len(VARIANTS)] for index, number in enumerate(cuts)}


def test_what_a_power_cut_leaves_is_resumed_exactly(reference, empty, tmp_path, capsys):
    """50 cuts between the first save and the end, each in one of the variants."""
    cuts = drawn_cuts(reference, 50 if FULL else 5)
    phases = [training.phase(reference.records[number - 1]) for number in cuts]
    assert sum(phase.startswith(("save", "prune")) for phase in phases) >= len(cuts) * 3 // 4
    steps = []
    for number, tree in replayed(reference, empty):
        if number not in cuts:
            continue
        what = f"cut behind call {number}, {cuts[number]}"
        saved = training.committed(reference.records[:number])
        assert max(saved) > 0, what
        steps += resumed_cut(tree.after_cut(cuts[number]), tmp_path / "disk", saved, reference, what)
    with capsys.disabled():
        print(f"\n{len(cuts)} cuts: {training.counted(phases)}; resumed from steps {training.counted(steps)}")


def test_a_power_cut_during_a_resume_loses_nothing(reference, killed, empty, tmp_path, capsys):
    """Killed runs are resumed, and the power is cut behind the calls of the resume. What the killed run had not
    synced has not reached the disk by then. Some of the cuts are resumed once more."""
    choice, steps, cuts, calls = random.Random(SEED + 1), [], [], 0
    for _ in range(10 if FULL else 2):
        kind, number = choice.choice(["kill", "kill_after", "tear"]), choice.randint(reference.first_save + 1, reference.calls - 1)
        run, ended = killed(f"{kind}:any:{number}:{number}:0")
        again = training.resume(run, root=run.parent, journal=tmp_path / "journal")
        assert again.code == 0 and training.result(run) == reference.result, again.stderr
        rows, finished, left = (run / "rows.jsonl").read_bytes(), finished_files(run.parent), disk.read(run.parent)
        table = {"run/summary.csv": finished["run/summary.csv"]}
        records = ended.records + again.records
        end = end_of_rows(records)
        changes = {at: training.phase(record) for at, record in enumerate(records, 1) if at > len(ended.records) and record.op != "said"}
        # A resume from the last checkpoint does little.
        phases = sorted(set(changes.values()))
        phases = choice.sample(phases, min(len(phases), 4 if FULL else 2))
        drawn = [choice.choice([at for at in changes if changes[at] == phase]) for phase in phases]
        tree = disk.Disk(empty)
        tree.root = str(run.parent.resolve())
        for at, record in enumerate(records, 1):
            tree.apply(record)
            # Only what changes durability can lose what was there before.
            if at not in drawn and (at not in changes or (record.op == "write" and at % 7)):
                continue
            calls += 1
            saved = training.committed(records[:at])
            for variant in VARIANTS:
                done = finished if at == len(records) else table if end and at >= end else None
                lost = loss(tree.after_cut(variant), saved, rows, done)
                assert not lost, f"{kind} {number}, cut behind call {at} of {len(records)}, {variant}: {lost}"
            if at in drawn:
                variant = VARIANTS[len(cuts) % len(VARIANTS)]
                cuts.append(training.phase(record))
                steps += resumed_cut(tree.after_cut(variant), tmp_path / "cut", saved, reference, f"{kind} {number}, call {at}, {variant}")
        assert tree.now() == left, f"{kind} {number}: the journals hold another folder"
    with capsys.disabled():
        print(f"\n{calls} calls of resumes, {len(cuts)} cuts: {training.counted(cuts)}; resumed from steps {training.counted(steps)}")
    assert len(steps) > len(cuts) // 2


def resumed_cut(tree, root, saved, reference, what):
    """Resumes what a cut left, to the reference's end; the step at which that began, none where the run had ended."""
    run = training.copy_run(None, root)
    disk.restore(tree, root)
    newest = max(training.whole_checkpoints(disk.read(root)), default=0)
    assert newest >= max(saved, default=0), what
    ended = training.resume(run)
    assert ended.code == 0, f"{what}: {ended.stderr}"
    assert training.result(run) == reference.result, what
    if "nothing to resume" in ended.stderr:
        return []
    assert training.restarts(run)[-1]["step"] == newest, what
    return [str(newest)]


def test_nothing_is_promised_on_a_sync_that_failed(reference, data, empty, tmp_path, capsys):
    """Each sync of a run fails once, which takes from the disk what it should have written (disk.py). The run stops,
    or goes on; what it commits later must be there after any cut."""
    plans = [(op, number) for op in ("sync", "sync_folder")
             for number in range(1, 1 + sum(record.op == op for record in reference.records))]
    wrong, outcomes = [], []
    # Quick: among them the first sync of the rows, and that of the folder in which checkpoints/ is made.
    for op, number in plans if FULL else [("sync", 3), ("sync", 4), ("sync_folder", 6), ("sync_folder", 7)]:
        run = training.copy_run(None, tmp_path / "disk")
        before = disk.Disk(run.parent)
        rule = f"fail:{op}:{number}:{number}:{errno.EIO}"
        ended = training.train(data, run, root=run.parent, plan=rule, journal=tmp_path / "journal")
        if not ended.faults:
            continue
        assert ended.code in (0, 5), f"{rule}: {ended.stderr}"
        outcomes.append("stopped" if ended.code else "went on")
        for lost in losses_after_failures(before, ended, run):
            name = ended.faults[0].path.rpartition("/")[2]
            wrong.append(f"{rule} ({name}): {lost}")
            break
    with capsys.disabled():
        print(f"\n{len(outcomes)} syncs that failed: {training.counted(outcomes)}")
    assert len(outcomes) >= (len(plans) * 3 // 4 if FULL else 4)
    assert not wrong, "\n".join(wrong)


def losses_after_failures(tree, ended, run):
    rows = (run / "rows.jsonl").read_bytes() if (run / "rows.jsonl").exists() else b""
    for number, record in enumerate(ended.records, 1):
        tree.apply(record)
        if record.op == "fault":
            tree.sync_failed(record)
        last = number == len(ended.records)
        if not last and record.op not in ("fault", "rename", "unlink", "sync", "sync_folder"):
            continue
        saved = training.committed(ended.records[:number])
        for variant in VARIANTS:
            if lost := loss(tree.after_cut(variant), saved, rows, finished_files(run.parent) if last and ended.code == 0 else None):
                yield f"cut behind call {number}, {variant}: {lost}"
