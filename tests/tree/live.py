"""What arrives while a mount is open: seen at once although the kernel caches, and nothing that is held changes."""
import json
import os
import subprocess

from tree import LOAD, Mount, SERIES, case, image, load, main, read, series_of, soon


class Writer:
    """Holds the archive open for writing, as pacsd does."""

    def __init__(self, archive, ae="A"):
        self.process = subprocess.Popen([LOAD, archive], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=os.environ | {"LOAD_AE": ae})

    def add(self, path):
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip().rsplit(": ", 1)[-1]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@case
def live_arrivals_show_in_cached_listings(here):
    series_of(here, f"{here}/a", 10)
    with Mount(f"{here}/a", f"{here}/m") as mount, Writer(f"{here}/a") as writer:
        folders = [f"{mount.path}/{view}/{SERIES}" for view in ("patients", "dicom", "png", "json")]
        folders.append(f"{mount.path}/uids/1.2.826.1/1.2.826.1.1")
        for i in range(11, 16):
            counts = [len(os.listdir(folder)) for folder in folders]
            times = [os.stat(folder).st_mtime_ns for folder in folders]
            text = os.stat(f"{folders[0]}/series.json").st_ino
            image(f"{here}/{i}.dcm", f"1.2.826.1.1.{i}", number=i, seed=i, z=-float(i))
            assert writer.add(f"{here}/{i}.dcm") == "stored"
            for folder, count, time in zip(folders, counts, times):
                soon(lambda: len(os.listdir(folder)) > count, folder)
                soon(lambda: os.stat(folder).st_mtime_ns > time, folder)
            soon(lambda: os.stat(f"{folders[0]}/series.json").st_ino != text, "series.json")
            assert json.loads(read(f"{folders[0]}/series.json"))["counts"]["instances"] == i


@case
def live_new_folders_show(here):
    series_of(here, f"{here}/a", 2)
    with Mount(f"{here}/a", f"{here}/m") as mount, Writer(f"{here}/a") as writer:
        watched = ["patients", "dicom", "uids", "ids/patient", "ids/accession", "ids/study", "ids/series"]
        counts = [len(os.listdir(f"{mount.path}/{folder}")) for folder in watched]
        assert os.path.islink(f"{mount.path}/ids/patient/4711")
        image(f"{here}/x.dcm", "1.2.5.1", series="1.2.5.2", study="1.2.5.3", patient="0815", name="Roe^Jane")
        assert writer.add(f"{here}/x.dcm") == "stored"
        for folder, count in zip(watched, counts):
            soon(lambda: len(os.listdir(f"{mount.path}/{folder}")) == count + 1, folder)
        assert os.path.exists(f"{mount.path}/ids/patient/0815/2024-03-05_Thorax")
        # Another study with the same accession number: the link becomes a folder.
        image(f"{here}/y.dcm", "1.2.6.1", series="1.2.6.2", study="1.2.6.3", patient="0815", name="Roe^Jane")
        assert writer.add(f"{here}/y.dcm") == "stored"
        shared = f"{mount.path}/ids/accession/A0815"
        soon(lambda: os.path.isdir(shared) and not os.path.islink(shared), "a folder of links")
        assert len(os.listdir(shared)) == 2
        for name in os.listdir(shared):
            assert os.path.isdir(f"{shared}/{name}")


@case
def live_new_lists_arrivals_in_order(here):
    series_of(here, f"{here}/a", 4)
    with Mount(f"{here}/a", f"{here}/m") as mount, Writer(f"{here}/a") as writer:
        def arrivals():
            found = []
            for base, _, names in sorted(os.walk(f"{mount.path}/new")):
                found += [os.path.join(base, name) for name in sorted(names)]
            return found
        assert len(arrivals()) == 4
        image(f"{here}/x.dcm", "1.2.826.1.1.99", number=99)
        assert writer.add(f"{here}/x.dcm") == "stored"
        soon(lambda: len(arrivals()) == 5, "the fifth")
        assert [os.path.realpath(path) for path in arrivals()] == \
            [os.path.realpath(f"{mount.path}/patients/{SERIES}/{i:04}.dcm") for i in (1, 2, 3, 4, 99)]


@case
def live_ready_waits_for_quiet(here):
    series_of(here, f"{here}/a", 2)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        folder = f"{mount.path}/ready/{SERIES}"
        soon(lambda: os.path.exists(folder), "it settles")
        assert len(os.listdir(folder)) == 7
        settled = os.stat(folder).st_mtime_ns
        assert settled > os.stat(f"{mount.path}/patients/{SERIES}").st_mtime_ns
        image(f"{here}/x.dcm", "1.2.826.1.1.3", number=3)
        with Writer(f"{here}/a") as writer:
            assert writer.add(f"{here}/x.dcm") == "stored"
            soon(lambda: not os.path.exists(folder) or os.stat(folder).st_mtime_ns > settled, "it goes")
            soon(lambda: os.path.exists(folder) and len(os.listdir(folder)) == 10, "it comes back")
        assert os.stat(folder).st_mtime_ns > settled
        assert os.listdir(f"{mount.path}/ready") == ["Doe_John_4711"]


@case
def live_reader_keeps_its_bytes(here):
    content = series_of(here, f"{here}/a", 2)
    load(f"{here}/a", f"{here}/1.dcm", ae="A")
    with Mount(f"{here}/a", f"{here}/m") as mount:
        path = f"{mount.path}/patients/{SERIES}/0001.dcm"
        with open(path, "rb") as held, open(f"{mount.path}/patients/{SERIES}/series.json", "rb") as text:
            inode, start = os.fstat(held.fileno()).st_ino, held.read(100)
            before = text.read()
            another = image(f"{here}/other.dcm", "1.2.826.1.1.1", number=1, seed=77, z=-1.0)
            assert load(f"{here}/a", f"{here}/other.dcm") == ["version"], "the shown version's own sender"
            soon(lambda: os.stat(path).st_ino != inode, "a new inode")
            assert read(path) == another
            held.seek(0)
            assert start + held.read()[100:] == content["0001.dcm"]
            text.seek(0)
            assert text.read() == before
            names = os.listdir(f"{mount.path}/uids/1.2.826.1/1.2.826.1.1")
            assert sorted(names) == ["1.2.826.1.1.1.dcm", "1.2.826.1.1.1@1.dcm", "1.2.826.1.1.2.dcm"]
            assert read(f"{mount.path}/uids/1.2.826.1/1.2.826.1.1/1.2.826.1.1.1@1.dcm") == content["0001.dcm"]
            assert os.stat(f"{mount.path}/uids/1.2.826.1/1.2.826.1.1/1.2.826.1.1.1@1.dcm").st_ino == inode


if __name__ == "__main__":
    main()
