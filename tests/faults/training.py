"""Runs of `fatwood train` on a tiny data set: made, cut short, resumed, and what they leave compared."""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import safetensors.numpy

import disk
import injection

PROGRAM = os.environ["FATWOOD_PROGRAM"]
FULL = os.environ.get("FATWOOD_FAULTS") == "full"

# 160 images in batches of 32: 5 steps an epoch, 10 in all, a checkpoint at every other one.
OPTIONS = ["--model", "cnn", "--nfs", "2,4,4,8", "--epochs", "2", "--batch-size", "32", "--threads", "1",
           "--checkpoint-steps", "2"]
STEPS = 10
CHECKPOINT = re.compile(r"step-(\d+)\.safetensors")
DIGEST_BYTES = 32


@dataclasses.dataclass
class Ended:
    code: int
    stdout: str
    stderr: str
    records: list

    @property
    def faults(self):
        return [record for record in self.records if record.op == "fault"]


def program(arguments, root=None, plan="", journal=None, **options):
    """Under the shim when there is a `root`."""
    command = [PROGRAM, *map(str, arguments)]
    if root is None:
        result = subprocess.run(command, capture_output=True, timeout=injection.WAIT_SECONDS, **options)
    else:
        if journal:
            journal.unlink(missing_ok=True)
        result = injection.run(command, root, plan, journal, **options)
    records = injection.read_journal(journal) if journal and journal.exists() else []
    return Ended(result.returncode, result.stdout.decode(), result.stderr.decode(), records)


def train(data, run, *more, **shim):
    return program(["train", *OPTIONS, "--data", data, "--output", run, *more], **shim)


def resume(run, *more, **shim):
    return program(["train", "--resume", run, *more], **shim)


# ----------------------------------------------------------------------------- what a run leaves

def is_whole(checkpoint):
    return (len(checkpoint) > DIGEST_BYTES and
            hashlib.sha256(checkpoint[:-DIGEST_BYTES]).digest() == checkpoint[-DIGEST_BYTES:])


def about(checkpoint):
    header = json.loads(checkpoint[8:8 + int.from_bytes(checkpoint[:8], "little")])
    return json.loads(header["__metadata__"]["fatwood.checkpoint"])


def whole_checkpoints(tree, run="run"):
    """{step: content} of those in a tree whose digest is right."""
    found = {}
    for path, content in tree.items():
        folder, _, name = path.rpartition("/")
        match = CHECKPOINT.fullmatch(name)
        if match and folder == f"{run}/checkpoints" and content is not None and is_whole(content):
            found[int(match[1])] = content
    return found


def without_times(row):
    return {key: value for key, value in row.items() if key != "timing"}


def rows(run):
    return [without_times(json.loads(line)) for line in (run / "rows.jsonl").read_text().splitlines()]


def finished(run):
    """Whether a run came to its end by itself and left its weights: there is nothing to resume then."""
    if not (run / "model.safetensors").exists() or not (run / "rows.jsonl").exists():
        return False
    last = json.loads((run / "rows.jsonl").read_text().rpartition("\n")[0].rpartition("\n")[2])
    return last["type"] == "end" and last["status"] == "completed"


def result(run, events=True):
    """All of a run that must not depend on what happened to it; with `events` also what a failed save
    changes: the rows that say so, and the last checkpoint."""
    kept = rows(run)
    if not events:
        kept = [row for row in kept if row["type"] != "event"]
    found = {
        "weights": (run / "model.safetensors").read_bytes(),
        "rows": kept,
        # The last three columns are times.
        "summary": [line.split(",")[:-3] for line in (run / "summary.csv").read_text().splitlines()],
    }
    if events:
        step, checkpoint = max(whole_checkpoints(disk.read(run.parent), run.name).items())
        said = about(checkpoint)
        said.pop("timing", None)
        tensors = safetensors.numpy.load(checkpoint)
        found |= {"step": step, "about": said,
                  "state": {name: (tensor.dtype.str, tensor.shape, tensor.tobytes())
                            for name, tensor in tensors.items() if name != "digest"}}
    return found


def restarts(run):
    path = run / "restarts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events(run):
    return [row for row in rows(run) if row["type"] == "event"]


# ------------------------------------------------------------------------------ from the journal

def committed(records):
    """Steps of the checkpoints whose name a sync of their folder made durable, in that order."""
    waiting, done = [], []
    for record in records:
        match = CHECKPOINT.fullmatch(record.path2.rpartition("/")[2])
        if record.op == "rename" and match:
            waiting.append(int(match[1]))
        elif record.op == "sync_folder" and record.path.endswith("/checkpoints"):
            done += waiting
            waiting = []
    return done


def phase(record):
    """What a run was doing at a call."""
    name = (record.path2 if record.op == "rename" else record.path).split("/run/")[-1]
    if name.startswith("checkpoints") or name.endswith("/checkpoints"):
        op = record.path2 if record.op == "fault" else record.op
        return "prune" if op == "unlink" else "save: " + op
    if name in ("rows.jsonl", "summary.csv"):
        return "rows"
    return "restart" if name == "restarts.jsonl" else "files of the run"


def counted(phases):
    return ", ".join(f"{name} {count}" for name, count in sorted(collections.Counter(phases).items()))


def copy_run(run, root):
    """A fresh disk `root` that holds a copy of `run`."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    if run:
        shutil.copytree(run, root / "run")
    return root / "run"
