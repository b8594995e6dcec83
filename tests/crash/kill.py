"""kill -9 under load, again and again: what a sender saw success for is there bit for bit, and the tree stays itself.

    kill.py [--seed N] [--rounds N] [--minutes N] [--keep]

Each round: pacsd on a free port; stock senders and an import put small and CT-sized images in while readers walk a
mount and rsync copies the packs; kill -9 of the daemon, now and then of the mount too, at a random moment; restart. Then
every acknowledged instance is compared, `verify` finds nothing, there are no conflicts, and names, inodes, sizes and
times of the tree are the same after a rebuild. A chapter of some rounds ends with the backup, which holds what was
acknowledged before its last copy began, and with nothing left over: no file, no descriptor, no mount.
"""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import backup
import load
from load import daemon, tree

CHAPTER = 9  # rounds with one archive: checking all of it again and again would become all that is done
CONFIG = "[archive]\nreserve = 1M\npack_size = 4M\n"


class Reader(threading.Thread):
    """Reads files of the mount while they arrive: what a name shows has the size that stat says."""

    def __init__(self, mount, rng):
        super().__init__()
        self.mount, self.rng, self.stopping, self.read, self.failures = mount, rng, False, 0, []

    def run(self):
        while not self.stopping:
            for folder, _, names in os.walk(os.path.join(self.mount, "dicom")):
                for name in self.rng.sample(names, min(3, len(names))):
                    path = os.path.join(folder, name)
                    try:
                        with open(path, "rb") as file:
                            size, got = os.fstat(file.fileno()).st_size, len(file.read())
                        if size != got:
                            self.failures.append(f"{path}: {got} bytes of {size}")
                        self.read += 1
                    except OSError as why:
                        self.failures.append(f"{path}: {why}")
                if self.stopping:
                    return
            time.sleep(0.01)


class Copier(threading.Thread):
    """Copies the packs again and again, as a backup does."""

    def __init__(self, archive, target):
        super().__init__()
        self.archive, self.target, self.stopping, self.failure = archive, target, False, None

    def run(self):
        try:
            while not self.stopping:
                backup.rsync(self.archive, self.target)
                time.sleep(0.05)
        except Exception as why:
            self.failure = why


