"""A full disk: what is refused and how it is said, what stays readable, what comes back by itself.

    full.py [CASE]
"""
import contextlib
import os
import random
import shutil
import subprocess

import disk
from disk import daemon, load, tree

MIB = 1 << 20
TINY = "1.2.826.0.1.3680043.10.2"  # UIDs of objects of one PDV


class Disk:
    """A small ext4 with an archive on it, pacsd on that, and one association to store by."""

    def __init__(self, reserve="0", mebibytes=48, index_mebibytes=0):
        self.here = disk.folder("full")
        self.stack = contextlib.ExitStack()
        self.config = f"[archive]\nreserve = {reserve}\nquarantine = 16M\n"
        self.kept, self.refused, self.number = {}, 0, 0
        self.image, self.index_image = os.path.join(self.here, "image"), os.path.join(self.here, "index")
        self.sizes = mebibytes, index_mebibytes

    def __enter__(self):
        try:
            self.set_up()
        except BaseException:
            self.stack.close()
            raise
        return self

    def set_up(self):
        self.path = self.full = self.stack.enter_context(
            disk.mounted(disk.make(self.image, self.sizes[0]), os.path.join(self.here, "disk")))
        self.archive = os.path.join(self.path, "archive")
        os.mkdir(self.archive)
        if self.sizes[1]:  # index/ on a disk of its own; only that one is filled
            os.mkdir(os.path.join(self.archive, "index"))
            self.full = self.stack.enter_context(
                disk.mounted(disk.make(self.index_image, self.sizes[1]), os.path.join(self.here, "small")))
        daemon.make_archive(os.path.join(self.here, "made"))
        shutil.copy(os.path.join(self.here, "made", "archive.conf"), self.archive)
        os.mkdir(os.path.join(self.archive, "packs"))
        if self.sizes[1]:
            os.rmdir(os.path.join(self.archive, "index"))
            os.mkdir(os.path.join(self.full, "index"))
            os.symlink(os.path.join(self.full, "index"), os.path.join(self.archive, "index"))
        self.images = load.Images(os.path.join(self.here, "in"), random.Random(3), 1, 20, 256)
        with open(os.path.join(self.archive, "pacs.conf"), "w") as file:
            file.write(self.config)  # where pacsctl finds it, too
        self.pacsd = self.stack.enter_context(daemon.Daemon(self.config, archive=self.archive))
        self.connect()

    def connect(self):
        self.association = self.pacsd.connect(contexts={1: (daemon.CT, [daemon.EXPLICIT])})

    def __exit__(self, *why):
        self.association.socket.close()  # or pacsd waits for it
        return self.stack.__exit__(*why)

    def fill(self, leave=0):
        """A file over all free space but `leave` bytes."""
        free = os.statvfs(self.full)
        size = free.f_bavail * free.f_frsize - leave
        with open(os.path.join(self.full, "filler"), "ab") as file:
            while size > 0:
                try:
                    size -= os.write(file.fileno(), b"\1" * min(size, MIB if size > MIB else disk.BLOCK))
                except OSError:
                    break
            os.fsync(file.fileno())

    def release(self, size=None):
        """Gives `size` bytes back, or all."""
        path = os.path.join(self.full, "filler")
        if size is None:
            os.unlink(path)
        else:
            os.truncate(path, max(0, os.path.getsize(path) - size))
        disk.command("sync", "-f", self.full)  # ext4 gives freed blocks out again when the journal has them

    def store(self, data, uid):
        """The status; what was acknowledged is kept in mind, what was refused was told well."""
        status, comment, _ = self.association.store(1, daemon.CT, uid, data)
        if status == 0:
            self.kept[uid] = load.hashlib.sha256(data).hexdigest()
        else:
            assert status & 0xFF00 == 0xA700, (hex(status), comment, self.pacsd.log()[-800:])
            assert "again" in comment and "/" not in comment and len(comment) <= 64, comment
            self.refused += 1
        return status

    def store_image(self):
        path = self.images.paths[self.number % 20]
        uid = self.images.uids[self.number % 20]
        self.number += 1
        with open(path, "rb") as file:
            return self.store(load.data_set_of(file.read()), uid)

    def store_tiny(self, number):
        uid = f"{TINY}.{number}"
        return self.store(daemon.data_set(daemon.CT, uid, number=number), uid)

    def files(self):
        """What stands in packs/ and quarantine/, with sizes."""
        return {(part, name): os.path.getsize(os.path.join(self.archive, part, name))
                for part in ("packs", "quarantine") for name in os.listdir(os.path.join(self.archive, part))}

    def highest_pack(self):
        return max(int(name.split(".")[0]) for name in os.listdir(os.path.join(self.archive, "packs")))

    def check(self):
        out = os.path.join(self.here, "out")
        try:
            load.check_bytes(self.archive, out, self.kept)
        finally:
            shutil.rmtree(out, ignore_errors=True)
        load.pacsctl(self.archive, "verify")
        rows = load.pacsctl(self.archive, "find", "--level=instance", "--json").splitlines()
        assert len(rows) == len(self.kept), f"{len(rows)} instances, {len(self.kept)} acknowledged"

    def restart(self, kill=False):
        self.association.socket.close()
        if kill:
            self.pacsd.process.kill()
            self.pacsd.process.wait()
        else:
            self.pacsd.stop()
        self.pacsd.start()
        self.connect()


