"""An image of gigabytes goes in and out within 64 MiB a process beyond the configured caches.

BOUNDS_IMAGE is its size (400M; 4G is the most that native pixels can have, the encapsulated one is a frame larger).
"""
import concurrent.futures
import os
import random
import tempfile
import threading

from bounds import (BEYOND, MIB, PACSCTL, SANITIZED, FUSE_WORKERS, Big, Peak, Same, daemon, main, run, size_of, tree)

SIZE = size_of("BOUNDS_IMAGE", 400 * MIB, 24 * MIB)
CACHE = 16 * MIB
CACHE_OF_MOUNT = min(SIZE // 4, 256 * MIB)  # large enough that what it gives back could pile up
CONFIGURATION = "[archive]\nreserve = 1M\ncache = 16M\n"
SEED = int(os.environ.get("BOUNDS_SEED", "1"))


def write(image, path):
    with open(path, "wb") as file:
        file.write(image.prefix())
        for part in image.parts():
            file.write(part)


def tar(image, pipe):
    """A tar of one member, whose size stands in the base-256 form when it is 8 GiB or more; here octal does."""
    size = len(image.prefix()) + image.size()
    header = b"big.dcm".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
    header += b" " * 8 + b"0" + b"\0" * 100 + b"ustar\00000" + b"\0" * 247
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    pipe.write(header.ljust(512, b"\0"))
    pipe.write(image.prefix())
    for part in image.parts():
        pipe.write(part)
    pipe.write(b"\0" * (1024 + -size % 512))


def compare(path, image):
    """Reads the file in sequence beside what was sent."""
    with open(path, "rb", buffering=0) as file:
        prefix = file.read(os.path.getsize(path) - image.size())
        assert prefix[128:132] == b"DICM"
        for number, part in enumerate(image.parts()):
            got = b""
            while len(got) < len(part):
                more = file.read(len(part) - len(got))
                assert more, f"it ends in part {number}"
                got += more
            assert got == part, f"part {number} differs"
        assert not file.read(1)


def random_frames(path, image, count):
    start = os.path.getsize(path) - image.frames * image.FRAME
    dice = random.Random(SEED)
    with open(path, "rb", buffering=0) as file:
        for _ in range(count):
            number = dice.randrange(image.frames)
            file.seek(start + number * image.FRAME)
            assert file.read(image.FRAME) == image.frame(number), f"seed {SEED}: frame {number} differs"


def read_through(path):
    """Parts of a file, in sequence, from where this reader begins."""
    with open(path, "rb", buffering=0) as file:
        file.seek(os.path.getsize(path) // 8 * (threading.get_ident() % 8))
        for _ in range(8 if SANITIZED else 128):
            file.read(MIB)


def forget(path):
    """Drops what the kernel holds of a file."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def read_through_the_mount(archive, images):
    if not tree.fuse_is_usable():
        raise daemon.Skip("/dev/fuse cannot be used")
    with tempfile.TemporaryDirectory(prefix="bounds-") as folder:
        with tree.Mount(archive, f"{folder}/m", f"cache={CACHE_OF_MOUNT // MIB}M") as mount:
            pid, limit = mount.process.pid, CACHE_OF_MOUNT + BEYOND
            for image in images:
                path = f"{mount.path}/uids/1.2.3.4/1.2.3.4.1/{image.uid}.dcm"
                with open(path, "rb", buffering=0) as file:
                    file.read(1)  # the pack is open from now on
                before = Same(pid, FUSE_WORKERS).__enter__()
                with Peak(pid, "pacsfs, in sequence", limit):
                    compare(path, image)
                forget(path)
                with Peak(pid, "pacsfs, 8 readers", limit):
                    with concurrent.futures.ThreadPoolExecutor(8) as pool:
                        list(pool.map(read_through, [path] * 8))
                before.__exit__(None)
                if image.encapsulated:
                    continue
                forget(path)
                with Peak(pid, "pacsfs, random frames", limit):
                    random_frames(path, image, 40 if SANITIZED else 300)
                frames = next(f for f, _, names in os.walk(f"{mount.path}/png") if len(names) == image.frames)
                with Peak(pid, "pacsfs, a PNG of a frame", limit):
                    for name in random.Random(SEED).sample(sorted(os.listdir(frames)), 16):
                        assert tree.read(f"{frames}/{name}").startswith(b"\x89PNG")


def take_out(archive, folder, images):
    run("pacsctl export", CACHE + BEYOND, PACSCTL, "-A", archive, "export", "-q", "-o", f"{folder}/out",
        "PatientID=B1")
    files = [os.path.join(base, name) for base, _, names in os.walk(f"{folder}/out") for name in names]
    assert sorted(map(os.path.getsize, files))[-1] > max(image.size() for image in images), files


def case_image_of_gigabytes_over_the_wire():
    images = [Big(SIZE), Big(SIZE + Big.FRAME, "1.2.3.4.6", encapsulated=True)]
    with daemon.Daemon(CONFIGURATION) as pacsd:
        with pacsd.connect(contexts={1: (Big.SOP_CLASS, [daemon.EXPLICIT])}) as sender:
            assert Big(Big.FRAME, "1.2.3.4.8").store(sender, 1) == 0  # the pack is open from now on
            sender.release()
        with Same(pacsd.process.pid):
            for image in images:
                with Peak(pacsd.process.pid, f"pacsd, {image.frames} frames", CACHE + BEYOND):
                    with pacsd.connect(contexts={1: (image.SOP_CLASS, [image.syntax])}, max_pdu=131072) as sender:
                        assert image.store(sender, 1) == 0
                        sender.release()
        assert pacsd.stop() == 0
        run("pacsctl verify", CACHE + BEYOND, PACSCTL, "-A", pacsd.archive, "verify")
        run("pacsctl rebuild", CACHE + BEYOND, PACSCTL, "-A", pacsd.archive, "rebuild")
        take_out(pacsd.archive, pacsd.folder, images)
        read_through_the_mount(pacsd.archive, images)


def case_image_of_gigabytes_imported():
    image, again = Big(SIZE), Big(SIZE, "1.2.3.4.7")
    with tempfile.TemporaryDirectory(prefix="bounds-") as folder:
        archive = daemon.make_archive(f"{folder}/archive")
        with open(f"{archive}/pacs.conf", "w", encoding="ascii") as file:
            file.write(CONFIGURATION)
        write(image, f"{folder}/big.dcm")
        ours = (PACSCTL, "-A", archive, "import")
        run("pacsctl import", CACHE + BEYOND, *ours, f"{folder}/big.dcm")
        run("pacsctl import of a tar on standard input", CACHE + BEYOND, *ours, "-",
            stdin=lambda pipe: tar(again, pipe))
        os.unlink(f"{folder}/big.dcm")
        read_through_the_mount(archive, [image, again])


if __name__ == "__main__":
    main(globals())
