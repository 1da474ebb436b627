"""What the parsers promise of any file: a documented exit code, one message that names the file, no
signal, no output left behind, within time and memory.

FATWOOD_MALFORMED is "quick" (a part of each corpus) or "full" (faults.md's figures).
"""

import json
import os
import pathlib
import resource
import subprocess

import pytest
import safetensors

import malformed

PARSE_FILE = os.environ["FATWOOD_PARSE_FILE"]
FULL = os.environ.get("FATWOOD_MALFORMED", "quick") == "full"
SANITIZED = bool(os.environ.get("FATWOOD_SANITIZE"))

SEED = 20260101
DATA_ERROR = 3
# Of processor time, which a loaded machine does not stretch; a wait that never ends is caught by the
# second limit, of the clock.
SECONDS = 10
WAIT_SECONDS = 300
MEMORY = 256 << 20  # above what the program takes for a sound small file


def count(full):
    return full if FULL else full // 10


def run(format_, file, output, memory):
    # The limit is on addresses, which resident memory cannot exceed; AddressSanitizer reserves
    # terabytes of them, so there only the rest is checked.
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        if not SANITIZED:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run([PARSE_FILE, format_, file, output], capture_output=True,
                          timeout=WAIT_SECONDS, preexec_fn=limit)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The least address space, to within 1 MiB, that the program needs for a sound small file."""
    folder = tmp_path_factory.mktemp("base")
    file = folder / "in"
    file.write_bytes(malformed.safetensors_file({}, b""))
    if SANITIZED:
        assert run("safetensors", file, folder / "out", 0).returncode == 0
        return 0
    for megabytes in range(1, 200):
        if run("safetensors", file, folder / "out", megabytes << 20).returncode == 0:
            return megabytes << 20
    raise AssertionError("the program fails on a sound file")


def refuse(format_, what, data, suffix, folder, base):
    file = folder / ("in" + suffix)
    file.write_bytes(data)
    outputs = folder / "outputs"
    outputs.mkdir(exist_ok=True)
    kept = f"{what}: kept as {file}"
    result = run(format_, file, outputs / "out", base + MEMORY)
    message = result.stderr.decode()
    assert result.returncode == DATA_ERROR, f"{kept}: {result.returncode} {message}"
    assert message.count("\n") == 1 and message.endswith("\n"), f"{kept}: {message}"
    assert str(file) in message, f"{kept}: {message}"
    assert len(message) < 1000 and message.rstrip("\n").isprintable(), f"{kept}: {message!r}"
    assert result.stdout == b"", kept
    assert list(outputs.iterdir()) == [], kept
    file.unlink()


@pytest.mark.parametrize("dimensions", [1, 3])
def test_idx(dimensions, tmp_path, base):
    for what, data in malformed.idx(count(500), dimensions, SEED):
        suffix = ".gz" if what.endswith("packed") else ""
        refuse(f"idx{dimensions}", what, data, suffix, tmp_path, base)


def test_gzip(tmp_path, base):
    for what, data in malformed.gzip_streams(count(500), SEED):
        refuse("gzip", what, data, ".gz", tmp_path, base)


def test_safetensors_by_hand(tmp_path, base):
    for what, data in malformed.safetensors_by_hand():
        refuse("safetensors", what, data, "", tmp_path, base)


def test_safetensors(tmp_path, base):
    for what, data in malformed.safetensors_files(count(1940), SEED):
        refuse("safetensors", what, data, "", tmp_path, base)


@pytest.mark.skipif(not FULL, reason="gigabytes of files: with --all only")
def test_safetensors_huge(tmp_path, base):
    for what, data in malformed.safetensors_huge():
        refuse("safetensors", what, data, "", tmp_path, base)


def test_checkpoints(tmp_path, base):
    sound = tmp_path / "sound"
    sound.write_bytes(malformed.checkpoint_file(malformed.random.Random(SEED)))
    assert run("checkpoint", sound, tmp_path / "again", base + MEMORY).returncode == 0
    again, before = ({name for name, _ in safetensors.deserialize(path.read_bytes())} for path in (tmp_path / "again", sound))
    assert again == before
    for what, data in malformed.checkpoints(1 if FULL else 10, SEED):
        refuse("checkpoint", what, data, ".safetensors", tmp_path, base)


def test_tuned_tables(tmp_path, base):
    sound = tmp_path / "sound"
    table = malformed.tuning_table(malformed.random.Random(SEED))
    sound.write_bytes(malformed.tuning_file(table))
    assert run("tuning", sound, tmp_path / "again", base + MEMORY).returncode == 0
    assert json.loads((tmp_path / "again").read_bytes()) == table
    for what, data in malformed.tuning_files(count(500), SEED):
        refuse("tuning", what, data, ".json", tmp_path, base)


def test_what_is_no_file_is_refused(tmp_path, base):
    os.mkfifo(tmp_path / "pipe")
    for format_ in ["idx1", "idx3", "gzip", "safetensors", "checkpoint", "tuning"]:
        for path in [tmp_path, tmp_path / "pipe", tmp_path / "missing", pathlib.Path("/dev/zero")]:
            result = run(format_, path, tmp_path / "out", base + MEMORY)
            assert result.returncode == 5, result.stderr
            assert result.stderr.count(b"\n") == 1 and str(path).encode() in result.stderr
            assert not (tmp_path / "out").exists()
