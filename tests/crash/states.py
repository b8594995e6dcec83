"""What an archive may be found in after a kill, a copy, a reboot, a full disk, and what comes out of it.

    states.py [CASE]
"""
import errno
import os
import random
import shutil
import struct
import subprocess
import tempfile
import threading
import time

import load
from load import daemon, tree

try:
    import xxhash
except ImportError:
    xxhash = None

CONFIG = "[archive]\nreserve = 1M\npack_size = 1M\n"


def index_of(archive):
    """The folder of the index in use."""
    with open(os.path.join(archive, "index", "current")) as file:
        return os.path.join(archive, "index", file.read().strip())


def other_boot(archive):
    """The machine was not restarted; the index is made to think so."""
    stamp = os.path.join(index_of(archive), "stamp")
    if not os.path.exists(stamp):
        return  # taken away when a sync failed
    with open(stamp) as file:
        words = file.read().split(" ", 1)
    with open(stamp, "w") as file:
        file.write("00000000-0000-4000-8000-000000000000 " + words[1])


class Archive:
    """One with some series in it, in a folder of its own."""

    def __init__(self, series=4):
        self.here = tempfile.mkdtemp(prefix="pacsfs-states-")
        self.random = random.Random(1)
        self.path = daemon.make_archive(os.path.join(self.here, "archive"))
        self.expected = {}
        for number in range(1, series + 1):
            images = load.Images(os.path.join(self.here, f"in{number}"), self.random, number, 60, 8 if number % 2 else 64)
            load.pacsctl(self.path, "import", "-q", images.folder)
            self.expected.update(images.sha256)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.here, ignore_errors=True)

    def check(self, path=None):
        out = os.path.join(self.here, "out")
        try:
            load.check_bytes(path or self.path, out, self.expected)
        finally:
            shutil.rmtree(out, ignore_errors=True)
        load.pacsctl(path or self.path, "verify")

    def tree(self, path=None):
        """The listing of a mount; pacsctl's own where there is no FUSE."""
        if not tree.fuse_is_usable():
            return load.pacsctl(path or self.path, "find", "--level=instance", "--json").splitlines()
        with tree.Mount(path or self.path, os.path.join(self.here, "mnt")) as mount:
            return load.listing(mount.path)

    def index(self):
        return index_of(self.path)


def same(before, after):
    assert before == after, load.difference(before, after)


def case_rebuild_killed_half_way():
    with Archive() as a:
        before = a.tree()
        rng = random.Random(5)
        for _ in range(8):
            process = subprocess.Popen([daemon.program("pacsctl"), "-A", a.path, "rebuild"], stderr=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.06))
            process.kill()
            process.wait()
            same(before, a.tree())
        a.check()
        load.pacsctl(a.path, "rebuild")
        same(before, a.tree())
        folders = [name for name in os.listdir(os.path.join(a.path, "index")) if name.startswith("g")]
        assert len(folders) == 1, folders  # what was left half-made is gone


def case_index_deleted():
    with Archive() as a:
        before = a.tree()
        shutil.rmtree(os.path.join(a.path, "index"))
        same(before, a.tree())
        a.check()


def case_index_and_run_left_out_of_a_backup():
    with Archive() as a:
        before = a.tree()
        copy = os.path.join(a.here, "copy")
        os.mkdir(copy)
        for name in ("archive.conf", "packs"):
            subprocess.run(["cp", "-a", os.path.join(a.path, name), copy], check=True)
        same(before, a.tree(copy))
        a.check(copy)
        load.pacsctl(copy, "import", "-q", os.path.join(a.here, "in1"))  # and it can be written to


def case_index_copied_to_another_inode():
    with Archive() as a:
        before = a.tree()
        data = os.path.join(a.index(), "data.mdb")
        shutil.copy2(data, data + ".copy")
        os.unlink(data)
        time.sleep(0.02)
        shutil.copy2(data + ".copy", data)  # often the inode of before
        os.unlink(data + ".copy")
        old = a.index()
        same(before, a.tree())
        assert a.index() != old, "an index that is a copy was believed"
        a.check()


def case_other_boot_restores_the_checkpoint():
    """Killed under load, then 'rebooted': the index comes from its checkpoint and the log behind it, not from nothing."""
    with Archive() as a:
        images = load.Images(os.path.join(a.here, "more"), a.random, 90, 200, 8)
        with daemon.Daemon(CONFIG, archive=a.path) as pacsd:
            time.sleep(1.5)  # idle: a checkpoint is there
            sender = load.Dcmsend(images, pacsd.port)
            sender.begin()
            pacsd.logged("association")
            time.sleep(0.1)
            pacsd.process.kill()
            pacsd.process.wait()
            sender.end()
            for uid in sender.success:
                a.expected[uid] = images.sha256[uid]
            other_boot(a.path)
            old = a.index()
            pacsd.start()
            assert pacsd.logged("restored from its checkpoint"), pacsd.log()
            assert a.index() == old
            a.check()
        before = a.tree()
        load.pacsctl(a.path, "rebuild")
        same(before, a.tree())