def case_reserve_refuses_before_anything_is_written():
    with Disk(reserve="8M") as d:
        with tree.Mount(d.archive, os.path.join(d.here, "mnt")) as mount:
            assert d.store_image() == 0
            d.fill(leave=7 * MIB)
            daemon.time.sleep(0.4)  # free space is not asked once an image
            before, highest = d.files(), d.highest_pack()
            for number in range(40):
                assert d.store_image() != 0
                assert d.store_tiny(number) != 0
            assert d.files() == before and d.highest_pack() == highest
            assert d.pacsd.echo()[0] == 0
            folder = os.path.join(mount.path, "dicom")
            for name in subprocess.run(["find", folder, "-type", "f"], capture_output=True, text=True,
                                       check=True).stdout.split():
                assert tree.read(name)
            d.check()
            for words in (["stats"], ["stats", "--json"], ["status"], ["status", "--json"]):
                load.pacsctl(d.archive, *words)
            d.release()
            for number in range(10):  # without a restart
                assert d.store_image() == 0 and d.store_tiny(number) == 0
            d.check()


def case_no_reserve_runs_to_the_last_block():
    """Every step of the way from some space to none and back, by objects of one PDV and of several."""
    with Disk() as d:
        assert d.store_image() == 0
        d.fill()
        highest = d.highest_pack()
        for number in range(1, 70):
            if number < 40:
                d.release(2 * disk.BLOCK)
            d.store_tiny(number)
            if number % 4 == 0:
                d.store_image()
        assert d.refused > 30, d.refused
        packs = len(os.listdir(os.path.join(d.archive, "packs")))
        assert packs <= 12, f"{packs} packs: what was refused leaves files behind"
        assert d.highest_pack() <= highest + 10, f"refused stores used up pack numbers: {d.highest_pack()}"
        d.check()
        d.release()
        for number in range(100, 110):
            assert d.store_tiny(number) == 0
        d.check()
        d.restart(kill=True)
        d.check()
        load.pacsctl(d.archive, "verify")


def case_index_that_cannot_grow():
    """index/ on a full disk of its own: the pack takes the group, the commit does not."""
    with Disk(mebibytes=64, index_mebibytes=16) as d:
        assert d.store_tiny(1) == 0
        daemon.time.sleep(1.5)  # its checkpoint
        d.fill()
        highest = d.highest_pack()
        for number in range(2, 80):
            d.store_tiny(number)
        assert d.refused > 50, d.refused
        assert d.highest_pack() <= highest + 10, f"refused stores used up pack numbers: {d.highest_pack()}"
        d.check()
        d.release()
        for number in range(2, 20):
            assert d.store_tiny(number) == 0
        d.check()
        d.restart(kill=True)
        d.check()


