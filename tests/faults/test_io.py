"""io under kills, failing calls and power cuts, at every call that it makes (driver.cpp)."""

import errno
import os
import pathlib
import re
import signal

import pytest
import safetensors.numpy

import disk
import injection

DRIVER = os.environ["FATWOOD_FAULTS_DRIVER"]

ROWS = b"".join(b"row %d\n" % row for row in range(1, 10))
STATES = [b""] + [b"state %d\n" % version + bytes([ord("a") + version]) * size
                  for version, size in enumerate([0, 17, 70_000, 4096], 1)]
PIECES = b"".join(letter * 1000 for letter in (b"a", b"b", b"c", b"d", b"e"))
SAID = ["folder", *(f"state {version}" for version in range(1, 5)), "rows 3", "rows 6", "rows 9",
        "cutting rows", "rows cut to 6", "another row 7", "pieces", "weights 1", "weights 2"]
TEMPORARY = re.compile(r"\.fatwood-\d+-\d+\.tmp")


def weights(content):
    values = safetensors.numpy.load(content)["layers.0.weight"].flatten()
    assert len(values) == 300 and len(set(values)) == 1
    return int(values[0])


def last(said, what):
    return max((int(line.split()[-1]) for line in said if re.fullmatch(what + r" \d+", line)),
               default=0)


