"""The program from outside, and data that a run takes a second on: what these tests share."""

import json
import os
import subprocess

# Ends what would never end; long enough for a sanitizer, and for a machine that is held up.
WAIT_SECONDS = 900

PROGRAM = os.environ["FATWOOD_PROGRAM"]


def fatwood(*args, timeout=WAIT_SECONDS, **options):
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=timeout, **options)


def refused(result, code, *words):
    """One error line of the kind, no signal, no traceback."""
    assert result.returncode == code, result.stderr
    errors = [line for line in result.stderr.splitlines() if " error: " in line]
    assert len(errors) == 1 and errors[0].startswith("fatwood: "), result.stderr
    for word in words:
        assert str(word) in errors[0], errors[0]
    assert "frame #" not in result.stderr


def rows_of(run):
    return [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]


def same(left, right):
    result = fatwood("diff-runs", left, right)
    assert result.returncode == 0, result.stdout + result.stderr
