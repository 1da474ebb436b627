"""A tmpfs of a given size, mounted where only this process and its children see it."""

import contextlib
import ctypes
import os

import pytest

NEW_NAMESPACE, PRIVATE, REMOUNT, DETACH = 0x20000, 0x4000 | 0x40000, 32, 2
libc = ctypes.CDLL(None, use_errno=True)


def call(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def set_size(folder, size, flags=REMOUNT):
    call(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, f"size={size}".encode()), "mount")


@contextlib.contextmanager
def mounted(folder, size):
    folder.mkdir(exist_ok=True)
    set_size(folder, size, flags=0)
    try:
        yield folder
    finally:
        call(libc.umount2(os.fsencode(folder), DETACH), "umount")


@pytest.fixture(scope="session")
def mounts():
    """Skips where this process may not mount."""
    try:
        call(libc.unshare(NEW_NAMESPACE), "unshare")
        call(libc.mount(b"none", b"/", None, PRIVATE, None), "mount")
    except OSError as error:
        pytest.skip(f"a small disk needs root and CAP_SYS_ADMIN: {error}")
