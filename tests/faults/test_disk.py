"""The model of a power cut: what is durable, and what each variant leaves."""

import pytest

import disk
from injection import Record


def record(op, path="", inode=0, offset=0, data=b"", path2=""):
    return Record(op, inode, offset, data, path, path2, ())


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    tree = disk.Disk(tmp_path)
    inode = (tmp_path / "old").stat().st_ino

    def do(op, name="", **rest):
        if name == "old":
            rest.setdefault("inode", inode)
        if "path2" in rest:
            rest["path2"] = f"{tmp_path}/{rest['path2']}"
        tree.apply(record(op, f"{tmp_path}/{name}".rstrip("/"), **rest))

    tree.do = do
    return tree


def test_what_stood_there_is_durable(tree):
    for variant in ("nothing", "names", "zeros", "data", 1, 2):
        assert tree.after_cut(variant) == {"old": b"old"}


def test_data_are_durable_with_the_file_and_names_with_the_folder(tree):
    tree.do("create", "new", inode=-1)
    tree.do("write", "new", inode=-1, data=b"12345")
    assert tree.after_cut("nothing") == {"old": b"old"}
    assert tree.after_cut("names") == {"old": b"old", "new": b""}
    assert tree.after_cut("zeros") == {"old": b"old", "new": bytes(5)}
    assert tree.after_cut("data") == {"old": b"old"}
    tree.do("sync", "new", inode=-1)
    assert tree.after_cut("nothing") == {"old": b"old"}
    assert tree.after_cut("names") == {"old": b"old", "new": b"12345"}
    tree.do("sync_folder")
    tree.do("write", "new", inode=-1, offset=5, data=b"67")
    assert tree.after_cut("nothing")["new"] == b"12345"
    assert tree.after_cut("data")["new"] == b"1234567"
    assert tree.after_cut("zeros")["new"] == b"12345\0\0"


def test_a_rename_without_syncs_can_leave_the_new_name_empty_or_the_old_file(tree):
    tree.do("create", "temporary", inode=-1)
    tree.do("write", "temporary", inode=-1, data=b"new")
    tree.do("rename", "temporary", path2="old")
    assert tree.after_cut("names") == {"old": b""}
    assert tree.after_cut("nothing") == {"old": b"old"}
    outcomes = {tuple(sorted(tree.after_cut(seed).items())) for seed in range(100)}
    assert (("old", b"old"),) in outcomes and (("old", b"new"),) in outcomes
    assert (("old", b"old"), ("temporary", b"ne")) in outcomes


def test_a_truncation_that_was_not_synced_may_not_have_happened(tree):
    tree.do("truncate", "old", offset=1)
    assert tree.after_cut("nothing") == {"old": b"old"}
    tree.do("sync", "old")
    assert tree.after_cut("nothing") == {"old": b"o"}


def test_a_removed_file_may_come_back_until_the_folder_is_synced(tree):
    tree.do("unlink", "old")
    assert tree.after_cut("nothing") == {"old": b"old"} and tree.after_cut("names") == {}
    tree.do("sync_folder")
    assert tree.after_cut("nothing") == {}


def test_a_folder_without_its_parents_sync_takes_what_it_holds_with_it(tree):
    tree.do("mkdir", "run")
    tree.do("create", "run/a", inode=-1)
    tree.do("sync", "run/a", inode=-1)
    tree.do("sync_folder", "run")
    assert tree.after_cut("nothing") == {"old": b"old"}
    tree.do("sync_folder")
    assert tree.after_cut("nothing") == {"old": b"old", "run": None, "run/a": b""}


def test_a_sync_that_is_left_out_makes_nothing_durable(tree):
    tree.do("write", "old", data=b"OLD")
    tree.apply(record("sync", inode=next(iter(tree.files))), without_sync=True)
    assert tree.after_cut("nothing") == {"old": b"old"}


def test_what_a_failed_sync_did_not_write_is_gone_until_it_is_written_again(tree):
    tree.do("create", "new", inode=-1)
    tree.do("write", "new", inode=-1, data=b"12")
    tree.do("sync", "new", inode=-1)
    tree.do("sync_folder")
    tree.do("write", "new", inode=-1, offset=2, data=b"34")
    tree.sync_failed(record("fault", f"{tree.root}/new", path2="sync"))
    for variant in ("nothing", "names", "zeros", "data", 1, 2):
        assert tree.after_cut(variant)["new"] == b"12"
    assert tree.now()["new"] == b"1234"
    tree.do("sync", "new", inode=-1)
    assert tree.after_cut("nothing")["new"] == b"12"
    tree.do("write", "new", inode=-1, offset=4, data=b"56")
    tree.do("sync", "new", inode=-1)
    assert tree.after_cut("nothing")["new"] == b"12\0\x0056"
    tree.do("truncate", "new", inode=-1, offset=2)
    tree.do("write", "new", inode=-1, offset=2, data=b"3456")
    tree.do("sync", "new", inode=-1)
    assert tree.after_cut("nothing")["new"] == b"123456"


def test_a_failed_sync_keeps_lengths_and_names_for_a_later_one(tree):
    tree.do("truncate", "old", offset=1)
    tree.sync_failed(record("fault", f"{tree.root}/old", path2="sync"))
    tree.do("create", "new", inode=-1)
    tree.sync_failed(record("fault", tree.root, path2="sync_folder"))
    assert tree.after_cut("nothing") == {"old": b"old"}
    tree.do("sync", "old")
    tree.do("sync_folder")
    assert tree.after_cut("nothing") == {"old": b"o", "new": b""}
