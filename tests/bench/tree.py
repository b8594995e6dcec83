"""The same files three times: shown by pacsfs, copied to the local file system, and in a squashfs image."""
import os
import random
import subprocess

from measure import (Missing, drop_caches, installed, can_drop_caches, pacsfs, program, run, squashfuse)


class Copies:
    """Copies of MOUNT/dicom of an archive below `place`; the squashfs one only where its tools are installed."""

    def __init__(self, archive, place):
        self.archive = archive
        self.plain, self.image = os.path.join(place, "plain"), os.path.join(place, "image.squashfs")
        with pacsfs(archive) as mount:
            run("cp", "-a", os.path.join(mount.path, "dicom"), self.plain)
        try:
            run(installed("mksquashfs"), self.plain, self.image, "-no-progress", "-quiet")
            installed("squashfuse_ll")
        except Missing:
            self.image = None

    def each(self):
        """Pairs of a name and a function that yields a context with `.path`, a fresh mount where there is one."""
        yield "ours", lambda: Inside(pacsfs(self.archive), "dicom")
        yield "local fs", lambda: Plain(self.plain)
        yield "squashfuse_ll", lambda: squashfuse(self.image) if self.image else None


class Plain:
    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Inside:
    """A folder of a mount."""

    def __init__(self, mount, name):
        self.mount, self.name, self.path = mount, name, None

    def __enter__(self):
        self.path = os.path.join(self.mount.__enter__().path, self.name)
        return self

    def __exit__(self, *_):
        self.mount.__exit__()


def files(path, suffix=".dcm"):
    found = [os.path.join(here, name) for here, _, names in os.walk(path) for name in names]
    return sorted(path for path in found if path.endswith(suffix))


def shuffled(paths):
    paths = list(paths)
    random.Random(11).shuffle(paths)
    return paths


def reader(how, processes, seconds, paths):
    """(operations, bytes, seconds) of bench_reader over these files."""
    out = subprocess.run([program("bench_reader"), how, str(processes), str(seconds)], input="\n".join(paths) + "\n",
                         capture_output=True, text=True, check=True).stdout.split()
    if int(out[3]):
        raise Missing(f"{out[3]} of {out[0]} files cannot be read")
    return int(out[0]), int(out[1]), float(out[2])


def cold_or_warm(where, cold, work):
    """`work(path)` in a fresh mount, after nothing (cold) or after having done the same once (warm)."""
    context = where()
    if context is None or (cold and not can_drop_caches()):
        raise Missing("not installed, or not root")
    with context as mount:
        if cold:
            drop_caches()
        else:
            work(mount.path)
        return work(mount.path)
