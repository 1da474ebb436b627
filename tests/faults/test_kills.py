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


def newest(run):
    return max(training.whole_checkpoints(disk.read(run.parent)), default=0)


def check_resumed(run, expected_step, reference, what):
    """Resumes the run, which must begin at that step; one that made fewer calls than the reference may have ended by then."""
    finished = training.finished(run)
    ended = training.resume(run)
    assert ended.code == 0, f"{what}: {ended.stderr}"
    if finished:
        assert expected_step == training.STEPS and "nothing to resume" in ended.stderr, what
    else:
        assert training.restarts(run)[-1]["step"] == expected_step, what
    assert training.result(run) == reference.result, what


def kill_and_resume(plan, killed, reference):
    """The phase of the kill, the last checkpoint committed before it (0 for none), the step of the resume."""
    run, ended = killed(plan)
    step, last = newest(run), max(training.committed(ended.records), default=0)
    # One that was renamed may be whole before it is committed.
    assert step >= last, f"{plan}: step {step}, committed {last}"
    check_resumed(run, step, reference, plan)
    return training.phase(ended.faults[0]), last, step


def check_steps(outcomes):
    """Every run that had committed a checkpoint resumed past step 0; says how many did."""
    assert all(step >= last > 0 or last == 0 for _, last, step in outcomes)
    committed, past = (sum(outcome[column] > 0 for outcome in outcomes) for column in (1, 2))
    return f"{committed} behind a commit, {past} resumed past step 0"


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
    said = check_steps(outcomes)
    # Drawn behind the reference run's first commit; on a slow disk a run's own may come a little later.
    assert sum(last > 0 for _, last, _ in outcomes) > len(outcomes) * 3 // 4, said
    with capsys.disabled():
        print(f"\n{len(outcomes)} kills, {said}: {training.counted(phase for phase, _, _ in outcomes)}")


