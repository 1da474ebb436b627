"""What a disk may hold after a power cut: a folder rebuilt from the shim's journal.

A file's data are durable since the last fsync of the file, its name since the last fsync of its
folder, as LevelDB's tests take it; what was done since may be there in part or not at all. A sync
of a file says nothing about its name, which is harsher than ext4 and what POSIX promises.

After a sync of a file that failed, what was written to it and not synced is gone from the disk though the
program can still read it: Linux takes the pages for clean, so that no later sync writes them, and only what
is written again can become durable. Lengths and names are the file system's own; they wait for a later sync.
"""

import os
import random


class File:
    def __init__(self, content=b""):
        self.durable, self.now, self.pending = bytes(content), bytearray(content), []

    def do(self, change):
        self.pending.append(change)
        apply(self.now, change)

    def reached(self):
        """What is durable, and all that is on its way to the disk."""
        content = bytearray(self.durable)
        for change in self.pending:
            apply(content, change)
        return bytes(content)

    def sync(self):
        self.durable, self.pending = self.reached(), []

    def sync_failed(self):
        self.pending = [(offset, data) for offset, data in self.pending if data is None]


def apply(content, change):
    offset, data = change
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    else:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset:offset + len(data)] = data


class Folder:
    def __init__(self):
        self.durable, self.now, self.pending = {}, {}, []

    def do(self, *entries):
        """Names that change together: a rename in one folder happens whole or not at all."""
        self.pending.append(entries)
        enter(self.now, entries)

    def sync(self):
        self.durable, self.pending = dict(self.now), []


def enter(names, entries):
    for name, node in entries:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """`root` as it stands when the program starts, all of it durable."""

    def __init__(self, root):
        self.root, self.files = str(root.resolve()), {}
        self.tree = self._scan(self.root)

    def _scan(self, path):
        folder = Folder()
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                folder.now[entry.name] = self._scan(entry.path)
            else:
                with open(entry.path, "rb") as file:
                    folder.now[entry.name] = self.files[entry.inode()] = File(file.read())
        folder.sync()
        return folder

    def _find(self, path):
        node = self.tree
        for part in [part for part in path.removeprefix(self.root).split("/") if part]:
            node = node.now[part]
        return node

    def _split(self, path):
        folder, name = path.rsplit("/", 1)
        return self._find(folder), name

    def apply(self, record, without_sync=False):
        op = record.op
        if op == "create":
            folder, name = self._split(record.path)
            self.files[record.inode] = File()
            folder.do((name, self.files[record.inode]))
        elif op == "mkdir":
            folder, name = self._split(record.path)
            folder.do((name, Folder()))
        elif op == "write":
            self.files[record.inode].do((record.offset, record.data))
        elif op == "truncate":
            self.files[record.inode].do((record.offset, None))
        elif op in ("unlink", "rmdir"):
            folder, name = self._split(record.path)
            folder.do((name, None))
        elif op == "rename":
            (source, old), (target, new) = self._split(record.path), self._split(record.path2)
            node = source.now[old]
            if source is target:
                source.do((old, None), (new, node))
            else:
                target.do((new, node))
                source.do((old, None))
        elif op in ("sync", "sync_folder") and not without_sync:
            (self.files[record.inode] if op == "sync" else self._find(record.path)).sync()
        else:
            assert op in ("said", "fault", "sync", "sync_folder"), op

    def sync_failed(self, fault):
        """`fault` is the record of an fsync that a rule made fail."""
        if fault.path2 == "sync":
            self._find(fault.path).sync_failed()

    def now(self):
        return self._view(lambda file: bytes(file.now), lambda folder: folder.now)

    def after_cut(self, variant):
        """{path: content, None for a folder}. Variants: "nothing" of what was not synced is there;
        "names" without their data; "zeros" in the data's place, of the right length; "data" without
        their names; a number is the seed of a mixture, in which each file and each folder got some
        way and the last write may be torn."""
        if isinstance(variant, int):
            choice = random.Random(variant)
            return self._view(lambda file: self._some_data(file, choice),
                              lambda folder: self._some_names(folder, choice))
        names = {"nothing": "durable", "names": "now", "zeros": "now", "data": "durable"}[variant]
        data = {"nothing": lambda file: file.durable, "names": lambda file: file.durable,
                "zeros": self._zeros, "data": File.reached}[variant]
        return self._view(data, lambda folder: getattr(folder, names))

    def _view(self, data, names):
        tree = {}

        def visit(folder, prefix):
            for name, node in names(folder).items():
                if isinstance(node, Folder):
                    tree[prefix + name] = None
                    visit(node, prefix + name + "/")
                else:
                    tree[prefix + name] = data(node)

        visit(self.tree, "")
        return tree

    @staticmethod
    def _zeros(file):
        content = bytearray(file.durable)
        for offset, data in file.pending:
            apply(content, (offset, data and bytes(len(data))))
        return bytes(content)

    @staticmethod
    def _some_data(file, choice):
        content, done = bytearray(file.durable), choice.randint(0, len(file.pending))
        for change in file.pending[:done]:
            apply(content, change)
        if done < len(file.pending) and file.pending[done][1]:
            offset, data = file.pending[done]
            apply(content, (offset, data[:choice.randrange(len(data))]))
        return bytes(content)

    @staticmethod
    def _some_names(folder, choice):
        names = dict(folder.durable)
        for entries in folder.pending[:choice.randint(0, len(folder.pending))]:
            enter(names, entries)
        return names


def restore(tree, folder):
    """Writes a tree into an empty folder."""
    for path, content in tree.items():
        if content is None:
            (folder / path).mkdir(parents=True, exist_ok=True)
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def read(folder):
    """A real folder in the form of a tree."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
            for path in folder.rglob("*")}
