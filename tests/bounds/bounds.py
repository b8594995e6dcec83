"""What the scripts of this folder share: memory, descriptors and threads of a process; images of any size, made while
they are sent; folders; running cases.

Memory is the process's own (RssAnon of /proc/PID/status), without mapped files, whose pages are the page cache's. Its
peak is looked for every few milliseconds. A sanitizer's shadow is no measure: on such builds the cases run smaller and
assert all but memory.
"""
import os
import struct
import subprocess
import sys
import threading
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder) for folder in ("wire", "tree")]
import daemon  # noqa: E402
import tree  # noqa: E402

MIB = 1 << 20
BEYOND = 64 * MIB  # a process may take so much beyond the caches that are configured
EVERY_S = 0.004
PACSFS, PACSCTL = tree.PACSFS, tree.PACSCTL
BIN = os.path.abspath(daemon.BIN)
SANITIZED = any(name in subprocess.run(["ldd", PACSCTL], capture_output=True, text=True, check=False).stdout
                for name in ("libasan", "libtsan"))


def size_of(name, small, sanitized=None):
    """A number from the environment (K, M, G), else what suits the build."""
    text = os.environ.get(name)
    if not text:
        return sanitized if SANITIZED and sanitized is not None else small
    unit = {"K": 1 << 10, "M": MIB, "G": 1 << 30}.get(text[-1].upper(), 1)
    return int(text[:-1] if unit > 1 else text) * unit


# ---- a process ------------------------------------------------------------------------------------------------------

def status(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return 0  # a process that has ended


def anonymous(pid):
    try:
        return status(pid, "RssAnon")
    except OSError:
        return 0


def opened(pid):
    """What descriptors lead to, but for packs: up to PACKS_OPEN_MAX of them stay open."""
    folder, targets = f"/proc/{pid}/fd", []
    for name in os.listdir(folder):
        try:
            targets.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:
            pass
    return sorted(target for target in targets if not target.endswith(".pack"))


def descriptors(pid):
    return len(opened(pid))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


FUSE_WORKERS = 16  # THREADS_MAX of fs/mount_fuse.c


def settled(count, pid, wanted):
    """Waits until a count is no more than it was; what it is."""
    daemon.wait_for(lambda: count(pid) <= wanted, 1 if SANITIZED else 5)
    return count(pid)


class Peak:
    """The largest RssAnon of a process while the `with` lasts; asserts the bound at its end and prints the figure."""

    def __init__(self, pid, what, limit):
        self.pid, self.what, self.limit, self.most = pid, what, limit, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.is_set():
            self.most = max(self.most, anonymous(self.pid))
            self.over.wait(EVERY_S)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        try:
            high = status(self.pid, "VmHWM")
        except OSError:
            high = 0
        if self.limit is None:
            return
        text = f"{self.what}: {self.most / MIB:.0f} MiB of {self.limit / MIB:.0f}"
        print(f"  {text}" + (f" (VmHWM {high / MIB:.0f}, with mapped files)" if high else ""))
        sys.stdout.flush()
        if kind is None and not SANITIZED:
            assert 0 < self.most <= self.limit, "memory " + text


def run(what, limit, *words, expect=(0,), stdin=None, output=subprocess.DEVNULL, **more):
    """A command to its end, measured. `stdin` writes into its standard input. Its last lines of output and errors."""
    with open(os.path.join(more.pop("folder", "/tmp"), f".bounds-{os.getpid()}"), "w+b") as errors:
        os.unlink(errors.name)
        process = subprocess.Popen(words, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=output,
                                   stderr=errors, **more)
        try:
            with Peak(process.pid, what, limit) as peak:
                if stdin:
                    with process.stdin as pipe:
                        stdin(pipe)
                done = process.wait(3600)
                if done not in expect:
                    peak.limit = None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        errors.seek(max(0, os.fstat(errors.fileno()).st_size - 4000))
        text = errors.read().decode(errors="replace")
    assert done in expect and "Sanitizer" not in text, f"{words}: {done}\n{text}"
    return text


def at_rest(pid):
    """Descriptors and threads, once they have not changed for a while."""
    seen, since = None, time.monotonic()
    until = since + 30
    while time.monotonic() - since < 0.5 and time.monotonic() < until:
        now = descriptors(pid), threads(pid)
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.02)
    return seen