@pytest.mark.skipif(not FULL, reason="with --all only: a run for each call of a save")
def test_kills_at_every_call_of_a_save(killed, reference, capsys):
    calls = injection.changes(reference.records)
    save = [number for number, record in enumerate(calls, 1) if training.phase(record).startswith(("save", "prune"))]
    # From the third commit to the fourth: one that prunes.
    commits = [number for number in save if calls[number - 1].op == "sync_folder"]
    outcomes = [kill_and_resume(f"{kind}:any:{number}:{number}:0", killed, reference)
                for number in save if commits[2] < number <= commits[3] + 2 for kind in ("kill", "tear")]
    # Checkpoints are written on another thread than rows: under load a number meets another call than the reference
    # run's. What none met is met by its number among the calls of its kind, of which there are few.
    for op in ("write", "sync", "rename", "sync_folder"):
        alike = (record for record in calls if record.op == op)
        numbers = [number for number, record in enumerate(alike, 1) if training.phase(record) == f"save: {op}"]
        for number in numbers[len(numbers) // 2:]:
            if f"save: {op}" not in {phase for phase, _, _ in outcomes}:
                outcomes.append(kill_and_resume(f"kill:{op}:{number}:{number}:0", killed, reference))
    phases, said = [phase for phase, _, _ in outcomes], check_steps(outcomes)
    assert {"save: write", "save: sync", "save: rename", "save: sync_folder"} <= set(phases)
    assert all(last > 0 for _, last, _ in outcomes), said
    with capsys.disabled():
        print(f"\n{len(outcomes)} kills in a save, {said}: {training.counted(phases)}")


def test_a_run_that_is_killed_when_all_is_written_has_ended(killed, reference):
    """Its last call makes the name of its weights durable; a run killed behind its rename is one that ended by itself."""
    for plan in (f"{kind}:any:{number}:{number}:0" for number in (reference.calls - 1, reference.calls) for kind in ("kill", "kill_after")):
        run, _ = killed(plan)
        check_resumed(run, newest(run), reference, plan)
        assert training.finished(run)


def test_kills_before_the_first_checkpoint_start_again(killed, reference):
    for plan in points(reference, reference.first_save // 2, reference.first_save - 1, 10 if FULL else 3, SEED + 1):
        run, _ = killed(plan)
        if (run / "args.json").exists():
            step = newest(run)
            check_resumed(run, step, reference, plan)
        else:
            assert training.resume(run).code == 2


def test_kills_while_a_run_is_overwritten(reference, data, tmp_path):
    """What is left of the old run is overwritten again, or starts anew: never checkpoints without the rows that they count."""
    resumed = 0
    for number in range(1, 11) if FULL else (2, 4, 5):
        run = training.copy_run(reference.run, tmp_path / "disk")
        ended = training.train(data, run, "--overwrite", root=run.parent, plan=f"kill_after:unlink:{number}:{number}:0", journal=tmp_path / "journal")
        assert ended.code == -signal.SIGKILL, f"unlink {number}: {ended.code} {ended.stderr}"
        if not (run / "args.json").exists():
            assert training.train(data, run).code == 0
        elif not training.finished(run):
            ended = training.resume(run)
            assert ended.code == 0, f"unlink {number}: {ended.stderr}"
            resumed += 1
        else:
            assert "nothing to resume" in training.resume(run).stderr
            assert training.train(data, run, "--overwrite").code == 0
        assert training.result(run) == reference.result, f"unlink {number}"
    assert resumed > 0


@pytest.mark.parametrize("times", [1, 2])
def test_kills_during_resumes(times, killed, reference, tmp_path, capsys):
    """Runs that were killed, and whose next one or two resumes were killed too."""
    choice, wanted = random.Random(SEED + 1 + times), 20 if FULL else 3
    phases, done, past = [], 0, 0
    for plan in points(reference, reference.first_save + 1, reference.calls - 1, 5 * wanted, SEED + 3 + times):
        if done == wanted:
            break
        run, _ = killed(plan)
        met = []
        for _ in range(times):
            before = newest(run)
            # What a resume does before it trains takes about ten calls.
            number = choice.randint(1, choice.choice([12, reference.calls // 2]))
            second = f"kill:any:{number}:{number}:0"
            ended = training.resume(run, root=run.parent, plan=second, journal=tmp_path / "again")
            assert newest(run) >= max([before, *training.committed(ended.records)]), f"{plan}, {second}: lost a checkpoint"
            if ended.code == 0:  # it took fewer calls than that
                assert not ended.faults and training.result(run) == reference.result, f"{plan}, {second}"
                break
            assert ended.code == -signal.SIGKILL, f"{plan}, {second}: {ended.stderr}"
            met.append(training.phase(ended.faults[0]))
        if len(met) < times:
            continue
        done += 1
        phases += met
        step = newest(run)
        past += step > 0
        check_resumed(run, step, reference, f"{plan}, then {second}")
    assert done == wanted and len(phases) == times * wanted
    with capsys.disabled():
        print(f"\n{done} runs killed {times + 1} times, {past} of them resumed past step 0 in the end; "
              f"kills of resumes: {training.counted(phases)}")


@pytest.mark.parametrize("sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_the_resume_is_exact(sent, code, reference, data, tmp_path, capsys):
    """At one call of each of as many parts of the run as there are runs; never twice at the same call."""
    choice, wanted = random.Random(SEED + sent), 20 if FULL else 3
    parts = [choice.sample(part, len(part)) for part in
             (range(1 + reference.calls * index // wanted, 1 + reference.calls * (index + 1) // wanted) for index in range(wanted))]
    points, parts_hit, finished = [], set(), 0
    for turn in range(25):
        for index, part in enumerate(parts):
            # The last parts may have no step left that a signal could end: others get a second one then.
            if len(points) == wanted or not part or (turn < 5 and index in parts_hit):
                continue
            number = part.pop()
            run = training.copy_run(None, tmp_path / "disk")
            ended = training.train(data, run, root=run.parent, plan=f"signal:any:{number}:{number}:{int(sent)}",
                                   journal=tmp_path / "journal")
            if ended.code == 0:  # the run was at its end before the thread that waits for signals was awake
                assert training.result(run) == reference.result, f"signal at call {number}"
                finished += bool(ended.faults)
                continue
            assert ended.code == code, f"call {number}: {ended.code} {ended.stderr}"
            stopped = training.rows(run)[-1]
            assert stopped["type"] == "end" and stopped["status"] == "interrupted"
            assert newest(run) == stopped["step"] and str(run) in ended.stderr
            check_resumed(run, stopped["step"], reference, f"signal at call {number}")
            points.append(number)
            parts_hit.add(index)
    assert len(points) == len(set(points)) == wanted
    assert min(points) <= reference.calls // 3 and max(points) > reference.calls // (2 if FULL else 4)
    with capsys.disabled():
        print(f"\n{wanted} runs interrupted by {sent.name} at {len(set(points))} calls from {min(points)} to {max(points)} of "
              f"{reference.calls}, in {len(parts_hit)} of {wanted} parts; {finished} more had ended")


def test_a_second_signal_during_a_save_leaves_what_resumes_exactly(reference, data, tmp_path, capsys):
    wanted, phases, numbers = 20 if FULL else 2, [], []
    saves = [number for number, record in enumerate(injection.changes(reference.records), 1)
             if training.phase(record).startswith("save") and number < reference.calls * 3 // 4]
    for number in random.Random(SEED + 100).sample(saves, min(5 * wanted + 10, len(saves))):
        if len(numbers) == wanted:
            break
        run = training.copy_run(None, tmp_path / "disk")
        ended = training.train(data, run, root=run.parent, journal=tmp_path / "journal",
                               plan=f"signal:any:{number}:{number}:2 signal:any:{number + 1}:{number + 1}:15")
        if ended.code == 0:
            continue
        what = f"signals at call {number}"
        # Not 130, with which the first alone would have ended the run.
        assert ended.code == 143 and "resume with" not in ended.stderr, f"{what}: {ended.code} {ended.stderr}"
        if training.finished(run):  # it was at its end before the signals were heard
            assert training.result(run) == reference.result, what
            continue
        step = newest(run)
        assert step >= max(training.committed(ended.records), default=0), what
        check_resumed(run, step, reference, what)
        numbers.append(number)
        phases.append(training.phase(ended.faults[0]))
    assert len(numbers) == wanted
    with capsys.disabled():
        print(f"\n{wanted} runs ended by a second signal: {training.counted(phases)}")
