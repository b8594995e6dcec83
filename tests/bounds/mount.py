"""A mount of many images under readers of all kinds: ten thousand open files, 64 threads, listings by the thousand, a
walk of everything. And what `pacsctl` takes to go through as many.

BOUNDS_INSTANCES is how many images there are (4000; 1000000 takes some minutes to fill), BOUNDS_OPENS how often a file
is opened in all (20000).
"""
import concurrent.futures
import contextlib
import os
import random
import resource
import subprocess
import tempfile

from bounds import (BEYOND, BIN, FUSE_WORKERS, MIB, PACSCTL, SANITIZED, Peak, Same, anonymous, daemon, main, run,
                    size_of, tree)

CACHE = 16 * MIB
INSTANCES = size_of("BOUNDS_INSTANCES", 4000, 2000)
OPENS = size_of("BOUNDS_OPENS", 20000, 4000)
HELD = 10000
READERS = 64
GROWTH = 4 * MIB
SEED = int(os.environ.get("BOUNDS_SEED", "1"))

filled = contextlib.ExitStack()
archives = []


def archive():
    """Filled once for all cases."""
    if not archives:
        folder = filled.enter_context(tempfile.TemporaryDirectory(prefix="bounds-"))
        path = daemon.make_archive(f"{folder}/archive")
        with open(f"{path}/pacs.conf", "w", encoding="ascii") as file:
            file.write("[archive]\nreserve = 1M\ncache = 16M\n")
        run(f"filling with {INSTANCES} images", BEYOND * 4, daemon.program("bench_fill"), path,
            str(INSTANCES), "32")
        archives.append(path)
    return archives[0]


@contextlib.contextmanager
def mounted():
    if not tree.fuse_is_usable():
        raise daemon.Skip("/dev/fuse cannot be used")
    path = archive()
    with tempfile.TemporaryDirectory(prefix="bounds-m-") as folder:
        with tree.Mount(path, f"{folder}/m", "cache=16M") as mount:
            yield mount


def some_files(mount, count):
    """Paths of files of all kinds, spread over the archive."""
    found = []
    for base, _, names in os.walk(f"{mount.path}/patients"):
        found += [f"{base}/{name}" for name in names]
        if len(found) >= count:
            break
    assert len(found) >= min(count, INSTANCES), len(found)
    return found[:count]


def touch(path):
    with open(path, "rb", buffering=0) as file:
        file.seek(random.randrange(max(1, os.fstat(file.fileno()).st_size - 100)))
        file.read(100)


def case_mount_10000_files_held_open():
    wanted = HELD + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        raise daemon.Skip(f"no more than {hard} descriptors a process")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with mounted() as mount:
        files = some_files(mount, HELD)
        touch(files[0])
        pid, held = mount.process.pid, []
        with Same(pid, FUSE_WORKERS), Peak(pid, f"pacsfs, {len(files)} files held open", CACHE + BEYOND):
            try:
                with Same(pid, FUSE_WORKERS):  # neither does it keep a descriptor for each
                    for path in files:
                        held.append(os.open(path, os.O_RDONLY))
                    for fd in held:
                        assert os.pread(fd, 1, 0)
            finally:
                for fd in held:
                    os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def case_mount_64_readers_and_listings():
    with mounted() as mount, concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        pid, files = mount.process.pid, some_files(mount, 4 * READERS)
        folders = sorted({os.path.dirname(path) for path in files}) + [f"{mount.path}/patients"]
        touch(files[0])
        with Same(pid, FUSE_WORKERS), Peak(pid, f"pacsfs, {READERS} readers", CACHE + BEYOND):
            list(pool.map(tree.read, files * 2))
            list(pool.map(os.listdir, folders * 8 * READERS))


def case_mount_opened_over_and_over_leaks_nothing():
    print(f"  seed {SEED}")
    random.seed(SEED)
    with mounted() as mount, concurrent.futures.ThreadPoolExecutor(8) as pool:
        pid, files = mount.process.pid, some_files(mount, 2000)
        before = 0
        for _ in range(2):
            drop = [path for path in files if path.endswith(".dcm")]
            for start in range(0, OPENS // 2, len(files)):
                list(pool.map(touch, files[:OPENS // 2 - start]))
                for path in drop:  # so that it is asked for again
                    fd = os.open(path, os.O_RDONLY)
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(fd)
            gained, before = anonymous(pid) - before, anonymous(pid)
        print(f"  pacsfs, {OPENS // 2} opens: {before / MIB:.1f} MiB, {gained / MIB:.1f} more than after as many")
        assert SANITIZED or gained <= GROWTH, f"{gained} bytes more"


def case_mount_walked_from_end_to_end():
    with mounted() as mount:
        pid = mount.process.pid
        tree.read(f"{mount.path}/README.txt")
        for view in ("patients", "dicom", "uids"):
            with Same(pid, FUSE_WORKERS), Peak(pid, f"pacsfs, a walk of {view}", CACHE + BEYOND):
                done = subprocess.run(["find", f"{mount.path}/{view}", "-name", "*.dcm", "-size", "+0", "-printf", "x"],
                                      capture_output=True, check=True)
                assert len(done.stdout) == INSTANCES, len(done.stdout)


def case_pacsctl_goes_through_all():
    """What they list must not pile up."""
    path = archive()
    ours = (PACSCTL, "-A", path)
    with tempfile.TemporaryDirectory(prefix="bounds-") as folder:
        for limit, *words in ((BEYOND, "find", "--level=instance"), (BEYOND, "stats"),
                              (BEYOND, "conflicts"), (BEYOND, "watch", "--from=1", "--no-follow"),
                              (CACHE + BEYOND, "verify"), (CACHE + BEYOND, "rebuild"),
                              (CACHE + BEYOND, "export", "-q", "--archive", f"{folder}/all.tar", "Modality=CT")):
            run("pacsctl " + words[0], limit, *ours, *words)
        assert os.path.getsize(f"{folder}/all.tar") > INSTANCES * 1000


if __name__ == "__main__":
    with filled:
        main(globals())
