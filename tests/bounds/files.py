"""Trees of files that are unkind to who walks them: `pacsctl import` takes a million tiny files, a folder of hundreds of
thousands of entries and one that is thousands of levels deep within 64 MiB beyond the cache.

BOUNDS_FILES is how many tiny files there are (6000), BOUNDS_ENTRIES how many entries the one folder has (50000),
BOUNDS_LEVELS how deep the other is (4000).
"""
import os
import shutil
import struct
import tempfile

from bounds import BEYOND, MIB, PACSCTL, SANITIZED, daemon, main, run, size_of, tree

CACHE = 16 * MIB
FILES = size_of("BOUNDS_FILES", 6000, 2000)
ENTRIES = size_of("BOUNDS_ENTRIES", 50000, 20000)
A_WALK = 16 * MIB  # nearly nothing is stored: names must not pile up
LEVELS = size_of("BOUNDS_LEVELS", 4000, 3000)


def tiny(number):
    """Some 500 bytes, no pixels."""
    e, sop = tree.element, "1.2.840.10008.5.1.4.1.1.7"
    uid, study = f"1.2.5.{number}", f"1.2.6.{number // 2000}"
    items = [e(8, 0x16, "UI", sop), e(8, 0x18, "UI", uid), e(8, 0x60, "CS", "OT"), e(0x10, 0x10, "PN", "Tiny^File"),
             e(0x10, 0x20, "LO", f"T{number // 10000}"), e(0x20, 0xD, "UI", study), e(0x20, 0xE, "UI", study + ".1"),
             e(0x20, 0x13, "IS", str(number % 2000))]
    meta = b"".join([e(2, 1, "OB", b"\0\1"), e(2, 2, "UI", sop), e(2, 3, "UI", uid), e(2, 0x10, "UI", daemon.EXPLICIT),
                     e(2, 0x12, "UI", "1.2.826")])
    return b"\0" * 128 + b"DICM" + e(2, 0, "UL", struct.pack("<I", len(meta))) + meta + b"".join(items)


class Place:
    """An archive with a small cache, and a folder beside it."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="bounds-")
        self.archive = daemon.make_archive(f"{self.folder}/archive")
        with open(f"{self.archive}/pacs.conf", "w", encoding="ascii") as file:
            file.write("[archive]\nreserve = 1M\ncache = 16M\n")
        self.tree = f"{self.folder}/tree"
        os.mkdir(self.tree)
        return self

    def __exit__(self, *_):
        daemon.run("rm", "-rf", self.folder, timeout=1800)  # shutil goes by recursion
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, what, expect=(0,), limit=CACHE + BEYOND):
        """Imports the tree; the summary line."""
        out = f"{self.folder}/out"
        with open(out, "wb") as file:
            run(what, limit, PACSCTL, "-A", self.archive, "import", self.tree, output=file, expect=expect)
        with open(out, "rb") as file:
            file.seek(max(0, os.path.getsize(out) - 400))
            return file.read().decode(errors="replace").splitlines()[-1].replace(",", "")


def case_files_tiny_by_the_thousand():
    with Place() as place:
        for number in range(FILES):
            folder = f"{place.tree}/{number // 1000}"
            if number % 1000 == 0:
                os.mkdir(folder)
                with open(f"{folder}/notes.txt", "w", encoding="ascii") as file:
                    file.write("No image.\n")
            with open(f"{folder}/{number}.dcm", "wb") as file:
                file.write(tiny(number))
        said = place.take(f"pacsctl import, {FILES} tiny files")
        assert f"{FILES} stored" in said and f" {(FILES + 999) // 1000} skipped" in said, said


def case_files_of_one_enormous_folder():
    with Place() as place:
        for number in range(ENTRIES):
            os.close(os.open(f"{place.tree}/some-longer-name-of-a-file-that-is-no-image-{number:08}",
                             os.O_CREAT | os.O_WRONLY))
        for number in (1, ENTRIES):
            with open(f"{place.tree}/z{number}.dcm", "wb") as file:
                file.write(tiny(number))
        said = place.take(f"pacsctl import, a folder of {ENTRIES} entries", limit=A_WALK)
        assert "2 stored" in said and f" {ENTRIES} skipped" in said, said


def case_files_below_thousands_of_folders():
    """Deeper than a path can say: what lies above is taken, and what cannot be reached is told."""
    with Place() as place:
        with open(f"{place.tree}/z.dcm", "wb") as file:
            file.write(tiny(1))
        here = os.getcwd()
        os.chdir(place.tree)
        try:
            for level in range(LEVELS):
                if level == 1000:
                    with open("deep.dcm", "wb") as file:
                        file.write(tiny(2))
                os.mkdir("d")
                os.chdir("d")
        finally:
            os.chdir(here)
        said = place.take(f"pacsctl import, {LEVELS} levels", expect=(0, 1, 3))
        assert "2 stored" in said and " 1 refused" in said, said


if __name__ == "__main__":
    main(globals())
