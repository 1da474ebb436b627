"""Command lines and option files that are wrong (bad_options.py): a documented exit code, one message,
no signal, nothing left behind. FATWOOD_FAULTS is "quick" or "full" (500 of them)."""

import os
import shutil
import subprocess
import unicodedata

import pytest

import bad_options
import tiny_data

PROGRAM = os.environ["FATWOOD_PROGRAM"]
COUNT = 500 if os.environ.get("FATWOOD_FAULTS") == "full" else 40
SEED = 20260103
KINDS = {2: "usage", 3: "data", 4: "model", 5: "io"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data.make(tmp_path_factory.mktemp("data"))


def problem(result, folder, what):
    """What is wrong with how a command line was refused, or None."""
    if result.returncode not in KINDS:
        return f"exit code {result.returncode}"
    lines = result.stderr.split("\n")
    if not (len(lines) == 2 and lines[1] == ""):
        return f"{len(lines) - 1} lines"
    if not lines[0].startswith(f"fatwood: {KINDS[result.returncode]} error: "):
        return "no message of that kind"
    if any(unicodedata.category(character) == "Cc" for character in lines[0]):
        return "control characters in the message"
    if len(lines[0]) > 1000:
        return f"a message of {len(lines[0])} characters"
    if result.stdout:
        return "something on standard output"
    if any(folder.iterdir()):
        return f"left {sorted(path.name for path in folder.iterdir())}"
    return None


def test_wrong_options_are_refused_with_one_message(data, tmp_path):
    work, config = tmp_path / "work", tmp_path / "options.ini"
    work.mkdir()
    problems, codes = [], dict.fromkeys(KINDS, 0)
    for index, (what, arguments, text) in enumerate(bad_options.cases(COUNT, SEED)):
        if text is not None:
            config.write_bytes(text)
        places = {"{config}": str(config), "{data}": str(data), "{output}": str(work / "run")}
        for place, path in places.items():
            arguments = [argument.replace(place, path) for argument in arguments]
        result = subprocess.run([PROGRAM, *arguments], cwd=work, capture_output=True, text=True,
                                errors="replace", stdin=subprocess.DEVNULL, timeout=600)
        if wrong := problem(result, work, what):
            problems.append(f"{index} ({what}): {wrong}\n    {[a[:80] for a in arguments]} {(text or b'')[:60]}\n"
                            f"    {result.stderr[-400:]!r}")
        else:
            codes[result.returncode] += 1
        for left in work.iterdir():  # not the next one's fault
            shutil.rmtree(left)
    assert not problems, f"{len(problems)} of {COUNT}\n" + "\n".join(problems)
    print(f"{COUNT} refused, by exit code: {codes}")
