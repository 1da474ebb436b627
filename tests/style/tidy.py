"""clang-tidy over every translation unit of a build: tidy.py BUILD CLANG_TIDY

A unit that passed is not looked at again until one of its sources, a header of ours, the configuration
or clang-tidy changes: BUILD/tidy-passed.json holds those digests. Ends with "N passed, N failed".
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = [ROOT / folder for folder in ("src", "apps", "tests", "bench", "examples")]
# The database holds g++'s commands: clang knows neither its warnings nor its precompiled header. CMake's
# unity files include sources.
GCC_HEADERS = subprocess.run(["g++", "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
ARGUMENTS = ["--quiet", "--checks=-bugprone-suspicious-include", "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-ignored-gch",
             f"--extra-arg=-idirafter{GCC_HEADERS}"]  # for omp.h


def is_ours(file):
    return any(folder in file.parents for folder in OURS)


def units(build):
    """Translation unit → the sources in it: itself, or those that CMake's unity file includes."""
    commands = json.loads((build / "compile_commands.json").read_text())
    for file in sorted({Path(command["directory"], command["file"]).resolve() for command in commands}):
        inside = [Path(name) for name in re.findall(r'^#include "(/[^"]+\.cpp)"', file.read_text(), re.MULTILINE)]
        inside = [file] if is_ours(file) else [source for source in inside if is_ours(source)]
        if inside:
            yield file, inside


def ground(tidy):
    """What every file's result depends on beside the file itself."""
    digest = hashlib.sha256(subprocess.run([tidy, "--version"], capture_output=True, check=True).stdout)
    headers = sorted(header for folder in OURS for header in folder.rglob("*.h"))
    for path in [ROOT / ".clang-tidy", Path(__file__), *headers]:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def check(tidy, build, unit):
    command = [tidy, "-p", str(build), *ARGUMENTS, str(unit)]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode == 0, result.stdout + (result.stderr if result.returncode else "")


def main():
    build, tidy = Path(sys.argv[1]), sys.argv[2]
    cache = build / "tidy-passed.json"
    sources = dict(units(build))
    assert sum(map(len, sources.values())) > 100, f"{build}: not the database of the whole build"
    base = ground(tidy).encode()
    digests = {unit: hashlib.sha256(base + b"".join(source.read_bytes() for source in inside)).hexdigest()
               for unit, inside in sources.items()}
    known = set(json.loads(cache.read_text())) if cache.exists() else set()
    to_check = [unit for unit in sources if digests[unit] not in known]
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for unit, (good, output) in zip(to_check, pool.map(lambda unit: check(tidy, build, unit), to_check)):
            if good:
                known.add(digests[unit])
                cache.write_text(json.dumps(sorted(known & set(digests.values()))))
            else:
                failed += 1
                print(f"{', '.join(str(source.relative_to(ROOT)) for source in sources[unit])}\n{output}", flush=True)
    print(f"{len(sources) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