class Story:
    def __init__(self, here, seed):
        self.here, self.random = here, random.Random(seed)
        self.archive = daemon.make_archive(os.path.join(here, "archive"))
        self.backup = os.path.join(here, "backup") if shutil.which("rsync") else None
        self.expected, self.copied, self.series, self.killed = {}, {}, 0, 0
        self.mount, self.descriptors = None, 0
        self.remount()

    def remount(self):
        """Also over one whose process was killed: it must not stack on the dead one."""
        if not tree.fuse_is_usable():
            return
        self.mount = tree.Mount(self.archive, os.path.join(self.here, "mnt"))
        with open("/proc/self/mountinfo") as file:
            assert file.read().count(self.mount.path + " ") == 1, "a mount on a mount"
        self.descriptors = self.open_files()

    def open_files(self):
        return len(os.listdir(f"/proc/{self.mount.process.pid}/fd"))

    def images(self, kind):
        self.series += 1
        count = {"small": 250, "ct": 24}[kind]
        return load.Images(os.path.join(self.here, f"in{self.series}"), self.random, self.series, count,
                           load.SIZES[kind])

    def senders(self, port):
        yield load.Storescu(self.images("small"), port)
        yield load.Dcmsend(self.images("small"), port)
        yield load.Dcmsend(self.images("ct"), port)
        yield load.Import(self.images(self.random.choice(["small", "ct"])), self.archive)

    def round(self):
        after = self.random.choice([0.02, 0.1, 0.3, 0.3, 0.7, 1.2]) * self.random.uniform(0.5, 1.5)
        with daemon.Daemon(CONFIG, archive=self.archive) as pacsd:
            senders = list(self.senders(pacsd.port))
            reader = Reader(self.mount.path, random.Random(self.series)) if self.mount else None
            copier = Copier(self.archive, self.backup) if self.backup else None
            both = reader and self.random.random() < 0.3
            for sender in senders:
                sender.begin()
            if reader:
                reader.start()
            if copier:
                self.copied = dict(self.expected)
                copier.start()
            pacsd.logged("association")  # from there on, not while the clients load their dictionaries
            time.sleep(after)
            if both:
                self.mount.process.kill()
            pacsd.process.kill()
            pacsd.process.wait()
            if reader:
                reader.stopping = True
                reader.join()
                assert both or not reader.failures, reader.failures[:5]
            if both:
                self.mount.process.wait()
                self.remount()
            if copier:
                copier.stopping = True
                copier.join()
                assert not copier.failure, copier.failure
            self.killed += 1
            for sender in senders:
                sender.end()
                for uid in sender.success:
                    self.expected[uid] = sender.images.sha256[uid]
            pacsd.start()
            self.check("after the restart")
            # What was refused or cut off is sent again, some of it, and taken.
            again = load.Dcmsend(senders[1].images, pacsd.port)
            again.begin()
            again.end()
            assert len(again.success) == len(again.images.uids), again.output[-2000:]
            self.expected.update(again.images.sha256)
        for sender in senders:
            shutil.rmtree(sender.images.folder)

    def check(self, when):
        folder = os.path.join(self.here, "out")
        try:
            load.check_bytes(self.archive, folder, self.expected)
            load.pacsctl(self.archive, "verify")
            conflicts = load.pacsctl(self.archive, "conflicts", "--json")
            assert not conflicts.strip(), conflicts
        except AssertionError as why:
            raise AssertionError(f"{when}: {why}") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def rebuild(self):
        before = load.listing(self.mount.path) if self.mount else []
        load.pacsctl(self.archive, "rebuild")
        if self.mount:
            after = load.listing(self.mount.path)
            assert before == after, "the tree after a rebuild is another one:\n" + load.difference(before, after)
        self.check("after the rebuild")

    def end(self):
        """The last of a chapter: the backup, and what is left over."""
        if self.backup:
            backup.check(self.backup, self.copied, self.here)
        if self.mount:
            packs = len(os.listdir(os.path.join(self.archive, "packs")))
            now = self.open_files()
            assert now <= self.descriptors + packs + 4, f"the mount has {now} files open, {self.descriptors} at first"
            self.mount.__exit__(None)
            self.mount = None
        allowed = re.compile(r"archive\.conf|packs/\d{8}\.pack|index/current|run/(lock|clock)|"
                             r"index/g\d{8}/(data\.mdb|lock\.mdb|stamp|checkpoint)")
        left = [os.path.relpath(os.path.join(folder, name), self.archive)
                for folder, _, names in os.walk(self.archive) for name in names]
        odd = [name for name in left if not allowed.fullmatch(name)]
        assert not odd, f"left over: {odd}"
        assert sum("data.mdb" in name for name in left) == 1, left
        with open("/proc/self/mountinfo") as file:
            assert self.here not in file.read(), "a mount is left"

    def abandon(self):
        """After a failure."""
        if self.mount:
            self.mount.process.kill()
            self.mount.process.wait()
            subprocess.run(["umount", "-l", self.mount.path], stderr=subprocess.DEVNULL, check=False)


def chapter(seed, rounds, keep):
    """Rounds with one archive. On failure it says how to do it again."""
    here = tempfile.mkdtemp(prefix="pacsfs-kill-")
    story = None
    try:
        story = Story(here, seed)
        for number in range(rounds):
            story.round()
            if number % 3 == 2 or number == rounds - 1:
                story.rebuild()
        story.end()
    except Exception:
        print(f"seed {seed}; again: PACSFS_BIN={daemon.BIN} /usr/bin/python3 -B {os.path.abspath(__file__)} "
              f"--seed {seed} --rounds {rounds}" + (f"; kept: {here}" if keep else ""))
        if story:
            story.abandon()
        if keep:
            here = None
        raise
    finally:
        if here:
            shutil.rmtree(here, ignore_errors=True)
    return story.killed, len(story.expected)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, help=f"chapters of {CHAPTER} rounds until so much time has passed")
    parser.add_argument("--keep", action="store_true", help="leave the archive of a failure")
    options = parser.parse_args()
    until = time.monotonic() + 60 * (options.minutes or 0)
    chapters = killed = acknowledged = 0
    try:
        for name in ("storescu", "dcmsend"):
            daemon.client(name)
        while not chapters or time.monotonic() < until:
            more = chapter(options.seed + chapters, CHAPTER if options.minutes else options.rounds, options.keep)
            chapters, killed, acknowledged = chapters + 1, killed + more[0], acknowledged + more[1]
            print(f"seed {options.seed + chapters - 1}: killed {killed} times, {acknowledged} instances acknowledged",
                  flush=True)
        print(f"ok: {chapters} chapters from seed {options.seed}")
        status = 0
    except daemon.Skip as why:
        print(why)
        status = 77
    except Exception:
        traceback.print_exc()
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
