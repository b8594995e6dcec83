"""kill -9 under load, again and again: what a sender saw success for is there bit for bit, and the tree stays itself.

    kill.py [--seed N] [--rounds N] [--keep]

Each round: pacsd on a free port; stock senders and an import put small and CT-sized images in while readers walk a
mount; kill -9 at a random moment; restart. Then every acknowledged instance is compared, `verify` finds nothing, there
are no conflicts, and names, inodes, sizes and times of the tree are the same after a rebuild.
"""
import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

import load
from load import daemon, tree

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


class Story:
    def __init__(self, here, seed):
        self.here, self.random = here, random.Random(seed)
        self.archive = daemon.make_archive(os.path.join(here, "archive"))
        self.expected, self.series, self.killed = {}, 0, 0
        self.mount = tree.Mount(self.archive, os.path.join(here, "mnt")) if tree.fuse_is_usable() else None

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
            for sender in senders:
                sender.begin()
            if reader:
                reader.start()
            pacsd.logged("association")  # from there on, not while the clients load their dictionaries
            time.sleep(after)
            pacsd.process.kill()
            pacsd.process.wait()
            if reader:
                reader.stopping = True
                reader.join()
                assert not reader.failures, reader.failures[:5]
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--keep", action="store_true", help="leave the archive of a failure")
    options = parser.parse_args()
    here = tempfile.mkdtemp(prefix="pacsfs-kill-")
    story = None
    try:
        for name in ("storescu", "dcmsend"):
            daemon.client(name)
        story = Story(here, options.seed)
        for number in range(options.rounds):
            story.round()
            if number % 3 == 2 or number == options.rounds - 1:
                story.rebuild()
        print(f"ok: seed {options.seed}, killed {story.killed} times, {len(story.expected)} instances acknowledged")
        status = 0
    except daemon.Skip as why:
        print(why)
        status = 77
    except Exception:
        traceback.print_exc()
        print(f"seed {options.seed}; again: PACSFS_BIN={daemon.BIN} /usr/bin/python3 -B {os.path.abspath(__file__)} "
              f"--seed {options.seed} --rounds {options.rounds}" + (f"; kept: {here}" if options.keep else ""))
        status = 1
    finally:
        if story and story.mount:
            story.mount.__exit__(*sys.exc_info())
        if status == 0 or not options.keep:
            shutil.rmtree(here, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
