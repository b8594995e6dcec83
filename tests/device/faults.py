"""Bad sectors: what cannot be read is EIO for its bytes alone, what cannot be written is refused, nothing else is lost.

    faults.py [CASE]

The disk is lossy_fuse.c's: sectors fail when told to, flushes too, and both heal.
"""
import contextlib
import errno
import os
import random
import shutil

import disk
from disk import daemon, load, tree

CONFIG = "[archive]\nreserve = 1M\npack_size = 64M\n"


class Disk:
    """ext4 on a disk that fails when told to; an archive on it; pacsd on that."""

    def __init__(self):
        self.here = disk.folder("faults")
        self.stack = contextlib.ExitStack()
        self.random = random.Random(4)
        self.expected, self.series = {}, 0

    def __enter__(self):
        try:
            image = disk.make(os.path.join(self.here, "image"), 96)
            self.lossy = self.stack.enter_context(disk.Lossy(image, os.path.join(self.here, "lossy")))
            self.disks = self.stack.enter_context(contextlib.ExitStack())
            self.path = os.path.join(self.here, "disk")
            self.mount_again()
            self.archive = daemon.make_archive(os.path.join(self.path, "archive"))
            self.pacsd = self.stack.enter_context(daemon.Daemon(CONFIG, archive=self.archive))
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *why):
        self.lossy.tell("heal")
        return self.stack.__exit__(*why)

    def mount_again(self):
        self.disks.close()
        self.disks.enter_context(disk.mounted(self.lossy.file, self.path, "errors=continue"))

    def images(self, count, size):
        self.series += 1
        return load.Images(os.path.join(self.here, f"in{self.series}"), self.random, self.series, count, size)

    def send(self, images):
        sender = load.Dcmsend(images, self.pacsd.port)
        sender.begin()
        sender.end()
        for uid in sender.success:
            self.expected[uid] = images.sha256[uid]
        return sender

    def pack(self, number):
        return os.path.join(self.archive, "packs", f"{number:08}.pack")

    def check(self):
        out = os.path.join(self.here, "out")
        try:
            load.check_bytes(self.archive, out, self.expected)
        finally:
            shutil.rmtree(out, ignore_errors=True)
        load.pacsctl(self.archive, "verify")


def file_of(mount, uid):
    series = uid.rsplit(".", 1)[0]
    return os.path.join(mount.path, "uids", series, series + ".0", uid + ".dcm")


def case_bad_sector_in_a_pack():
    """EIO for the bytes that a bad sector holds, and for nothing else; verify names it; sent again it heals."""
    with Disk() as d:
        sent, ends = [], []
        for count, size in ((5, 256), (1, 256), (5, 256), (1, 1400)):
            sent.append(d.images(count, size))
            assert len(d.send(sent[-1]).success) == count
            ends.append(os.path.getsize(d.pack(1)))
        bad, large = sent[1].uids[0], sent[3].uids[0]
        d.pacsd.stop()  # with a barrier: a tail that nothing proves ends at its first bad record
        disk.forget(d.pack(1))
        for offset in ((ends[0] + ends[1]) // 2, ends[3] - (ends[3] - ends[2]) // 10):
            d.lossy.tell("fault", "read", disk.place(d.pack(1), offset) // disk.BLOCK * disk.BLOCK, disk.BLOCK)
        d.pacsd.start()
        with tree.Mount(d.archive, os.path.join(d.here, "mnt")) as mount:
            failed = []
            for uid in d.expected:
                try:
                    assert load.hashlib.sha256(load.data_set_of(tree.read(file_of(mount, uid)))).hexdigest() == \
                        d.expected[uid]
                except OSError as why:
                    assert why.errno == errno.EIO, why
                    failed.append(uid)
            assert sorted(failed) == sorted([bad, large]), failed
            with open(file_of(mount, large), "rb", buffering=0) as file:  # all before the chunk that is bad
                assert len(file.read(1 << 20)) == 1 << 20
                assert len(os.pread(file.fileno(), 1 << 20, 1 << 20)) == 1 << 20
            for uid in (bad, large):
                lines = [line for line in mount.errors().splitlines() if uid in line]
                assert lines and all("00000001" in line and "offset" in line for line in lines), mount.errors()
        report = load.pacsctl(d.archive, "verify", status=3)
        assert bad in report and large in report and "00000001" in report, report
        assert not any(uid in report for uid in d.expected if uid not in (bad, large)), report
        assert len(d.send(d.images(5, 16)).success) == 5  # life goes on
        for images in (sent[1], sent[3]):
            again = d.send(images)
            assert len(again.success) == len(images.uids), again.output[-1000:]
        out = os.path.join(d.here, "out")
        load.check_bytes(d.archive, out, d.expected)
        shutil.rmtree(out)


def case_bad_sectors_under_a_write():
    """The pack ends, another begins beside them: the disk need not be well again, and nobody restarts anything."""
    with Disk() as d:
        assert len(d.send(d.images(10, 64)).success) == 10
        disk.forget(d.pack(1))
        end = disk.place(d.pack(1), os.path.getsize(d.pack(1)) - 1) // disk.BLOCK * disk.BLOCK
        d.lossy.tell("fault", "write", end, 64 * disk.BLOCK)
        during = d.send(d.images(30, 128))
        print(f"   {len(during.success)} of 30 stored during the fault")
        assert 0 < len(during.success) < 30, during.output[-2000:]
        assert "cannot sync: Input/output error; the pack ends" in d.pacsd.log()
        for _ in range(20):  # another pack may begin in the bad region
            again = d.send(during.images)
            if len(again.success) == 30:
                break
        assert len(again.success) == 30, again.output[-1000:]
        d.check()
        d.pacsd.process.kill()
        d.pacsd.process.wait()
        d.pacsd.start()
        d.check()


def case_failed_flush_makes_the_file_system_read_only():
    """ext4 gives up when its journal fails. All is refused and the archive stays readable; mounted again it goes on."""
    with Disk() as d:
        assert len(d.send(d.images(10, 64)).success) == 10
        with tree.Mount(d.archive, os.path.join(d.here, "mnt")) as mount:
            d.lossy.tell("fault", "flush", 1)
            during = d.send(d.images(8, 128))
            d.lossy.tell("heal")
            after = d.send(d.images(8, 64))
            assert not after.success, "ext4 took writes without a journal"
            assert "Read-only file system" in d.pacsd.log()
            packs = [line for line in d.pacsd.log().splitlines() if "cannot create" in line]
            assert len({line.split(".pack")[0].rsplit("/", 1)[1] for line in packs}) == 1, "numbers are used up"
            for uid in d.expected:
                assert load.hashlib.sha256(load.data_set_of(tree.read(file_of(mount, uid)))).hexdigest() == \
                    d.expected[uid]
            load.pacsctl(d.archive, "status")
            load.pacsctl(d.archive, "verify")
        d.pacsd.process.kill()
        d.pacsd.process.wait()
        d.mount_again()
        d.pacsd.start()
        d.check()
        assert len(d.send(during.images).success) == 8 and len(d.send(after.images).success) == 8
        d.check()


if __name__ == "__main__":
    disk.enter()
    daemon.main(globals())
