"""Runs a program under the shim and reads the journal that it leaves (shim/faults.h)."""

import bisect
import dataclasses
import os
import subprocess

# Ends what would never end; long enough for a sanitizer, and for a machine that is held up.
WAIT_SECONDS = 1800

SHIM = os.environ["FATWOOD_FAULTS_SHIM"]


@dataclasses.dataclass(frozen=True)
class Record:
    op: str
    inode: int
    offset: int
    data: bytes
    path: str
    path2: str
    site: tuple


def read_journal(path):
    records, journal, at = [], path.read_bytes(), 0
    while at < len(journal):
        end = journal.index(b"\n", at)
        op, inode, offset, size, name, name2, site = journal[at:end].decode().split("\t")
        at = end + 1 + int(size)
        records.append(Record(op, int(inode), int(offset), journal[end + 1:at],
                              name.removesuffix(" (deleted)"), name2,
                              tuple(int(address, 16) for address in site.split())))
    return records


def run(command, root, plan="", journal=None, env=None, **options):
    """`command` with the calls under `root` numbered, and made to go wrong as `plan` says."""
    environment = {**os.environ, **(env or {}), "LD_PRELOAD": SHIM,
                   "FATWOOD_FAULTS_ROOT": str(root.resolve()), "FATWOOD_FAULTS_PLAN": plan,
                   "FATWOOD_FAULTS_JOURNAL": str(journal or ""),
                   # Sanitizers want to be loaded first; the shim allocates nothing before main.
                   "ASAN_OPTIONS": "verify_asan_link_order=0"}
    return subprocess.run(list(map(str, command)), capture_output=True, env=environment,
                          timeout=WAIT_SECONDS, **options)


def changes(records):
    """Those that the shim numbers as `any`, in its order: the kth has number k + 1."""
    return [record for record in records if record.op not in ("said", "fault")]


class Functions:
    """Names of a program's functions by address, for messages about call sites."""

    def __init__(self, program):
        lines = subprocess.run(["nm", "-C", "--defined-only", str(program)], capture_output=True,
                               text=True, check=True).stdout.splitlines()
        symbols = sorted((int(line.split(" ", 2)[0], 16), line.split(" ", 2)[2]) for line in lines
                         if line[0] in "0123456789abcdef")
        self.addresses = [address for address, _ in symbols]
        self.names = [name for _, name in symbols]

    def name(self, address):
        name = self.names[bisect.bisect_right(self.addresses, address - 1) - 1]
        return name.split("(")[0].removeprefix("fatwood::")

    def chain(self, site):
        return " ← ".join(self.name(address) for address in site)
