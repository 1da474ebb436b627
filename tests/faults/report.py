"""What ctest's JUnit file RESULTS says of the faults in full: report.py RESULTS PROGRAM

The commit and machine that it runs at, the program's version and the tests' date, then of every entry its seeds, what
its tests printed and how it ended. Succeeds when each entry that there should be ran, passed at least one test and failed none.
"""

import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

HERE = pathlib.Path(__file__).parent
ENTRIES = {"faults_io": ["disk", "io"]} | {f"faults_{name}_full": [name] for name in ("kills", "options", "power", "refusals")}


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE).stdout


def machine():
    model = re.search(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{model.group(1) if model else os.uname().machine}, {os.cpu_count()} processors, Linux {os.uname().release.split('-')[0]}"


def commit():
    changed = said("git", "status", "--porcelain", "--", ".", "../../src", "../../apps").splitlines()
    return said("git", "rev-parse", "--short", "HEAD").strip() + (f", {len(changed)} files changed since" if changed else "")


def seeds(names):
    found = [line for name in names for line in (HERE / f"test_{name}.py").read_text().splitlines() if line.startswith("SEED")]
    return "".join(f", {line}" for line in found)


def report(entry, name, files):
    """The entry's part, and whether all is well."""
    output = "" if entry is None else entry.findtext("system-out") or ""
    passed = re.search(r"\b[1-9]\d* passed\b", output) and entry.find("failure") is None and entry.find("skipped") is None
    lines = [line.strip() for line in output.splitlines() if line.strip() and not re.fullmatch(r"[.sFE ]*(\[ *\d+%\])?", line.strip())]
    ended = "not run" if entry is None else f"{'passed' if passed else 'FAILED'} in {float(entry.get('time')):.0f} s"
    return "\n".join([f"== {name}: {ended} ({', '.join(f'test_{file}.py' for file in files)}{seeds(files)})", *lines]), bool(passed)


def main():
    results = ElementTree.parse(sys.argv[1])
    found = {entry.get("name"): entry for entry in results.iter("testcase")}
    parts = [report(found.get(name), name, files) for name, files in ENTRIES.items()]
    print(f"tests/faults in full, commit {commit()}, {results.getroot().get('timestamp')}")
    print(machine())
    print(", ".join(said(pathlib.Path(sys.argv[2]).resolve(), "--version").splitlines()))
    for text, _ in parts:
        print(f"\n{text}")
    print(f"\n{sum(good for _, good in parts)} of {len(parts)} entries passed")
    return not all(good for _, good in parts)


if __name__ == "__main__":
    sys.exit(main())
