"""Power cuts under load, on a real ext4 whose disk loses what it had not flushed: what was acknowledged is there.

    power.py [--seed N] [--rounds N] [--keep]

Each round: a disk with a volatile cache (lossy_fuse.c), ext4 on it, pacsd on that; stock senders and an import put
images in; at a random write the power goes, and of the sectors since the last flush a seeded choice survives. Then the
disk is mounted anew (the journal is replayed), every second time as in another boot, and after the restart
every acknowledged instance is compared, `verify` finds nothing, and the tree is the same after a rebuild.
"""
import argparse
import contextlib
import ctypes
import glob
import os
import random
import shutil
import sys
import threading
import time
import traceback

import disk
from disk import daemon, load, tree

import kill  # of ../crash
import states

DISK_MIB = 160
CUTS_A_DISK = 8  # then a new one, before it is full
MODES = ["none", "all", "half", "half", "few", "most", "later"]


class Flusher(threading.Thread):
    """The kernel's flusher in a hurry: pages of the index and the packs go to the disk at any time, and no FLUSH after
    them. In a round of seconds the real one would leave them in memory."""

    WRITE = 2  # SYNC_FILE_RANGE_WRITE

    def __init__(self, archive, rng):
        super().__init__()
        self.archive, self.rng, self.stopping = archive, rng, False

    def run(self):
        libc = ctypes.CDLL(None, use_errno=True)
        while not self.stopping:
            time.sleep(self.rng.uniform(0, 0.03))
            for path in (glob.glob(os.path.join(self.archive, "index/g*/data.mdb")) +
                         glob.glob(os.path.join(self.archive, "packs/*"))[-1:]):
                with contextlib.suppress(OSError), open(path, "rb") as file:
                    libc.sync_file_range(file.fileno(), ctypes.c_long(0), ctypes.c_long(0), self.WRITE)


class Story(kill.Story):
    """What kill.py does, on a disk that can be cut off."""

    def __init__(self, here, seed):
        self.here, self.random = here, random.Random(seed)
        self.path = os.path.join(here, "disk")
        self.archive = os.path.join(self.path, "archive")
        self.series = self.cuts = self.lost = self.kept = self.acknowledged = 0
        self.new_disk()

    def new_disk(self):
        self.expected, self.mount, self.on_disk = {}, None, 0
        self.image = disk.make(os.path.join(self.here, "image"), DISK_MIB)
        with disk.mounted(self.image, self.path):
            daemon.make_archive(self.archive)

    def run_until_cut(self, pacsd):
        """Returns the senders; the disk is dead, pacsd killed, nothing mounted any more."""
        mode = self.random.choice(MODES)
        after = int(self.random.choice([20, 100, 300, 1000]) * self.random.uniform(0.1, 1.5))
        with contextlib.ExitStack() as stack:
            lossy = stack.enter_context(disk.Lossy(self.image, os.path.join(self.here, "lossy")))
            stack.enter_context(disk.mounted(lossy.file, self.path))
            pacsd.start()
            senders = list(self.senders(pacsd.port))
            for sender in senders:
                sender.begin()
            flusher = Flusher(self.archive, random.Random(self.cuts))
            flusher.start()
            stack.callback(flusher.join)
            stack.callback(lambda: setattr(flusher, "stopping", True))
            pacsd.logged("association")
            lossy.tell("cut", mode, after, self.random.getrandbits(32))
            daemon.wait_for(lambda: lossy.figures()["dead"] or not any(s.is_alive() for s in senders))
            lossy.tell("cut", mode, 0, self.random.getrandbits(32))  # all was sent before it came to that
            time.sleep(self.random.choice([0, 0.02, 0.2]))  # pacsd with a dead disk
            pacsd.process.kill()
            pacsd.process.wait()
            for sender in senders:
                sender.end()
            figures = lossy.figures()
        self.cuts, self.on_disk = self.cuts + 1, self.on_disk + 1
        self.lost, self.kept = self.lost + figures["lost"], self.kept + figures["kept"]
        print(f"cut {self.cuts}: {mode} after {after} writes; {figures['kept']} sectors kept, {figures['lost']} lost; "
              f"{sum(len(s.success) for s in senders)} acknowledged", flush=True)
        return senders

    def round(self):
        if self.on_disk == CUTS_A_DISK:
            self.new_disk()
        pacsd = daemon.Daemon(kill.CONFIG, archive=self.archive)
        try:
            senders = self.run_until_cut(pacsd)
            for sender in senders:
                self.acknowledged += len(sender.success)
                self.expected.update((uid, sender.images.sha256[uid]) for uid in sender.success)
            with disk.mounted(self.image, self.path):
                self.after_the_cut(pacsd, senders)
        finally:
            pacsd.__exit__(*sys.exc_info())
        for sender in senders:
            shutil.rmtree(sender.images.folder)

    def after_the_cut(self, pacsd, senders):
        if self.random.random() < 0.5:  # else: a disk that failed, and was mounted again
            states.other_boot(self.archive)
        pacsd.start()
        self.check("after the restart")
        again = load.Dcmsend(senders[1].images, pacsd.port)
        again.begin()
        again.end()
        assert len(again.success) == len(again.images.uids), again.output[-2000:]
        self.expected.update(again.images.sha256)
        pacsd.stop()
        if self.cuts % 3 == 1:
            with tree.Mount(self.archive, os.path.join(self.here, "mnt")) as self.mount:
                self.rebuild()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="copy the disk of a failure")
    options = parser.parse_args()
    disk.enter()
    story = None
    try:
        for name in ("storescu", "dcmsend"):
            daemon.client(name)
        story = Story(disk.folder("power"), options.seed)
        for _ in range(options.rounds):
            story.round()
        print(f"ok: seed {options.seed}, {story.cuts} cuts, {story.acknowledged} acknowledged, "
              f"{story.lost} sectors lost, {story.kept} kept")
        status = 0
    except daemon.Skip as why:
        print(why)
        status = 77
    except Exception:
        traceback.print_exc()
        print(f"seed {options.seed}; again: PACSFS_BIN={daemon.BIN} /usr/bin/python3 -B {os.path.abspath(__file__)} "
              f"--seed {options.seed} --rounds {options.rounds}")
        if options.keep and story:
            print("kept:", shutil.copy(story.image, f"/tmp/pacsfs-power-{options.seed}.img"))
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