def set_format(archive, change):
    """Makes the index one of another version: the first number of its state (pacs-index(5), table meta), proven anew."""
    key = xxhash.xxh3_64_intdigest(b"state", 0)
    path = os.path.join(index_of(archive), "data.mdb")
    with open(path, "r+b") as file:
        data, at, found = file.read(), -1, 0
        while (at := data.find(b"state", at + 1)) >= 0:
            number, zero = struct.unpack_from("<II", data, at + 5)
            if zero == 0 and 0 < number < 1000:
                value = struct.pack("<I", number + change) + data[at + 9:at + 85]
                file.seek(at + 5)
                file.write(value + struct.pack("<I", xxhash.xxh3_64_intdigest(value, key) & 0xFFFFFFFF))
                found += 1
    assert found


def case_index_of_another_format():
    if not xxhash:
        raise daemon.Skip("python3-xxhash is not installed")
    with Archive() as a:
        before = a.tree()
        for change in (-1, 1):
            set_format(a.path, change)
            old = a.index()
            same(before, a.tree())
            assert a.index() != old
            a.check()
            set_format(a.path, change)
            with daemon.Daemon(CONFIG, archive=a.path) as pacsd:
                assert pacsd.logged("the index has format"), pacsd.log()
                a.check()
            same(before, a.tree())


