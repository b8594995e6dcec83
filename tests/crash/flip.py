"""Bytes that turned in a pack, as users meet them: the mount, `verify`, `rebuild`, `import` of the same again.

    flip.py [--seed N] [--points N]

The systematic attack, every field of every record, is unit_damage; this is the way through the programs.
"""
import argparse
import errno
import os
import random
import shutil
import sys
import tempfile
import time
import traceback

import load
from load import daemon, tree


class Story:
    def __init__(self, here, seed):
        self.here, self.random = here, random.Random(seed)
        self.kept = daemon.make_archive(os.path.join(here, "kept"))
        self.expected, self.folders = {}, []
        for number, (count, size) in enumerate([(30, 8), (6, 300), (30, 8), (2, 900)], 1):
            images = load.Images(os.path.join(here, f"in{number}"), self.random, number, count, size)
            load.pacsctl(self.kept, "import", "-q", images.folder)  # a pack each
            self.expected.update(images.sha256)
            self.folders.append(images.folder)
        load.pacsctl(self.kept, "verify")
        self.tree = self.listing(self.kept)

    def listing(self, archive):
        with tree.Mount(archive, os.path.join(self.here, "mnt")) as mount:
            return load.listing(mount.path)

    def reads(self, archive):
        """UIDs that the mount does not give, each by EIO; the others are as sent."""
        lost = set()
        with tree.Mount(archive, os.path.join(self.here, "mnt")) as mount:
            for folder, _, names in os.walk(os.path.join(mount.path, "uids")):
                for name in names:
                    if not name.endswith(".dcm"):
                        continue
                    uid = name[:-4].split("@")[0]
                    try:
                        data = load.data_set_of(tree.read(os.path.join(folder, name)))
                        assert load.sha256(data) == self.expected[uid], f"{uid} is not as sent"
                    except OSError as why:
                        assert why.errno == errno.EIO, why
                        lost.add(uid)
            log = mount.errors()
        for uid in lost:
            assert uid in log, f"{uid}: nothing in the log\n{log}"
        return lost

    def named(self, archive):
        """UIDs that verify names, and whether it found damage."""
        status, output, errors = daemon.run(daemon.program("pacsctl"), "-A", archive, "verify", timeout=600)
        assert status in (0, 3), (status, output, errors)
        return {uid for uid in self.expected if uid + ":" in output or uid + "," in output}, status == 3, output

    def point(self):
        archive = os.path.join(self.here, "archive")
        shutil.rmtree(archive, ignore_errors=True)
        os.mkdir(archive)
        for part in ("archive.conf", "packs"):
            load.copy(os.path.join(self.kept, part), os.path.join(archive, part))
        pack = self.random.choice(sorted(os.listdir(os.path.join(archive, "packs"))))
        path = os.path.join(archive, "packs", pack)
        early = self.random.random() < 0.5  # index first or damage first
        if early:
            now = self.listing(archive)
            assert now == self.tree, load.difference(self.tree, now)
        at = self.random.randrange(os.path.getsize(path))
        count = self.random.choice([1, 1, 64])
        with open(path, "r+b") as file:
            file.seek(at)
            old = file.read(count)
            file.seek(at)
            file.write(bytes(byte ^ 0xFF for byte in old))
        what = f"{pack} at {at}, {count} bytes, index {'before' if early else 'after'}"
        lost = self.reads(archive)
        named, damage, output = self.named(archive)
        assert named == lost if early else named >= lost, f"{what}: not read {lost}, named {named}\n{output}"
        assert damage or not lost, f"{what}: {output}"
        assert len(lost) <= 3, f"{what}: {len(lost)} are lost"
        load.pacsctl(archive, "rebuild")
        assert self.reads(archive) <= lost, what
        before, after = set(self.tree), set(self.listing(archive))
        gone = {line.split(" ")[0] for line in before - after}
        assert not gone or damage, f"{what}: {gone}"
        load.pacsctl(archive, "import", "-q", *self.folders)
        load.check_bytes(archive, os.path.join(self.here, "out"), self.expected)
        shutil.rmtree(os.path.join(self.here, "out"))
        assert not self.reads(archive), f"{what}: not healed"
        return bool(lost)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--points", type=int, default=6)
    options = parser.parse_args()
    if not tree.fuse_is_usable():
        print("/dev/fuse cannot be used")
        sys.exit(77)
    here = tempfile.mkdtemp(prefix="pacsfs-flip-")
    status = 1
    try:
        story = Story(here, options.seed)
        costs = sum(story.point() for _ in range(options.points))
        print(f"ok: seed {options.seed}, {options.points} points, {costs} of them cost an image")
        status = 0
    except daemon.Skip as why:
        print(why)
        status = 77
    except Exception:
        traceback.print_exc()
        print(f"again: PACSFS_BIN={daemon.BIN} /usr/bin/python3 -B {os.path.abspath(__file__)} --seed {options.seed} "
              f"--points {options.points}")
    finally:
        shutil.rmtree(here, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
