"""What `rsync` takes of packs and archive.conf while they are written to is an archive.

    backup.py [CASE]
"""
import filecmp
import os
import random
import shutil
import subprocess
import tempfile
import threading

import load
from load import daemon, tree

CONFIG = "[archive]\nreserve = 1M\npack_size = 1M\n"
COPIES = int(os.environ.get("BACKUP_COPIES", "5"))


class Modality(threading.Thread):
    """Sends without an end; `acknowledged` grows with each success."""

    def __init__(self, port, series, seed):
        super().__init__()
        self.port, self.series, self.random = port, series, random.Random(seed)
        self.acknowledged, self.stopping, self.failure = {}, False, None

    def run(self):
        try:
            contexts = {1: (daemon.CT, [daemon.EXPLICIT])}
            with daemon.Association(self.port, contexts=contexts) as association:
                number = 0
                while not self.stopping:
                    number += 1
                    size = self.random.choice([8, 8, 8, 128, 400])
                    uid, data, _ = load.image(self.random, self.series, number, size)
                    status, comment, _ = association.store(1, daemon.CT, uid, data)
                    assert status == 0, (hex(status), comment)
                    self.acknowledged[uid] = load.sha256(data)
                association.release()
        except Exception as why:
            self.failure = why


def rsync(source, target):
    """The backup that the manual names: no index, no run. 24: files went away meanwhile, which the tool tells."""
    done = subprocess.run(["rsync", "-a", "--include=/archive.conf", "--include=/packs/***", "--exclude=*",
                           source + "/", target + "/"], capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 24), done.stderr


def check(archive, expected, here):
    out = os.path.join(here, "out")
    try:
        load.check_bytes(archive, out, expected)
        load.pacsctl(archive, "verify")
    finally:
        shutil.rmtree(out, ignore_errors=True)


def listing(archive, here):
    if not tree.fuse_is_usable():
        return load.pacsctl(archive, "find", "--level=instance", "--json").splitlines()
    with tree.Mount(archive, os.path.join(here, "mnt")) as mount:
        return load.listing(mount.path)


def case_copies_of_a_live_archive_hold_what_was_acknowledged():
    if not shutil.which("rsync"):
        raise daemon.Skip("rsync is not installed")
    here = tempfile.mkdtemp(prefix="pacsfs-backup-")
    try:
        archive = daemon.make_archive(os.path.join(here, "archive"))
        copies = []
        with daemon.Daemon(CONFIG, archive=archive) as pacsd:
            modalities = [Modality(pacsd.port, 700 + n, n) for n in range(2)]
            for modality in modalities:
                modality.start()
            try:
                for number in range(COPIES):
                    load_more = sum(len(m.acknowledged) for m in modalities) + 25
                    assert daemon.wait_for(lambda: sum(len(m.acknowledged) for m in modalities) >= load_more or
                                           any(m.failure for m in modalities))
                    before = {uid: sha for m in modalities for uid, sha in list(m.acknowledged.items())}
                    copies.append((os.path.join(here, f"copy{number}"), before))
                    rsync(archive, copies[-1][0])
                    rsync(archive, os.path.join(here, "latest"))  # again and again into the same one
            finally:
                for modality in modalities:
                    modality.stopping = True
                for modality in modalities:
                    modality.join()
            assert not any(m.failure for m in modalities), [m.failure for m in modalities]
        expected = {uid: sha for m in modalities for uid, sha in m.acknowledged.items()}
        packs = sorted(os.listdir(os.path.join(archive, "packs")))
        assert len(packs) > 3, packs  # there was a switch of packs
        for copy, before in copies:
            check(copy, before, here)
        # The archive stands still: the last copy becomes the same.
        latest = os.path.join(here, "latest")
        rsync(archive, latest)
        for pack in packs:
            assert filecmp.cmp(os.path.join(archive, "packs", pack), os.path.join(latest, "packs", pack), False), pack
        assert packs == sorted(os.listdir(os.path.join(latest, "packs")))
        check(latest, expected, here)
        before, after = listing(archive, here), listing(latest, here)
        assert before == after, load.difference(before, after)
        # A copy of a moment is an archive of its own: it takes images, also those that came after it was made.
        with daemon.Daemon(CONFIG, archive=copies[0][0]) as pacsd:
            again = load.Dcmsend(load.Images(os.path.join(here, "more"), random.Random(9), 799, 20, 64), pacsd.port)
            again.begin()
            again.end()
            assert len(again.success) == 20, again.output[-1000:]
        check(copies[0][0], {**copies[0][1], **again.images.sha256}, here)
    finally:
        shutil.rmtree(here, ignore_errors=True)


if __name__ == "__main__":
    daemon.main(globals())