def case_index_cut_short():
    """By whatever took its end away; LMDB maps the file, and what is not there would be a signal."""
    with Archive() as a:
        before = a.tree()
        for part in (0, 0.3, 0.7, 0.99):
            data = os.path.join(a.index(), "data.mdb")
            os.truncate(data, int(os.path.getsize(data) * part))
            same(before, a.tree())
            a.check()
        data = os.path.join(a.index(), "data.mdb")
        os.truncate(data, os.path.getsize(data) // 2)
        with daemon.Daemon(CONFIG, archive=a.path):
            a.check()


def case_newest_packs_are_gone():
    """With what the index knows of them, and without."""
    with Archive() as a:
        packs = sorted(os.listdir(os.path.join(a.path, "packs")))
        for pack in packs[-2:]:
            os.unlink(os.path.join(a.path, "packs", pack))
        output = load.pacsctl(a.path, "verify", status=3)
        assert "are lost" in output and packs[-2] in output and packs[-1] in output, output
        if tree.fuse_is_usable():
            with tree.Mount(a.path, os.path.join(a.here, "mnt")) as mount:
                good, bad = 0, []
                for folder, _, names in os.walk(os.path.join(mount.path, "dicom")):
                    for name in names:
                        try:
                            good += bool(tree.read(os.path.join(folder, name)))
                        except OSError as why:
                            bad.append(why.errno)
                assert good >= 120 and bad and set(bad) == {errno.EIO}, (good, bad)
        shutil.rmtree(os.path.join(a.path, "index"))
        output = load.pacsctl(a.path, "verify")
        assert "another followed it" in output, output


class Reader(threading.Thread):
    """Lists and reads without an end; whatever it sees is as it was."""

    def __init__(self, mount):
        super().__init__()
        self.mount, self.stopping, self.failure, self.rounds = mount, False, None, 0
        self.before = self.walk()

    def walk(self):
        """Without ready/, which follows the hour."""
        return {path: row for path, row in tree.walk(self.mount).items() if not path.startswith("ready")}

    def run(self):
        try:
            while not self.stopping:
                now = self.walk()
                assert now == self.before, "another tree"
                for path, row in now.items():
                    if path.startswith("dicom/") and path.endswith("1.dcm"):
                        assert len(tree.read(os.path.join(self.mount, path))) == row[2]
                self.rounds += 1
        except Exception as why:
            self.failure = why


def case_mount_runs_through_rebuilds():
    """Some of them killed, some by a daemon that is killed at its start: readers see the same files all the while."""
    if not tree.fuse_is_usable():
        raise daemon.Skip("/dev/fuse cannot be used")
    with Archive() as a, tree.Mount(a.path, os.path.join(a.here, "mnt")) as mount:
        rng = random.Random(7)
        readers = [Reader(mount.path) for _ in range(3)]
        for reader in readers:
            reader.start()
        try:
            for number in range(12):
                words = [daemon.program("pacsctl"), "-A", a.path, "rebuild"]
                if number % 4 == 3:
                    other_boot(a.path)
                    words = [daemon.program("pacsd"), "-A", a.path, "--dicom", "127.0.0.1:0"]
                process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
                if number % 2:
                    time.sleep(rng.uniform(0, 0.08))
                    process.kill()
                assert process.wait(daemon.WAIT_S) in (0, -9), process.returncode
                assert not any(r.failure for r in readers), [r.failure for r in readers]
        finally:
            for reader in readers:
                reader.stopping = True
            for reader in readers:
                reader.join()
        assert not any(r.failure for r in readers), [r.failure for r in readers]
        assert all(r.rounds for r in readers)
        a.check()


def case_copied_while_it_is_written_to():
    with Archive() as a:
        copies = []
        with daemon.Daemon(CONFIG, archive=a.path) as pacsd:
            senders = [load.Dcmsend(load.Images(os.path.join(a.here, f"more{n}"), a.random, 80 + n, 300, 8 + 56 * n),
                                    pacsd.port) for n in range(2)]
            for sender in senders:
                sender.begin()
            pacsd.logged("association")
            for number in range(3):
                copies.append(os.path.join(a.here, f"copy{number}"))
                subprocess.run(["cp", "-a", "--sparse=always", a.path, copies[-1]], check=True, stderr=subprocess.DEVNULL)
            for sender in senders:
                sender.end()
                assert len(sender.success) == 300, sender.output[-1000:]
        for copy in copies:
            a.check(copy)  # all that was there when the copy began
            load.pacsctl(copy, "import", "-q", senders[0].images.folder)
            a.check(copy)


def case_pack_cut_short():
    """The tail of the newest pack is gone: what it held is missed, the rest is read, nothing is invented."""
    with Archive() as a:
        packs = sorted(os.listdir(os.path.join(a.path, "packs")))
        newest = os.path.join(a.path, "packs", packs[-1])
        os.truncate(newest, os.path.getsize(newest) - 5000)
        load.pacsctl(a.path, "verify", status=3)
        load.pacsctl(a.path, "rebuild")
        load.pacsctl(a.path, "import", "-q", *(os.path.join(a.here, f"in{n}") for n in range(1, 5)))
        out = os.path.join(a.here, "out")
        load.check_bytes(a.path, out, a.expected)


def loop_mount(here, mebibytes):
    """A small ext4 of its own."""
    if os.geteuid() != 0:
        raise daemon.Skip("not root: cannot mount a small file system")
    image, folder = os.path.join(here, "disk"), os.path.join(here, "small")
    os.mkdir(folder)
    with open(image, "wb") as file:
        file.truncate(mebibytes << 20)
    for words in (["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, folder]):
        if not shutil.which(words[0]) or subprocess.run(words, capture_output=True).returncode:
            raise daemon.Skip(f"{words[0]} does not work here")
    return folder


def case_full_disk():
    here = tempfile.mkdtemp(prefix="pacsfs-full-")
    folder = None
    try:
        folder = loop_mount(here, 64)
        archive = daemon.make_archive(os.path.join(folder, "archive"))
        images = load.Images(os.path.join(here, "in"), random.Random(3), 1, 300, 300)
        with daemon.Daemon("[archive]\nreserve = 0\npack_size = 4M\n", archive=archive) as pacsd:
            filler = os.path.join(folder, "filler")
            kept, refused = {}, 0
            with pacsd.connect(contexts={1: (daemon.CT, [daemon.EXPLICIT])}) as association:
                def store(number):
                    with open(images.paths[number], "rb") as file:
                        data = load.data_set_of(file.read())
                    status, comment, _ = association.store(1, daemon.CT, images.uids[number], data)
                    if status == 0:
                        kept[images.uids[number]] = images.sha256[images.uids[number]]
                    else:
                        assert status & 0xFF00 == 0xA700 and comment, (hex(status), comment)
                    return status

                assert store(0) == 0
                free = os.statvfs(folder)
                with open(filler, "wb") as file:  # all but a few images
                    file.write(b"\1" * (free.f_bavail * free.f_frsize - (1 << 20)))
                for number in range(1, 60):
                    refused += store(number) != 0
                assert refused > 10 and len(kept) > 2, (refused, len(kept))
                # Full, it is readable, and says so.
                load.check_bytes(archive, os.path.join(here, "out"), kept)
                shutil.rmtree(os.path.join(here, "out"))
                packs = len(os.listdir(os.path.join(archive, "packs")))
                assert packs < 12, f"{packs} packs: refused images leave files behind"
                os.unlink(filler)
                for number in range(60, 70):  # without a restart
                    assert store(number) == 0
                association.release()
            load.check_bytes(archive, os.path.join(here, "out"), kept)
            shutil.rmtree(os.path.join(here, "out"))
            load.pacsctl(archive, "verify")
            pacsd.process.kill()
            pacsd.process.wait()
            pacsd.start()
            load.check_bytes(archive, os.path.join(here, "out"), kept)
            load.pacsctl(archive, "verify")
    finally:
        if folder:
            subprocess.run(["umount", folder], check=False)
        shutil.rmtree(here, ignore_errors=True)


if __name__ == "__main__":
    daemon.main(globals())
