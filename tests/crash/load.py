"""Images, senders and what must be there afterwards: shared by the scripts of this folder."""
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../wire"), os.path.join(HERE, "../tree")]
import daemon  # noqa: E402
import tree  # noqa: E402

ROOT = "1.2.826.0.1.3680043.10.1"
SIZES = {"small": 8, "ct": 512}  # rows and columns


def image(random, series, number, size):
    """UID, data set and whole file of a CT image of some random pixels; explicit VR little endian."""
    uid, study = f"{ROOT}.{series}.{number}", f"{ROOT}.{series}"
    e = tree.element
    pixels = bytearray(size * size * 2)  # noise of 8 bits in words of 16: compresses like an image
    pixels[::2] = random.randbytes(size * size)
    data = b"".join([
        e(8, 0x16, "UI", daemon.CT), e(8, 0x18, "UI", uid), e(8, 0x20, "DA", "20240305"), e(8, 0x60, "CS", "CT"),
        e(8, 0x1030, "LO", "Crash"), e(8, 0x103E, "LO", f"Series {series}"),
        e(0x10, 0x10, "PN", f"Crash^P{series % 5}"), e(0x10, 0x20, "LO", f"C{series % 5}"),
        e(0x10, 0x30, "DA", "19700101"), e(0x20, 0xD, "UI", study), e(0x20, 0xE, "UI", study + ".0"),
        e(0x20, 0x11, "IS", str(series)), e(0x20, 0x13, "IS", str(number)), e(0x28, 2, "US", tree.us(1)),
        e(0x28, 4, "CS", "MONOCHROME2"), e(0x28, 0x10, "US", tree.us(size)), e(0x28, 0x11, "US", tree.us(size)),
        e(0x28, 0x100, "US", tree.us(16)), e(0x28, 0x101, "US", tree.us(16)), e(0x28, 0x102, "US", tree.us(15)),
        e(0x28, 0x103, "US", tree.us(0)), e(0x7FE0, 0x10, "OW", bytes(pixels))])
    meta = b"".join([e(2, 1, "OB", b"\0\1"), e(2, 2, "UI", daemon.CT), e(2, 3, "UI", uid),
                     e(2, 0x10, "UI", daemon.EXPLICIT), e(2, 0x12, "UI", "1.2.826")])
    return uid, data, b"\0" * 128 + b"DICM" + e(2, 0, "UL", struct.pack("<I", len(meta))) + meta + data


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def data_set_of(file):
    """The bytes behind the meta header."""
    return file[144 + struct.unpack("<I", file[140:144])[0]:]


class Images:
    """Files in a folder, in order, with the SHA-256 of each one's data set."""

    def __init__(self, folder, random, series, count, size):
        os.makedirs(folder)
        self.folder, self.paths, self.uids, self.sha256 = folder, [], [], {}
        for number in range(1, count + 1):
            uid, data, file = image(random, series, number, size)
            path = os.path.join(folder, f"{number:04}.dcm")
            with open(path, "wb") as out:
                out.write(file)
            self.paths.append(path)
            self.uids.append(uid)
            self.sha256[uid] = hashlib.sha256(data).hexdigest()


class Sender(threading.Thread):
    """Runs a client over images; `success` are the UIDs for which it saw success."""

    def __init__(self, images):
        super().__init__()
        self.images, self.process, self.output, self.success = images, None, "", []

    def command(self):
        raise NotImplementedError

    def parse(self):
        raise NotImplementedError

    def begin(self):
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)
        self.start()

    def run(self):
        self.output = self.process.communicate()[0].decode(errors="replace")

    def end(self):
        """After the daemon is gone, or to let it finish."""
        self.join(daemon.WAIT_S)
        if self.process.poll() is None:
            self.process.kill()
            self.join()
        self.success = self.parse()

    def nth(self, numbers):
        return [self.images.uids[number - 1] for number in numbers]


class Storescu(Sender):
    """One association, an image after the other."""

    def __init__(self, images, port):
        super().__init__(images)
        self.port = port

    def command(self):
        return [daemon.client("storescu"), "-v", "-xe", "-aet", "STORESCU", "127.0.0.1", str(self.port),
                *self.images.paths]

    def parse(self):
        found = re.findall(r"\(MsgID (\d+), .*?\)|Response \((Success|Warning)", self.output)
        return self.nth(int(last[0]) for last, now in zip(found, found[1:]) if last[0] and now[1])


class Dcmsend(Storescu):
    """The same, with larger PDUs and without encoding anew."""

    def command(self):
        return [daemon.client("dcmsend"), "-v", "-aet", "DCMSEND", "127.0.0.1", str(self.port), *self.images.paths]


class Import(Sender):
    """`pacsctl import`: through the daemon while one runs."""

    def __init__(self, images, archive):
        super().__init__(images)
        self.archive = archive

    def command(self):
        return [daemon.program("pacsctl"), "-A", self.archive, "import", "--json", self.images.folder]

    def parse(self):
        success = []
        for line in self.output.splitlines():
            try:
                verdict = json.loads(line)
            except ValueError:
                continue  # what it says besides
            if verdict.get("verdict") in ("stored", "duplicate", "healed"):
                success.append(verdict["instance"])
        return success


def copy(source, target):
    subprocess.run(["cp", "-a", source, target], check=True)


# ---- what must hold ------------------------------------------------------------------------------------------------


def pacsctl(archive, *words, status=0):
    got, output, errors = daemon.run(daemon.program("pacsctl"), "-A", archive, *words, timeout=600)
    assert got == status, f"pacsctl {words}: exit {got}, not {status}\n{output}\n{errors}"
    return output


def check_bytes(archive, folder, expected):
    """Every instance of `expected` (UID: SHA-256 of its data set) comes out of the archive bit for bit."""
    if not expected:
        return
    pacsctl(archive, "export", "--flat", "-q", "-o", folder, "StudyInstanceUID=*")
    lost, wrong = [], []
    for uid, sha256 in expected.items():
        path = os.path.join(folder, uid + ".dcm")
        if not os.path.exists(path):
            lost.append(uid)
            continue
        with open(path, "rb") as file:
            if hashlib.sha256(data_set_of(file.read())).hexdigest() != sha256:
                wrong.append(uid)
    assert not lost and not wrong, f"lost {lost}, not as sent {wrong}"


def listing(mount):
    """Names, inodes, sizes, times, link counts of the tree, as find sees them; without ready/, which follows the hour."""
    done = subprocess.run(["find", mount, "-path", os.path.join(mount, "ready"), "-prune", "-o",
                           "-printf", "%P %y %i %s %T@ %n %l\n"], capture_output=True, text=True,
                          errors="surrogateescape", timeout=600, check=True)
    return sorted(done.stdout.splitlines())


def difference(before, after):
    old, new = set(before), set(after)
    return "\n".join(["- " + line for line in before if line not in new][:20] +
                     ["+ " + line for line in after if line not in old][:20])