def check(tree, said):
    """What was said must be so, whatever came behind it; says what is not."""
    wrong = []

    def want(condition, what):
        if not condition:
            wrong.append(what)

    files = {path.removeprefix("run/"): content for path, content in tree.items()}
    want("folder" not in said or "run" in tree, "the folder")
    for name in files:
        want(name in ("run", "state", "rows", "pieces", "weights") or TEMPORARY.fullmatch(name),
             f"{name}: a file that should not be")

    version = last(said, "state")
    state = files.get("state")
    want(state in STATES[max(version, 1):version + 2] or (state is None and version == 0),
         f"state after {version}: {state and state[:20]}")

    rows = files.get("rows", b"")
    if "another row 7" in said:
        want(rows == ROWS[:36] + b"another row 7\n", f"rows: {rows}")
    elif "rows cut to 6" in said:
        want(rows.startswith(ROWS[:36]) and b"row 7\n" not in rows[36:43], f"rows: {rows}")
    elif "cutting rows" in said:
        want(rows.startswith(ROWS[:36]), f"rows: {rows}")
    else:
        want(rows.startswith(ROWS[:6 * last(said, "rows")]), f"rows: {rows}")

    pieces = files.get("pieces")
    want(pieces == PIECES or (pieces is None and "pieces" not in said), "pieces")

    version, content = last(said, "weights"), files.get("weights")
    try:
        want(content is None and version == 0 or weights(content) in (version, version + 1),
             f"weights after {version}")
    except Exception as error:
        want(False, f"weights: {error}")
    return wrong


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run: the disk before, the journal, the folder after."""
    folder = tmp_path_factory.mktemp("whole")
    root = folder / "disk"
    root.mkdir()
    before = disk.Disk(root)
    result = injection.run([DRIVER, root / "run"], root, journal=folder / "journal")
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().splitlines() == SAID
    return before, injection.read_journal(folder / "journal"), disk.read(root)


def fresh(folder):
    root = folder / "disk"
    if root.exists():
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    root.mkdir(exist_ok=True)
    return root


def test_the_journal_holds_all_that_happened(whole, tmp_path):
    _, records, after = whole
    tree = disk.Disk(fresh(tmp_path))
    tree.root = records[0].path.rsplit("/", 1)[0]
    for record in records:
        tree.apply(record)
    assert tree.now() == after
    assert check(after, SAID) == []


def test_the_check_sees_what_is_wrong(whole):
    _, _, after = whole
    for name, content in after.items():
        if content is not None:
            assert check({**after, name: content[:-1]}, SAID), name
            assert check({path: c for path, c in after.items() if path != name}, SAID), name
    assert check({**after, "run/stray": b""}, SAID)


@pytest.mark.parametrize("kind", ["kill", "kill_after", "tear"])
def test_a_kill_at_any_call_leaves_old_or_new_and_all_that_was_said(kind, whole, tmp_path):
    for number in range(1, len(injection.changes(whole[1])) + 1):
        root = fresh(tmp_path)
        result = injection.run([DRIVER, root / "run"], root, f"{kind}:any:{number}:{number}:0")
        assert result.returncode == -signal.SIGKILL
        said = result.stdout.decode().splitlines()
        assert said == SAID[:len(said)]
        assert check(disk.read(root), said) == [], f"{kind} at {number}, said {said}"


OPS = {"create": ["ENOSPC", "EACCES", "EMFILE"], "write": ["ENOSPC", "EIO", "EDQUOT"],
       "sync": ["EIO", "ENOSPC"], "sync_folder": ["EIO"], "rename": ["EIO", "ENOSPC", "EACCES"],
       "truncate": ["EIO"], "open": ["EACCES", "EIO"], "close": ["EIO", "ENOSPC"],
       "mkdir": ["EACCES", "ENOSPC"]}


@pytest.mark.parametrize("op, code", [(op, code) for op, codes in OPS.items() for code in codes])
def test_a_call_that_fails_is_told_and_spoils_nothing(op, code, tmp_path):
    reason = os.strerror(getattr(errno, code))
    for onwards in (False, True):
        for number in range(1, 100):
            root = fresh(tmp_path)
            rule = f"fail:{op}:{number}:{10**6 if onwards else number}:{getattr(errno, code)}"
            result = injection.run([DRIVER, root / "run"], root, rule)
            said, message = result.stdout.decode().splitlines(), result.stderr.decode()
            if result.returncode == 0 and said == SAID:
                break  # there are fewer calls than that
            assert result.returncode == 5, f"{rule}: {result.returncode} {message}"
            assert message.count("\n") == 1 and str(root) in message and reason in message, message
            tree = disk.read(root)
            assert check(tree, said) == [], f"{rule}: {message}"
            assert not [path for path in tree if TEMPORARY.search(path)], f"{rule}: {message}"
        assert 1 < number < 99, f"{op} is never called, or too often"


def test_short_writes_are_continued(whole, tmp_path):
    for size in (1, 7, 1000):
        root = fresh(tmp_path)
        result = injection.run([DRIVER, root / "run"], root, f"shorten:write:1:1000000:{size}")
        assert result.returncode == 0 and disk.read(root) == whole[2]


def test_a_write_that_takes_nothing_ends_as_a_full_disk(tmp_path):
    root = fresh(tmp_path)
    result = injection.run([DRIVER, root / "run"], root, "shorten:write:1:1000000:0")
    assert result.returncode == 5 and b"No space left" in result.stderr


# ---------------------------------------------------------------------------------------- power

VARIANTS = ["nothing", "names", "zeros", "data", *range(8)]


def cuts(root_of, records, folder, without=lambda number, record: False):
    """(what was said, tree) for every cut and variant; syncs for which `without` never happened."""
    tree = disk.Disk(folder)
    tree.root = root_of
    said = ""
    for number, record in enumerate(records):
        tree.apply(record, without(number, record))
        said += record.data.decode() if record.op == "said" else ""
        for variant in VARIANTS:
            yield number, variant, said.splitlines(), tree.after_cut(variant)


def spoiled(whole, folder, without=lambda number, record: False):
    root_of = whole[1][0].path.rsplit("/", 1)[0]
    for number, variant, said, tree in cuts(root_of, whole[1], folder, without):
        if wrong := check(tree, said):
            yield f"cut behind call {number}, {variant}: {wrong}"


def test_a_power_cut_at_any_call_leaves_what_was_said(whole, tmp_path):
    assert list(spoiled(whole, fresh(tmp_path))) == []


def test_without_any_one_sync_a_power_cut_spoils_something(whole, tmp_path):
    syncs = [number for number, record in enumerate(whole[1]) if record.op.startswith("sync")]
    functions = injection.Functions(DRIVER)
    root = fresh(tmp_path)
    needless = [functions.chain(whole[1][number].site) for number in syncs
                if next(spoiled(whole, root, lambda n, _: n == number), None) is None]
    assert needless == []
    assert len({whole[1][number].site[:2] for number in syncs}) >= 5


def test_a_failed_sync_takes_nothing_from_what_is_said_later(whole, tmp_path):
    """Each sync fails once; the driver stops there, or does it again and goes on."""
    wrong = []
    for op in ("sync", "sync_folder"):
        for number in range(1, 1 + sum(record.op == op for record in whole[1])):
            for more in ([], ["again"]):
                root, journal = fresh(tmp_path), tmp_path / "journal"
                journal.unlink(missing_ok=True)
                before = disk.Disk(root)
                rule = f"fail:{op}:{number}:{number}:{errno.EIO}"
                result = injection.run([DRIVER, root / "run", *more], root, rule, journal)
                said = result.stdout.decode().splitlines()
                assert (result.returncode, said == SAID) == ((0, True) if more else (5, False)), f"{rule} {more}: {result}"
                records = injection.read_journal(journal)
                assert [record.path2 for record in records if record.op == "fault"] == [op]
                lost = next(spoiled_after_failures(before, records), None)
                if lost:
                    wrong.append(f"{rule} {more}: {lost}")
    assert not wrong, "\n".join(wrong)


def spoiled_after_failures(tree, records):
    said = ""
    for number, record in enumerate(records):
        tree.apply(record)
        if record.op == "fault":
            tree.sync_failed(record)
        said += record.data.decode() if record.op == "said" else ""
        for variant in VARIANTS:
            if wrong := check(tree.after_cut(variant), said.splitlines()):
                yield f"cut behind call {number}, {variant}: {wrong}"
