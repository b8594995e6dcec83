"""An archive on a read-only medium: it mounts, reads, lists and verifies, and nothing is written to it.

    read_only.py [CASE]
"""
import contextlib
import os
import random
import shutil
import subprocess

import disk
from disk import daemon, load, tree


class Medium:
    """An archive with some series in it, and ways to put it on a medium."""

    def __init__(self):
        self.here = disk.folder("medium")
        self.stack = contextlib.ExitStack()
        self.archive = os.path.join(self.here, "archive")
        self.expected, self.series = {}, 0
        os.environ["XDG_CACHE_HOME"] = os.path.join(self.here, "cache")
        os.environ["TZ"] = "UTC"
        daemon.make_archive(self.archive)
        self.add(3)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        return self.stack.__exit__(*why)

    def add(self, count):
        for _ in range(count):
            self.series += 1
            images = load.Images(os.path.join(self.here, f"in{self.series}"), random.Random(self.series), self.series,
                                 20, 64)
            load.pacsctl(self.archive, "import", "-q", images.folder)
            self.expected.update(images.sha256)

    def tree_of(self, archive):
        with tree.Mount(archive, os.path.join(self.here, "mnt")) as mount:
            names = load.listing(mount.path)
            for name in subprocess.run(["find", mount.path, "-name", "*.dcm"], capture_output=True, text=True,
                                       check=True).stdout.split():
                assert tree.read(name)
        return names

    def burn(self, *left_out):
        """The archive on an ext4 that is mounted read-only; the path of it there."""
        image, path = os.path.join(self.here, "image"), os.path.join(self.here, "disk")
        disk.make(image, 64)
        with disk.mounted(image, path):
            shutil.copytree(self.archive, os.path.join(path, "archive"), ignore=shutil.ignore_patterns(*left_out))
        self.stack.enter_context(disk.mounted(image, path, "ro"))
        return os.path.join(path, "archive")

    def check(self, archive):
        out = os.path.join(self.here, "out")
        load.check_bytes(archive, out, self.expected)
        shutil.rmtree(out)
        load.pacsctl(archive, "verify")
        for words in (["stats"], ["status"], ["conflicts"], ["find", "--level=instance", "--json"]):
            load.pacsctl(archive, *words)
        got, _, errors = daemon.run(daemon.program("pacsctl"), "-A", archive, "import", "-q", self.here)
        assert got and "Read-only file system" in errors, (got, errors)


def case_packs_alone():
    with Medium() as m:
        before = m.tree_of(m.archive)
        there = m.burn("index", "run", "quarantine", "pacs.conf")
        assert m.tree_of(there) == before
        m.check(there)
        assert m.tree_of(there) == before


def case_whole_archive():
    with Medium() as m:
        before = m.tree_of(m.archive)
        there = m.burn("pacsd.sock")
        assert m.tree_of(there) == before
        m.check(there)
        made = os.listdir(os.path.join(m.here, "cache", "pacsfs"))
        assert len(made) == 1, made


def case_made_once():
    """A later mount finds the index of an earlier one; a newer state of the archive gets its own."""
    with Medium() as m:
        there = m.burn("index")
        m.tree_of(there)
        folder = os.path.join(m.here, "cache", "pacsfs")
        first = os.listdir(folder)
        data = os.path.join(folder, first[0], "index", "g00000001", "data.mdb")
        inode = os.stat(data).st_ino
        m.tree_of(there)
        assert os.listdir(folder) == first and os.stat(data).st_ino == inode
        m.stack.close()
        m.add(1)
        there = m.burn()
        assert m.tree_of(there) == m.tree_of(m.archive)
        assert len(os.listdir(folder)) == 2


def case_folder_bound_read_only():
    with Medium() as m:
        before = m.tree_of(m.archive)
        bound = os.path.join(m.here, "bound")
        os.mkdir(bound)
        disk.command("mount", "--bind", "-o", "ro", m.archive, bound)
        m.stack.callback(disk.command, "umount", bound)
        assert m.tree_of(bound) == before
        m.check(bound)


def case_cache_that_others_can_write_to_is_refused():
    with Medium() as m:
        there = m.burn()
        os.makedirs(os.path.join(m.here, "cache", "pacsfs"))
        os.chmod(os.path.join(m.here, "cache", "pacsfs"), 0o777)
        got, _, errors = daemon.run(daemon.program("pacsctl"), "-A", there, "stats")
        assert got == 1 and "this user alone" in errors, (got, errors)


if __name__ == "__main__":
    disk.enter()
    daemon.main(globals())
