"""Archives written by the programs, read by packs.py: every edition comes out, bit for bit as it was sent.

    compare.py [CASE]
"""
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../crash"))
import load  # noqa: E402
from load import daemon  # noqa: E402

try:
    import packs
except ImportError as why:
    print(f"{why}: python3-zstandard and python3-xxhash are needed")
    sys.exit(77)

CONFIG = "[archive]\nreserve = 1M\npack_size = 1M\n"


class Scene:
    """An archive made by pacsd with small packs: many small objects (a dictionary), large ones (many chunks), the same
    again, newer versions, files in other syntaxes."""

    def __init__(self):
        self.here = tempfile.mkdtemp(prefix="pacsfs-second-")
        self.archive = daemon.make_archive(os.path.join(self.here, "archive"))
        self.random, self.sent = random.Random(11), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.here, ignore_errors=True)

    def store(self, pacsd, series, count, size):
        images = load.Images(os.path.join(self.here, f"in{series}-{len(self.sent)}"), self.random, series, count, size)
        sender = load.Dcmsend(images, pacsd.port)
        sender.begin()
        sender.end()
        assert len(sender.success) == count, sender.output[-1000:]
        self.sent.update(images.sha256)
        return images

    def fill(self, pacsd):
        self.store(pacsd, 1, 500, 8)
        self.store(pacsd, 2, 12, 512)
        self.store(pacsd, 3, 2, 2048)
        again = self.store(pacsd, 4, 30, 32)
        sender = load.Dcmsend(again, pacsd.port)
        sender.begin()
        sender.end()

    def export(self):
        """The shown files by (study, series, instance)."""
        out = os.path.join(self.here, "out")
        load.pacsctl(self.archive, "export", "-q", "--flat", "-o", out, "StudyInstanceUID=*")
        found = {}
        for name in os.listdir(out):
            with open(os.path.join(out, name), "rb") as file:
                found[name] = file.read()
        shutil.rmtree(out)
        return found


def sealed(archive):
    """Waits for the seals that are due."""
    def all_sealed():
        try:
            a = packs.Archive(archive)
            return a.seals() == len(a.packs) - 1 and a
        except packs.Fault:
            return None  # one is being written
    return daemon.wait_for(all_sealed, 30)


def case_everything_comes_out():
    with Scene() as s:
        with daemon.Daemon(CONFIG, archive=s.archive) as pacsd:
            s.fill(pacsd)
            assert sealed(s.archive), "no seals"
        a = packs.Archive(s.archive)
        count = a.seals()
        assert not a.faults, a.faults
        assert count > 3 and len(a.packs) == count + 1, (count, len(a.packs))
        assert a.dictionaries, "no dictionary was trained"
        assert len(a.duplicates) == 30 and all(d.verdict == 1 for d in a.duplicates)
        assert len(a.editions) == len(s.sent)
        chunks = 0
        for edition in a.editions:
            prefix, data = a.restore(edition)
            chunks += len(edition.chunks)
            assert hashlib.sha256(data).hexdigest() == s.sent[edition.uid], edition.uid
            assert prefix[:128] == bytes(128) and prefix[128:132] == b"DICM"
        assert chunks > len(a.editions) + 20
        exported = s.export()
        for (_, _, uid), edition in a.shown().items():
            assert exported[uid + ".dcm"] == b"".join(a.restore(edition)), uid
        assert len(exported) == len(a.shown())


def case_files_of_every_kind_come_out_as_files():
    """What Debian's pydicom ships: syntaxes, preambles, sequences, deflate; whole files, bit for bit."""
    folder = os.path.join(os.path.dirname(load.__file__), "none")
    try:
        import pydicom
        folder = os.path.join(os.path.dirname(pydicom.__file__), "data", "test_files")
    except ImportError:
        raise daemon.Skip("python3-pydicom is not installed") from None
    with Scene() as s:
        status, output, errors = daemon.run(daemon.program("pacsctl"), "-A", s.archive, "import", "--json", folder)
        assert status in (0, 1), errors
        a = packs.Archive(s.archive)
        assert not a.faults, a.faults
        files = {}
        for base, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(base, name), "rb") as file:
                    files[file.read()] = name
        for edition in a.editions:
            whole = b"".join(a.restore(edition))
            assert whole in files, f"{edition.uid} from {edition.origin[5]} is no file that was imported"
        assert len(a.editions) > 30, len(a.editions)


def case_versions_and_healed():
    with Scene() as s:
        with daemon.Daemon(CONFIG, archive=s.archive) as pacsd:
            first = s.store(pacsd, 1, 3, 16)
        a = packs.Archive(s.archive)
        edition = a.editions[1]
        _, number, offset, _, _ = edition.chunks[0]
        path = os.path.join(s.archive, "packs", f"{number:08}.pack")
        with open(path, "r+b") as file:
            file.seek(offset + 64 + 30)
            byte = file.read(1)
            file.seek(offset + 64 + 30)
            file.write(bytes([byte[0] ^ 0xFF]))
        damaged = packs.Archive(s.archive)
        assert len(damaged.faults) == 1 and str(offset) in damaged.faults[0], damaged.faults
        try:
            damaged.restore(damaged.editions[1])
            raise AssertionError("a damaged chunk was read")
        except packs.Fault:
            pass
        with daemon.Daemon(CONFIG, archive=s.archive) as pacsd:
            sender = load.Dcmsend(first, pacsd.port)
            sender.begin()
            sender.end()
            s.store(pacsd, 1, 3, 24)  # other pixels under the same UIDs, by a stranger: kept, not shown
        a = packs.Archive(s.archive)
        verdicts = [packs.VERDICTS[e.verdict] for e in a.editions]
        assert verdicts == ["STORED"] * 3 + ["HEALED"] + ["CONFLICT"] * 3, verdicts
        exported = s.export()
        for (_, _, uid), edition in a.shown().items():
            prefix, data = a.restore(edition)
            assert hashlib.sha256(data).hexdigest() == first.sha256[uid], uid
            assert exported[uid + ".dcm"] == prefix + data


def case_killed_and_torn():
    """After kill -9 the newest pack ends where the page says, and what was acknowledged stands before."""
    with Scene() as s:
        with daemon.Daemon(CONFIG, archive=s.archive) as pacsd:
            images = load.Images(os.path.join(s.here, "in"), s.random, 1, 300, 16)
            sender = load.Dcmsend(images, pacsd.port)
            sender.begin()
            pacsd.logged("association")
            time.sleep(0.15)
            pacsd.process.kill()
            pacsd.process.wait()
            sender.end()
            with open(os.path.join(s.archive, "packs", sorted(os.listdir(os.path.join(s.archive, "packs")))[-1]),
                      "ab") as file:
                file.write(s.random.randbytes(1000))
            a = packs.Archive(s.archive)
            assert not a.faults, a.faults
            there = {e.uid for e in a.editions}
            assert set(sender.success) <= there
            pacsd.start()
            after = packs.Archive(s.archive)
            assert {e.uid for e in after.editions} == there
            status, output, _ = daemon.run(daemon.program("pacsctl"), "-A", s.archive, "find", "--level=instance",
                                           "--json")
            assert status == 0 and len(output.splitlines()) == len(there)


if __name__ == "__main__":
    daemon.main(globals())
