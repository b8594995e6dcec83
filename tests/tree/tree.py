"""What the scripts of this folder share: making images, loading archives, mounting, running cases."""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.environ.get("PACSFS_BIN", "build/dev/bin")
PACSFS, LOAD, PACSCTL = (os.path.abspath(os.path.join(BIN, name)) for name in ("pacsfs", "tree_load", "pacsctl"))
CASES = []


def fuse_is_usable():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
        return True
    except PermissionError:
        return shutil.which("fusermount3") is not None
    except OSError:
        return False


def case(function):
    CASES.append(function)
    return function


def main():
    if not fuse_is_usable():
        print("/dev/fuse cannot be used")
        sys.exit(77)
    wanted = sys.argv[1:]
    failed = 0
    for function in CASES:
        if wanted and function.__name__ not in wanted:
            continue
        here = tempfile.mkdtemp(prefix="pacsfs-tree-")
        try:
            function(here)
            print("ok", function.__name__)
        except Exception:
            failed += 1
            print("FAILED", function.__name__)
            print("\n".join(traceback.format_exc().splitlines()[-40:]))
        finally:
            shutil.rmtree(here, ignore_errors=True)
    print(f"{len(CASES)} cases, {failed} failed")
    sys.exit(failed != 0)


def element(group, number, vr, value):
    value = value.encode() if isinstance(value, str) else value
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "OW") else b" "
    long = vr in ("OB", "OW", "UN", "SQ", "UT")
    head = struct.pack("<HH2s", group, number, vr.encode())
    return head + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))) + value


def us(value):
    return struct.pack("<H", value)


def image(path, uid, series="1.2.826.1.1", study="1.2.826.1", number=1, patient="4711", name="Doe^John", size=64,
          frames=1, seed=0, z=None):
    """A CT image, explicit little endian, with a preamble. Returns its bytes, which are written to `path`."""
    sop = "1.2.840.10008.5.1.4.1.1.2"
    pixels = bytes((i * 31 + seed * 17 + i // 97) & 0x7F for i in range(size * size * 2 * frames))
    items = [element(8, 0x16, "UI", sop), element(8, 0x18, "UI", uid), element(8, 0x20, "DA", "20240305"),
             element(8, 0x50, "SH", "A" + patient), element(8, 0x60, "CS", "CT"),
             element(8, 0x1030, "LO", "Thorax"), element(8, 0x103E, "LO", "Lung 1.0"),
             element(0x10, 0x10, "PN", name), element(0x10, 0x20, "LO", patient),
             element(0x10, 0x30, "DA", "19700101"), element(0x20, 0xD, "UI", study),
             element(0x20, 0xE, "UI", series), element(0x20, 0x11, "IS", "3"),
             element(0x20, 0x13, "IS", str(number))]
    if z is not None:
        items += [element(0x20, 0x32, "DS", f"0\\0\\{z}"), element(0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0")]
    items += [element(0x28, 2, "US", us(1)), element(0x28, 4, "CS", "MONOCHROME2")]
    if frames > 1:
        items.append(element(0x28, 8, "IS", str(frames)))
    items += [element(0x28, 0x10, "US", us(size)), element(0x28, 0x11, "US", us(size)),
              element(0x28, 0x100, "US", us(16)), element(0x28, 0x101, "US", us(12)),
              element(0x28, 0x102, "US", us(11)), element(0x28, 0x103, "US", us(0)),
              element(0x7FE0, 0x10, "OW", pixels)]
    meta = b"".join([element(2, 1, "OB", b"\0\1"), element(2, 2, "UI", sop), element(2, 3, "UI", uid),
                     element(2, 0x10, "UI", "1.2.840.10008.1.2.1"), element(2, 0x12, "UI", "1.2.826")])
    whole = b"\0" * 128 + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + b"".join(items)
    with open(path, "wb") as file:
        file.write(whole)
    return whole


def load(archive, *files, quiet_ms=None, ae=None):
    """Puts files into an archive, which is made if it is not there; the verdicts, one a file."""
    extra = {"LOAD_TIMEZONE": "UTC"}
    if quiet_ms is not None:
        extra["LOAD_QUIET_MS"] = str(quiet_ms)
    if ae:
        extra["LOAD_AE"] = ae
    done = subprocess.run([LOAD, archive], input="".join(path + "\n" for path in files), text=True,
                          capture_output=True, env=os.environ | extra)
    if "Sanitizer" in done.stderr or not done.stdout and files:
        raise AssertionError(done.stderr)
    return [line.rsplit(": ", 1)[-1] for line in done.stdout.splitlines()]


def series_of(here, archive, count, **more):
    """An archive with one series of `count` images; the bytes by file name in the tree."""
    files, content = [], {}
    for i in range(1, count + 1):
        path = os.path.join(here, f"{i}.dcm")
        content[f"{i:04}.dcm"] = image(path, f"1.2.826.1.1.{i}", number=i, seed=i, z=-float(i), **more)
        files.append(path)
    verdicts = load(archive, *files, quiet_ms=1000)
    assert verdicts == ["stored"] * count, verdicts
    return content


SERIES = "Doe_John_4711/2024-03-05_Thorax/003_CT_Lung_1.0"


class Mount:
    def __init__(self, archive, path, options="", program=PACSFS):
        self.path = path
        os.makedirs(path, exist_ok=True)
        command = [program, archive, path] + (["-o", options] if options else [])
        self.log = tempfile.TemporaryFile()
        # In the foreground, so that sanitizers and log lines are heard of.
        self.process = subprocess.Popen(command + ["-f"], stderr=self.log)
        deadline = time.monotonic() + 60
        while not self.serves():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError("did not mount: " + self.errors())
            time.sleep(0.01)

    def serves(self):
        """Also where a dead one was mounted before: that is a mount too, and only statvfs is never answered by what the
        kernel has kept of it."""
        try:
            os.statvfs(self.path)
            return os.path.ismount(self.path) and bool(os.listdir(self.path))
        except OSError:
            return False

    def errors(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        self.process.terminate()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            subprocess.run(["umount", "-l", self.path], check=False)
            raise AssertionError("pacsfs does not stop")
        if kind is None:
            assert status == 0, (status, self.errors())
            assert not os.path.ismount(self.path)


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def walk(root):
    """Every path below with its attributes, sorted; access time and link count apart."""
    rows = {}
    for base, folders, files in os.walk(root):
        for name in folders + files + ["."]:
            path = os.path.join(base, name)
            st = os.lstat(path)
            rows[os.path.relpath(path, root)] = (st.st_mode, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns,
                                                 os.readlink(path) if os.path.islink(path) else None)
    return rows


def read(path):
    with open(path, "rb") as file:
        return file.read()


def soon(condition, what):
    """What is told to the kernel in milliseconds, with room for a busy machine."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
