"""clang-tidy over every source of a build: tidy.py BUILD CLANG_TIDY

A unit that passed is not looked at again until one of its sources, a header of ours, the configuration
or clang-tidy changes: BUILD/tidy-passed.json holds those digests. Ends with "N passed, N failed".
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = [ROOT / folder for folder in ("src", "apps", "tests", "bench", "examples")]
# The sources for one instruction set: half a minute of clang-tidy each, for the same templates every time. And CUDA C++, which
# is written as nvcc wants it.
LEFT_OUT = {ROOT / "src/fatwood/kernels/targets", ROOT / "tests/cuda/emulated.cpp"}
# clang knows neither g++'s warnings nor its precompiled header; its own folder lacks omp.h.
GCC_HEADERS = subprocess.run(["g++", "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
ARGUMENTS = ["-Wno-unknown-warning-option", "-Wno-ignored-gch", f"-idirafter{GCC_HEADERS}"]
# CMake's unity files include sources.
CHECKS = "-bugprone-suspicious-include"
# A test that reads an empty optional fails, as it should; its sizes are small, and its time no user's.
CHECKS_OF_TESTS = CHECKS + (",-bugprone-unchecked-optional-access,-bugprone-implicit-widening-of-multiplication-result"
                            ",-performance-unnecessary-value-param,-performance-no-int-to-ptr,-performance-for-range-copy")


def is_ours(file):
    return any(folder in file.parents for folder in OURS)


def is_test(file):
    """What only developers run: the tests, the benchmarks, the examples."""
    return not any(folder in file.parents for folder in OURS[:2])


def sources_in(file):
    """The source itself, or those that CMake's unity file includes."""
    inside = [file] if is_ours(file) else [Path(name) for name in re.findall(r'^#include "(/[^"]+\.cpp)"', file.read_text(), re.MULTILINE)]
    return [source for source in inside if is_ours(source) and not LEFT_OUT & {source, *source.parents}]


def with_module(build, arguments):
    """The arguments with the precompiled header, if they name one, as a clang module: LibTorch's headers
    take clang 20 s, which the first unit then spends for all. They must not differ in what a module
    depends on: optimisation, and macros that the header does not read."""
    if "-include" not in arguments:
        return arguments
    header = arguments[arguments.index("-include") + 1]
    folder = build / "tidy" / hashlib.sha256(header.encode()).hexdigest()[:8]
    folder.mkdir(exist_ok=True)
    write_if_new(folder / "module.modulemap", f'module precompiled [system] {{ header "{header}" export * }}\n')
    kept = [word for word in arguments if not word.startswith(("-O", "--param"))]
    macros = [re.match(r"-D(\w+)", word).group(1) for word in kept if word.startswith("-D") and word != "-DNDEBUG"]
    return [*kept, *(f"-fmodules-ignore-macro={macro}" for macro in macros), "-fmodules", f"-fmodules-cache-path={folder}",
            f"-fmodule-map-file={folder}/module.modulemap", "-fmodules-validate-system-headers"]


def write_if_new(file, text):
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def units(build):
    """{unit: (its sources, the compiler's arguments)}. The sources of a target with the same arguments
    are one unit, a file in BUILD/tidy that includes them: their headers are read once. So are the small
    programs on LibTorch, whose `main` gets a name of its own: a unit takes 7 s for LibTorch's names alone."""
    groups = {}
    for command in json.loads((build / "compile_commands.json").read_text()):
        file = Path(command["directory"], command["file"]).resolve()
        words = shlex.split(command["command"])[1:]
        output = Path(words[words.index("-o") + 1])
        skipped = {words.index(flag) + skip for flag in ("-o", "-c") for skip in (0, 1)}
        arguments = [word for index, word in enumerate(words) if index not in skipped and word != "-Werror"]
        target = next(part.stem for part in output.parents if part.name.endswith(".dir"))
        groups.setdefault((target, tuple(arguments)), []).extend(sources_in(file))
    joined = {}
    for (target, arguments), sources in sorted(groups.items()):
        small = len(sources) == 1 and is_test(sources[0]) and "-include" in arguments
        joined.setdefault(("programs" if small else target, arguments), []).extend(sources)
    found = {}
    (build / "tidy").mkdir(exist_ok=True)
    for (name, arguments), sources in joined.items():
        if not sources:
            continue
        unit = build / "tidy" / f"{name}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:8]}.cpp"
        include = '#define main main_{}\n#include "{}"\n#undef main\n' if name == "programs" else '#include "{1}"\n'
        write_if_new(unit, "".join(include.format(index, source) for index, source in enumerate(sources)))
        found[unit] = sources, with_module(build, arguments)
    return found


def ground(tidy):
    """What every file's result depends on beside the file itself."""
    digest = hashlib.sha256(subprocess.run([tidy, "--version"], capture_output=True, check=True).stdout)
    headers = sorted(header for folder in OURS for header in folder.rglob("*.h"))
    for path in [ROOT / ".clang-tidy", Path(__file__), *headers]:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def check(tidy, unit, sources, arguments):
    command = [tidy, "--quiet", f"--checks={CHECKS_OF_TESTS if is_test(sources[0]) else CHECKS}", str(unit), "--", *arguments, *ARGUMENTS]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode == 0, result.stdout + (result.stderr if result.returncode else "")


def main():
    build, tidy = Path(sys.argv[1]), sys.argv[2]
    cache = build / "tidy-passed.json"
    found = units(build)
    assert sum(len(sources) for sources, _ in found.values()) > 100, f"{build}: not the database of the whole build"
    base = ground(tidy).encode()
    digests = {unit: hashlib.sha256(base + repr(arguments).encode() + b"".join(source.read_bytes() for source in sources)).hexdigest()
               for unit, (sources, arguments) in found.items()}
    known = set(json.loads(cache.read_text())) if cache.exists() else set()
    to_check = sorted((unit for unit in found if digests[unit] not in known), reverse=True,
                      key=lambda unit: sum(source.stat().st_size for source in found[unit][0]))
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for unit, (good, output) in zip(to_check, pool.map(lambda unit: check(tidy, unit, *found[unit]), to_check)):
            if good:
                known.add(digests[unit])
                cache.write_text(json.dumps(sorted(known & set(digests.values()))))
            else:
                failed += 1
                print(f"{unit.stem}\n{output}", flush=True)
    print(f"{len(found) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
