"""Which calls are made to fail, and what a run has to say of it."""

import errno
import os
import random
import re

import training

CODES = {"create": ["ENOSPC", "EACCES", "EIO"], "write": ["ENOSPC", "EIO"], "sync": ["EIO", "ENOSPC"],
         "sync_folder": ["EIO"], "rename": ["EIO", "ENOSPC", "EACCES"], "unlink": ["EIO", "EACCES"],
         "open": ["EACCES", "EIO"], "read": ["EIO"], "close": ["EIO", "ENOSPC"], "mkdir": ["ENOSPC"],
         "truncate": ["EIO"]}
# Every call of these leaves a fault in the journal and is done as always.
COUNTING = "shorten:open:1:1000000:0 shorten:close:1:1000000:0 shorten:read:1:1000000:1000000000"

# (op, name of the file, why a run may say nothing when such a call fails). All others must be told: their
# failure costs the user a checkpoint, rows or a file, or leaves what should be gone.
SILENT = [
    ("close", r"run\.lock", "holds the number of the process alone; the lock goes with the descriptor"),
    ("close", r"rows\.jsonl", "its rows were synced with the last of them, or the run has stopped already and said why"),
    ("close", r"summary\.csv", "can be made from the rows, and is, by a resume"),
    ("close", r"restarts\.jsonl", "synced before"),
    ("write", r"rows\.jsonl", "stops the run, but for the row that says a save failed: that is on standard error then"),
    ("unlink", r"\.fatwood-\d+-\d+\.tmp", "half a file, which the next resume removes"),
]
# A resume lists both folders for such halves right behind its lock: as above.
LISTED = ("run", "checkpoints")


def name_of(path):
    return path.rpartition("/")[2]


def sorted_faults(records):
    """(must be told, may pass in silence): the faults in a journal."""
    must, may, before = [], [], None
    for record in records:
        if record.op != "fault":
            before = record
            continue
        name = name_of(record.path)
        lists_halves = (record.path2 == "open" and name in LISTED and before is not None and
                        (before.op, name_of(before.path)) == ("write", "run.lock"))
        listed = any(record.path2 == op and re.fullmatch(pattern, name) for op, pattern, _ in SILENT)
        (may if lists_halves or listed else must).append(record)
    return must, may


def halves_may_stay(records):
    return any(fault.path2 in ("open", "unlink") for fault in sorted_faults(records)[1])


def counts(records):
    """The calls of a run by kind; `records` of one under the plan COUNTING."""
    found = {op: sum(record.op == op for record in records) for op in CODES}
    for record in records:
        if record.op == "fault":
            found[record.path2] += 1
    return found


def rules(calls, seed):
    """Single failures and failures from some call onwards, in turn over the kinds of calls, and short transfers;
    none twice. `calls` says how many there are of each kind."""
    choice, given = random.Random(seed), set()
    kinds = [op for op in CODES if calls[op] > 0] + ["shorten"]
    for index in range(10**5):
        op = kinds[index % len(kinds)]
        kind, value = "fail", None
        if op == "shorten":
            kind, op = "shorten", choice.choice(["write", "write", "write", "read"] if calls["read"] else ["write"])
            value = choice.choice([1, 2, 7, 100])
        number = choice.randint(1, calls[op])
        last = choice.choice([number, number, number + 2, 10**6])
        # Beyond the last call of its kind one rule is as another.
        last = last if last <= calls[op] else 10**6 if number < calls[op] else number
        rule = f"{kind}:{op}:{number}:{last}:{value or getattr(errno, choice.choice(CODES[op]))}"
        if rule not in given:
            given.add(rule)
            yield rule


def told(run, ended, reason):
    """The lines that name a place on the run's disk and the reason."""
    return [line for line in ended.stderr.splitlines() if str(run.parent) in line and reason in line]


def check_said(run, ended, rule):
    """What a rule did is said; returns how. A call that was cut short is continued without a word."""
    kind, _, _, _, value = rule.split(":")
    if kind == "shorten":
        complaints = [line for line in ended.stderr.splitlines() if f"{run}/" in line and not line.startswith("resuming at step ")]
        assert ended.code == 0 and not complaints and not training.events(run), f"{rule}: {ended.stderr}"
        return "continued what was cut short"
    lines = told(run, ended, os.strerror(int(value)))
    what = f"{rule}: {[(fault.path2, fault.path) for fault in ended.faults][:5]} {ended.stderr}"
    if ended.code != 0:
        assert [line for line in lines if " error: " in line], what
        return "stopped and said so"
    must, _ = sorted_faults(ended.records)
    # A failure ends one save, which is told once; so is a prune, which goes on to the next file.
    wanted = sum(fault.path2 != "unlink" for fault in must)
    removed = [fault.path for fault in must if fault.path2 == "unlink"]
    wanted += max((removed.count(path) for path in removed), default=0)
    assert len(lines) >= wanted, f"{wanted} to be told, {what}"
    if not must:
        assert not training.events(run), what
        return "had nothing to say"
    return "went on and said so"