def case_commit_that_fails_half_way():
    """There was room when it was asked for, and the index cannot grow: here by a limit on the size of files."""
    with Disk() as d:
        d.pacsd.wrap = ["sh", "-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"]  # 1 MiB
        with open(d.pacsd.config_path, "a") as file:
            file.write("pack_size = 1M\n")
        d.restart()
        for number in range(1, 80):
            d.store_tiny(number)
        walls = d.pacsd.log().count("cannot commit")
        print(f"   {walls} commits failed, {len(d.kept)} kept, the highest pack is {d.highest_pack()}")
        assert walls > 20 and d.kept, (walls, len(d.kept))
        assert len(os.listdir(os.path.join(d.archive, "packs"))) < 12
        d.check()
        d.pacsd.wrap = []
        d.restart(kill=True)
        d.check()
        for number in range(1, 80):
            assert d.store_tiny(number) == 0
        d.check()


def case_quarantine_on_a_full_disk():
    with Disk() as d:
        assert d.store_image() == 0
        d.fill()
        with open(d.images.paths[1], "rb") as file:
            data = load.data_set_of(file.read())
        status, comment, _ = d.association.store(1, daemon.CT, d.images.uids[1], data[:-1000])  # cut off
        assert status in (0xC000, 0xA700) and "/" not in comment, (hex(status), comment)
        assert os.listdir(os.path.join(d.archive, "quarantine")) == []
        d.check()
        d.release()
        status, comment, _ = d.association.store(1, daemon.CT, d.images.uids[1], data[:-1000])
        assert status == 0xC000, (hex(status), comment)
        assert len(os.listdir(os.path.join(d.archive, "quarantine"))) == 2
        d.check()


def case_import_on_a_full_disk():
    with Disk() as d:
        assert d.store_image() == 0
        d.fill()
        load.pacsctl(d.archive, "import", "-q", d.images.folder, status=5)  # handed to pacsd
        d.check()
        d.association.socket.close()
        d.pacsd.stop()
        load.pacsctl(d.archive, "import", "-q", d.images.folder, status=5)  # by itself
        d.release()
        load.pacsctl(d.archive, "import", "-q", d.images.folder)
        d.kept.update(d.images.sha256)
        d.pacsd.start()
        d.check()


def case_mount_and_start_on_a_full_disk():
    """Readers go on, a start is refused in words, and all is well when there is room."""
    with Disk() as d:
        for _ in range(5):
            assert d.store_image() == 0
        d.fill()
        assert d.store_image() != 0
        d.association.socket.close()
        d.pacsd.stop()
        with tree.Mount(d.archive, os.path.join(d.here, "mnt")) as mount:
            assert load.listing(mount.path)
            d.check()
            done = subprocess.run(d.pacsd.command(), capture_output=True, text=True, timeout=60)
            assert done.returncode == 5 and "No space left on device" in done.stderr, (done.returncode, done.stderr)
            assert load.listing(mount.path)
            d.check()
        d.release()
        d.pacsd.start()
        d.connect()
        assert d.store_image() == 0
        d.check()


def case_start_without_run_on_a_full_disk():
    """A backup has no run/: what is mapped there must have its blocks, or the first store to it is SIGBUS."""
    with Disk() as d:
        assert d.store_image() == 0
        d.association.socket.close()
        d.pacsd.stop()
        shutil.rmtree(os.path.join(d.archive, "run"))
        os.mkdir(os.path.join(d.archive, "run"))
        d.fill()
        done = subprocess.run(d.pacsd.command(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 5, (done.returncode, done.stderr)
        d.release()
        d.pacsd.start()
        d.check()


def case_rebuild_on_a_full_disk():
    with Disk() as d:
        for _ in range(20):
            assert d.store_image() == 0
        d.association.socket.close()
        d.pacsd.stop()
        d.fill()
        before = sorted(os.listdir(os.path.join(d.archive, "index")))
        load.pacsctl(d.archive, "rebuild", status=5)
        assert sorted(os.listdir(os.path.join(d.archive, "index"))) == before
        d.check()
        d.release()
        load.pacsctl(d.archive, "rebuild")
        d.check()


if __name__ == "__main__":
    disk.enter()
    daemon.main(globals())