class Same:
    """Descriptors and threads of a process are as many afterwards as before. `more`: threads that a pool of bounded
    size may have gained (libfuse starts its workers when they are wanted first)."""

    def __init__(self, pid, more=0):
        self.pid, self.more = pid, more

    def __enter__(self):
        self.fds, self.tasks = at_rest(self.pid)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        fds, tasks = settled(descriptors, self.pid, self.fds), settled(threads, self.pid, self.tasks)
        assert fds <= self.fds and tasks <= self.tasks + self.more, \
            f"{self.fds} descriptors, {self.tasks} threads; now {fds}: {opened(self.pid)}, {tasks}"


# ---- images of any size ---------------------------------------------------------------------------------------------

class Big:
    """A multi-frame image that exists only while it is read: `parts()` yields its data set, `frame(n)` one frame.

    Native: 512 x 512, 16 bits, as many frames as `size` holds, at most 4 GiB - 2 (a length is 32 bits). Encapsulated:
    the same as fragments of undefined length, under a syntax that is not decoded, without that limit.
    """
    SIDE = 512
    FRAME = SIDE * SIDE * 2
    SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture

    def __init__(self, size, uid="1.2.3.4.5", encapsulated=False):
        self.uid, self.encapsulated = uid, encapsulated
        self.frames = size // self.FRAME if encapsulated else min(size, (1 << 32) - 2) // self.FRAME
        self.syntax = "1.2.840.10008.1.2.4.102" if encapsulated else daemon.EXPLICIT
        ramp = b"".join(struct.pack("<H", (i * 7) & 0xFFF) for i in range(self.SIDE)) * self.SIDE
        self.tail = ramp[self.SIDE * 2:]

    def frame(self, number):
        """Its first line says which it is."""
        return struct.pack("<I", number).ljust(8, b"\1") * (self.SIDE // 4) + self.tail

    def head(self):
        e = tree.element
        items = [e(8, 0x16, "UI", self.SOP_CLASS), e(8, 0x18, "UI", self.uid), e(8, 0x20, "DA", "20240305"),
                 e(8, 0x60, "CS", "OT"), e(0x10, 0x10, "PN", "Big^Image"), e(0x10, 0x20, "LO", "B1"),
                 e(0x20, 0xD, "UI", "1.2.3.4"), e(0x20, 0xE, "UI", "1.2.3.4.1"), e(0x20, 0x13, "IS", "1"),
                 e(0x28, 2, "US", tree.us(1)), e(0x28, 4, "CS", "MONOCHROME2"), e(0x28, 8, "IS", str(self.frames)),
                 e(0x28, 0x10, "US", tree.us(self.SIDE)), e(0x28, 0x11, "US", tree.us(self.SIDE)),
                 e(0x28, 0x100, "US", tree.us(16)), e(0x28, 0x101, "US", tree.us(12)),
                 e(0x28, 0x102, "US", tree.us(11)), e(0x28, 0x103, "US", tree.us(0))]
        if self.encapsulated:
            return b"".join(items) + struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF) + self.item(b"")
        return b"".join(items) + struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OW", self.frames * self.FRAME)

    @staticmethod
    def item(value):
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value

    def parts(self):
        yield self.head()
        for number in range(self.frames):
            yield self.item(self.frame(number)) if self.encapsulated else self.frame(number)
        if self.encapsulated:
            yield struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

    def size(self):
        return len(self.head()) + self.frames * (self.FRAME + 8 * self.encapsulated) + 8 * self.encapsulated

    def prefix(self):
        meta = b"".join([tree.element(2, 1, "OB", b"\0\1"), tree.element(2, 2, "UI", self.SOP_CLASS),
                         tree.element(2, 3, "UI", self.uid), tree.element(2, 0x10, "UI", self.syntax),
                         tree.element(2, 0x12, "UI", "1.2.826")])
        return b"\0" * 128 + b"DICM" + tree.element(2, 0, "UL", struct.pack("<I", len(meta))) + meta

    def store(self, association, context, pdv_size=131000):
        """Sends it; the status."""
        association.command(context, data_set=True, sop_class=self.SOP_CLASS, field=1, priority=0,
                            sop_instance=self.uid)
        held = b""
        for part in self.parts():
            part = memoryview(held + part)
            at = 0
            while len(part) - at > pdv_size:
                association.pdv(context, 0, part[at:at + pdv_size].tobytes())
                at += pdv_size
            held = part[at:].tobytes()
        association.pdv(context, 2, held)
        return association.response()[0]


# ---- running cases --------------------------------------------------------------------------------------------------

def main(cases):
    started = time.monotonic()
    try:
        daemon.main(cases)
    finally:
        print(f"{time.monotonic() - started:.0f} s")
