"""`kill -9` during a run and during its resumes: the resume begins at the newest checkpoint and ends
as the run that was never killed."""

import collections
import random
import signal

import pytest

import disk
import injection
import training
from training import FULL

SEED = 20260102


@pytest.fixture
def killed(reference, data, tmp_path):
    """killed(plan): a run that a plan killed, and how it ended.

    A snapshot that waits while the disk is slow gives way to a newer one, so that a run may make fewer
    calls than the plan was drawn for: such a run ends untouched, and is made again with an earlier call."""
    def kill(plan):
        kind, calls, number, *_ = plan.split(":")
        for earlier in range(0, int(number), 25):
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


def newest(run):
    return max(training.whole_checkpoints(disk.read(run.parent)), default=0)


def check_resumed(run, ended, expected_step, reference, what):
    assert ended.code == 0, f"{what}: {ended.stderr}"
    assert training.restarts(run)[-1]["step"] == expected_step, what
    assert training.result(run) == reference.result, what


def kill_and_resume(plan, killed, reference):
    run, ended = killed(plan)
    step = newest(run)
    durable = training.committed(ended.records)
    assert step >= max(durable, default=0), f"{plan}: step {step} with {durable} committed"
    check_resumed(run, training.resume(run), step, reference, plan)
    return training.phase(ended.faults[0]), step


def points(reference, first, last, count, seed):
    """Half of them anywhere, half spread over the phases, most of which are short."""
    choice = random.Random(seed)
    numbers = collections.defaultdict(list)
    for number, record in enumerate(injection.changes(reference.records), 1):
        if first <= number <= last:
            numbers[training.phase(record)].append(number)
    for index in range(count):
        phase = sorted(numbers)[index // 2 % len(numbers)]
        number = choice.choice(numbers[phase]) if index % 2 else choice.randint(first, last)
        yield f"{choice.choice(['kill', 'kill_after', 'tear'])}:any:{number}:{number}:0"


def test_the_undisturbed_run_saves_what_the_others_are_held_to(reference):
    assert reference.result["step"] == training.STEPS
    # Six are due; a snapshot that waits while the disk is slow gives way to a newer one.
    assert len(reference.saves) >= 3 and reference.saves[-1] == training.STEPS
    assert [row["step"] for row in reference.result["rows"] if row["type"] == "batch"] == list(range(training.STEPS))


def test_the_comparison_sees_a_lost_a_repeated_and_a_changed_row(reference, tmp_path):
    run = training.copy_run(reference.run, tmp_path / "disk")
    assert training.result(run) == reference.result
    lines = (run / "rows.jsonl").read_text().splitlines(keepends=True)
    for changed in (lines[:4] + lines[5:], lines[:5] + lines[4:], lines[:4] + [lines[4].replace('"lr":', '"lr":1')] + lines[5:]):
        (run / "rows.jsonl").write_text("".join(changed))
        assert training.result(run) != reference.result


def test_kills_at_random_calls(killed, reference, capsys):
    outcomes = [kill_and_resume(plan, killed, reference)
                for plan in points(reference, reference.first_save + 1, reference.calls - 1, 300 if FULL else 20, SEED)]
    # On a slow disk the first one may be killed a little before the first checkpoint is whole.
    assert sum(step > 0 for _, step in outcomes) > len(outcomes) // 2
    with capsys.disabled():
        print(f"\n{len(outcomes)} kills: {training.counted(phase for phase, _ in outcomes)}")


@pytest.mark.skipif(not FULL, reason="with --all only: a run for each call of a save")
def test_kills_at_every_call_of_a_save(killed, reference, capsys):
    calls = injection.changes(reference.records)
    save = [number for number, record in enumerate(calls, 1) if training.phase(record).startswith(("save", "prune"))]
    # From the third commit to the fourth: one that prunes.
    commits = [number for number in save if calls[number - 1].op == "sync_folder"]
    phases = []
    for number in [n for n in save if commits[2] < n <= commits[3] + 2]:
        for kind in ("kill", "tear"):
            phases.append(kill_and_resume(f"{kind}:any:{number}:{number}:0", killed, reference)[0])
    assert {"save: write", "save: sync", "save: rename", "save: sync_folder"} <= set(phases)
    with capsys.disabled():
        print(f"\n{len(phases)} kills: {training.counted(phases)}")


def test_kills_before_the_first_checkpoint_start_again(killed, reference):
    for plan in points(reference, reference.first_save // 2, reference.first_save - 1, 10 if FULL else 3, SEED + 1):
        run, _ = killed(plan)
        if (run / "args.json").exists():
            step = newest(run)
            check_resumed(run, training.resume(run), step, reference, plan)
        else:
            assert training.resume(run).code == 2


def test_kills_during_a_resume(killed, reference, tmp_path, capsys):
    """And, with a second seed, twice."""
    phases = []
    for again in (1, 2):
        choice = random.Random(SEED + 1 + again)
        for plan in points(reference, reference.first_save + 1, reference.calls - 1, 20 if FULL else 3, SEED + 3 + again):
            run, _ = killed(plan)
            for _ in range(again):
                before = newest(run)
                # What a resume does before it trains takes about ten calls.
                number = choice.randint(1, choice.choice([12, reference.calls // 2]))
                second = f"kill:any:{number}:{number}:0"
                ended = training.resume(run, root=run.parent, plan=second, journal=tmp_path / "again")
                assert ended.code in (0, -signal.SIGKILL), f"{plan}, {second}: {ended.stderr}"
                if ended.code == 0:
                    break
                phases.append(training.phase(ended.faults[0]))
                assert newest(run) >= before, f"{plan}, {second}: lost a checkpoint"
            if ended.code != 0:
                step = newest(run)
                check_resumed(run, training.resume(run), step, reference, f"{plan}, then {second}")
            assert training.result(run) == reference.result
    with capsys.disabled():
        print(f"\n{len(phases)} kills of resumes: {training.counted(phases)}")


@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_the_resume_is_exact(sent, code, reference, data, tmp_path):
    choice, kept, wanted = random.Random(SEED + sent), 0, 20 if FULL else 1
    for _ in range(5 * wanted + 25):  # on a busy machine many a run of a fraction of a second ends first
        if kept == wanted:
            break
        number = choice.randint(10, reference.calls // 4)
        run = training.copy_run(None, tmp_path / "disk")
        ended = training.train(data, run, root=run.parent, plan=f"signal:any:{number}:{number}:{int(sent)}")
        if ended.code == 0:
            continue  # the run ended before the thread that waits for signals was awake
        assert ended.code == code, f"call {number}: {ended.code} {ended.stderr}"
        kept += 1
        stopped = training.rows(run)[-1]
        assert stopped["type"] == "end" and stopped["status"] == "interrupted"
        assert newest(run) == stopped["step"] and str(run) in ended.stderr
        check_resumed(run, training.resume(run), stopped["step"], reference, f"signal at call {number}")
    assert kept == wanted
