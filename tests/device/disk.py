"""Disks of our own under a real file system: images on loop devices, some with a cache that a power cut empties.

Every script of this folder begins with `enter()`: it goes on in mount and process namespaces of its own, so that
whatever happens (a failure, Ctrl-C, kill -9) nothing stays mounted, attached or running.
"""
import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../crash")]
import load  # noqa: E402
from load import daemon, tree  # noqa: E402

FIBMAP = 1  # <linux/fs.h>
BLOCK = 4096
MARK = "PACSFS_DEVICE_NAMESPACE"


def enter():
    """Runs the script again as root of namespaces that end with it; exits 77 where that cannot be."""
    if MARK in os.environ:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return
    why = None
    if os.geteuid() != 0:
        why = "not root: cannot mount disks of its own"
    for name in ("unshare", "mkfs.ext4", "mount", "losetup"):
        why = why or (None if shutil.which(name) else f"{name} is not installed")
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if not why and subprocess.run(words + ["true"], capture_output=True).returncode:
        why = "no namespaces here"
    if why:
        print(why)
        sys.exit(77)
    os.execvpe(words[0], words + [sys.executable, "-B", *sys.argv], {**os.environ, MARK: "1"})


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def folder(prefix):
    """In memory: what is measured here is what the disks on it do. It goes with the namespace."""
    path = tempfile.mkdtemp(prefix=f"pacsfs-{prefix}-")
    atexit.register(lambda: subprocess.run(["umount", "-l", path], check=False) and os.rmdir(path))
    command("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", path)
    return path


def make(path, mebibytes):
    """An image with an empty ext4 that takes every block as free space."""
    with open(path, "wb") as file:
        file.truncate(mebibytes << 20)
    command("mkfs.ext4", "-q", "-F", "-m", "0", "-b", str(BLOCK), "-J", "size=4", path)
    return path


@contextlib.contextmanager
def mounted(image, path, options=""):
    """An image, or a device's file, at `path`. The loop device goes with the mount."""
    os.makedirs(path, exist_ok=True)
    try:
        command("mount", "-o", "loop" + (options and "," + options), image, path)
    except RuntimeError as why:
        if "loop device" in str(why):
            raise daemon.Skip(str(why)) from None
        raise
    try:
        yield path
    finally:
        if subprocess.run(["umount", path], capture_output=True).returncode:
            subprocess.run(["umount", "-l", path], check=False)


class Lossy:
    """lossy_fuse.c over an image: `file` is the disk to mount; commands and figures as told there."""

    def __init__(self, image, path):
        if not tree.fuse_is_usable():
            raise daemon.Skip("/dev/fuse cannot be used")
        os.makedirs(path, exist_ok=True)
        self.path, self.file = path, os.path.join(path, "disk")
        self.process = subprocess.Popen([daemon.program("lossy"), image, path])
        assert daemon.wait_for(lambda: os.path.ismount(path) or self.process.poll() is not None)
        assert self.process.poll() is None, "lossy did not mount"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        subprocess.run(["umount", "-l", self.path], check=False)

    def tell(self, *words):
        with open(os.path.join(self.path, "control"), "r+b", buffering=0) as file:
            file.write(" ".join(map(str, words)).encode())

    def figures(self):
        with open(os.path.join(self.path, "control"), "rb", buffering=0) as file:
            return {key: int(value) for key, value in (line.split() for line in file.read(4096).decode().splitlines())}


def place(path, offset):
    """Where on the disk the byte of a file stands."""
    with open(path, "rb") as file:
        answer = fcntl.ioctl(file, FIBMAP, struct.pack("i", offset // BLOCK))
    block = struct.unpack("i", answer)[0]
    assert block, f"{path} has no block at {offset}"
    return block * BLOCK + offset % BLOCK


def forget(path):
    """Takes a file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
