"""Command lines and option files that are wrong (bad_options.py): a documented exit code, one message that
names the file at fault, no signal, nothing left behind, little time and memory. FATWOOD_FAULTS is "quick" or
"full" (500 of them)."""

import dataclasses
import os
import resource
import shutil
import subprocess
import threading
import unicodedata

import pytest

import bad_options
import tiny_data

PROGRAM = os.environ["FATWOOD_PROGRAM"]
COUNT = 500 if os.environ.get("FATWOOD_FAULTS") == "full" else 40
SEED = 20260103
KINDS = {2: "usage", 3: "data", 4: "model", 5: "io"}
CPU_SECONDS = 10
WAIT_SECONDS = 600
# Above what `--version` takes. A sanitizer keeps memory of its own.
MORE_MIB = None if os.environ.get("FATWOOD_SANITIZE") else 256


@dataclasses.dataclass
class Refused:
    returncode: int
    stdout: str
    stderr: str
    cpu_seconds: float
    peak_mib: float


def start(arguments, work):
    """Runs the program in `work`; what it says goes to files beside that."""
    said = [work.parent / "stdout", work.parent / "stderr"]
    with open(said[0], "wb") as stdout, open(said[1], "wb") as stderr:
        process = subprocess.Popen([PROGRAM, *arguments], cwd=work, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    # Ends what would never end; what takes more than it may is told by its usage.
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (6 * CPU_SECONDS, 6 * CPU_SECONDS))
    patience = threading.Timer(WAIT_SECONDS, process.kill)  # for one that waits and takes no time
    patience.start()
    _, status, usage = os.wait4(process.pid, 0)
    patience.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    stdout, stderr = (path.read_bytes().decode(errors="replace") for path in said)
    return Refused(process.returncode, stdout, stderr, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def file_at_fault(arguments, text, config):
    """The path that a message must name, or None: the option file, or what was given in the place of a file."""
    if text is not None:
        return str(config)
    if arguments[0:1] == ["train"] and arguments[-2:-1] == ["--config"]:
        return arguments[-1] or None
    if arguments[0:1] and arguments[0] in bad_options.RUN_COMMANDS and len(arguments) == 2:
        target = arguments[1]
        return target if target and target.isprintable() and not target.startswith("-") else None
    return None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_data.make(tmp_path_factory.mktemp("data"))


def problem(result, folder, named, base):
    """What is wrong with how a command line was refused, or None."""
    if result.cpu_seconds > CPU_SECONDS:
        return f"{result.cpu_seconds:.1f} s of CPU time"
    if MORE_MIB and result.peak_mib > base + MORE_MIB:
        return f"{result.peak_mib:.0f} MiB, the program takes {base:.0f}"
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
    if named and named not in lines[0]:
        return f"no word of {named}"
    if result.stdout:
        return "something on standard output"
    if any(folder.iterdir()):
        return f"left {sorted(path.name for path in folder.iterdir())}"
    return None


def test_wrong_options_are_refused_with_one_message(data, tmp_path, capsys):
    work, config = tmp_path / "work", tmp_path / "options.ini"
    work.mkdir()
    base = start(["--version"], work)
    assert base.returncode == 0
    problems, codes, cpu, more, named = [], dict.fromkeys(KINDS, 0), 0, 0, 0
    for index, (what, arguments, text) in enumerate(bad_options.cases(COUNT, SEED)):
        if text is not None:
            config.write_bytes(text)
        places = {"{config}": str(config), "{data}": str(data), "{output}": str(work / "run")}
        for place, path in places.items():
            arguments = [argument.replace(place, path) for argument in arguments]
        result, fault = start(arguments, work), file_at_fault(arguments, text, config)
        cpu, more, named = max(cpu, result.cpu_seconds), max(more, result.peak_mib - base.peak_mib), named + bool(fault)
        if wrong := problem(result, work, fault, base.peak_mib):
            problems.append(f"{index} ({what}): {wrong}\n    {[a[:80] for a in arguments]} {(text or b'')[:60]}\n"
                            f"    {result.stderr[-400:]!r}")
        else:
            codes[result.returncode] += 1
        for left in work.iterdir():  # not the next one's fault
            shutil.rmtree(left)
    with capsys.disabled():
        print(f"\n{COUNT - len(problems)} of {COUNT} refused as they should be, by exit code {codes}; {named} name a file; "
              f"at most {cpu:.1f} s of CPU time, {more:.0f} MiB above {base.peak_mib:.0f}")
    assert not problems, f"{len(problems)} of {COUNT}\n" + "\n".join(problems)
