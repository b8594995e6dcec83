"""The tree as ordinary files: bytes, sizes, times, inodes, and the tools that copy them."""
import json
import os
import shutil
import subprocess
import sys
import zlib

import tree
from tree import Mount, SERIES, case, image, load, main, read, run, series_of, walk


def corpus():
    """Real files: PACSFS_CORPUS, and what pydicom ships."""
    folders = [os.environ.get("PACSFS_CORPUS",
                              os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/corpus"))]
    try:
        import pydicom
        folders.append(os.path.join(os.path.dirname(pydicom.__file__), "data"))
    except ImportError:
        pass
    files = []
    for folder in folders:
        for base, _, names in os.walk(folder):
            files += [os.path.join(base, name) for name in names]
    return sorted(path for path in files if os.path.isfile(path) and "\n" not in path)


def png_is_whole(data, rows=None):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, head = 8, b"", None
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        kind, content = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        assert int.from_bytes(data[at + 8 + size:at + 12 + size], "big") == zlib.crc32(kind + content)
        head = content if kind == b"IHDR" else head
        body += content if kind == b"IDAT" else b""
        at += 12 + size
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    samples = {0: 1, 2: 3}[head[9]]
    assert len(zlib.decompress(body)) == height * (1 + width * samples)
    assert rows is None or height == rows


@case
def copies_bytes_are_those_that_came(here):
    content = series_of(here, f"{here}/a", 5)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        for name, data in content.items():
            for view in ("patients", "dicom"):
                shutil.copy(f"{mount.path}/{view}/{SERIES}/{name}", f"{here}/copy")
                assert read(f"{here}/copy") == data, name
            png_is_whole(read(f"{mount.path}/png/{SERIES}/{name[:-4]}.png"), 64)


@case
def copies_of_real_files_are_equal(here):
    files = corpus()
    assert files, "there is no corpus"
    load(f"{here}/a", *files)
    source = {read(path) for path in files}
    with Mount(f"{here}/a", f"{here}/m") as mount:
        count = 0
        for base, _, names in os.walk(f"{mount.path}/uids"):
            for name in names:
                assert read(os.path.join(base, name)) in source, name
                count += 1
        assert count > 20, count


@case
def copies_sizes_are_exact(here):
    load(f"{here}/a", *corpus())
    with Mount(f"{here}/a", f"{here}/m") as mount:
        seen = set()
        for base, folders, names in os.walk(mount.path):
            folders[:] = [name for name in folders if not (name.startswith("x") and "/png/" in base)]
            for name in names:
                path = os.path.join(base, name)
                st = os.lstat(path)
                assert st.st_blocks == (st.st_size + 511) // 512
                if st.st_ino in seen:
                    continue
                seen.add(st.st_ino)
                if os.path.islink(path):
                    assert len(os.fsencode(os.readlink(path))) == st.st_size and os.path.exists(path), path
                    continue
                try:
                    data = read(path)
                except OSError as error:  # an image that does not decode, and nothing else
                    assert name.endswith(".png") and error.errno == 5, (path, error)
                    continue
                assert len(data) == st.st_size, path
                if name.endswith(".json"):
                    json.loads(data)
                if name.endswith(".png"):
                    png_is_whole(data)


@case
def copies_rsync_twice_transfers_nothing(here):
    series_of(here, f"{here}/a", 20)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        for source, options in (("dicom", "-a"), (".", "-aH")):
            command = ["rsync", options, "--itemize-changes", f"{mount.path}/{source}/", f"{here}/copy{options}"]
            assert run(*command, check=True).stdout
            assert run(*command, check=True).stdout == ""
        assert run("diff", "-r", f"{mount.path}/dicom", f"{here}/copy-a").returncode == 0


@case
def copies_tar_cp_du_find_agree(here):
    series_of(here, f"{here}/a", 10)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        tar = subprocess.run(["tar", "-C", mount.path, "-cf", f"{here}/all.tar", "."], capture_output=True)
        assert tar.returncode == 0 and tar.stderr == b"", tar.stderr
        os.makedirs(f"{here}/out")
        run("tar", "-C", f"{here}/out", "-xf", f"{here}/all.tar", check=True)
        run("cp", "-a", f"{mount.path}/patients", f"{here}/cp", check=True)
        assert run("diff", "-r", f"{mount.path}/patients", f"{here}/out/patients").returncode == 0
        assert run("diff", "-r", f"{mount.path}/patients", f"{here}/cp").returncode == 0
        one = f"dicom/{SERIES}/0003.dcm"
        assert os.stat(f"{here}/out/{one}").st_mtime_ns // 10**9 == os.stat(f"{mount.path}/{one}").st_mtime_ns // 10**9
        # The same bytes count once.
        views = [f"{mount.path}/{name}" for name in ("patients", "dicom", "png", "json")]
        assert run("du", "-scb", *views).stdout.splitlines()[-1].split()[0] == \
            run("du", "-sb", views[0]).stdout.split()[0]
        newer = run("find", f"{mount.path}/dicom", "-type", "f", "-newer", f"{mount.path}/dicom/{SERIES}/0007.dcm")
        assert sorted(os.path.basename(line) for line in newer.stdout.splitlines()) == \
            ["0008.dcm", "0009.dcm", "0010.dcm"]


@case
def copies_link_counts_are_places(here):
    series_of(here, f"{here}/a", 3)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        tree.soon(lambda: os.path.exists(f"{mount.path}/ready/{SERIES}"), "the series does not settle")
        places = {}
        for base, _, names in os.walk(mount.path):
            for name in names:
                st = os.lstat(os.path.join(base, name))
                places.setdefault(st.st_ino, [st.st_nlink, 0])[1] += 1
        wrong = {inode: counts for inode, counts in places.items() if counts[0] != counts[1]}
        assert not wrong, wrong


@case
def copies_two_mounts_and_a_restart_are_the_same(here):
    content = series_of(here, f"{here}/a", 10)
    with Mount(f"{here}/a", f"{here}/m") as first, Mount(f"{here}/a", f"{here}/n") as second:
        tree.soon(lambda: os.path.exists(f"{first.path}/ready/{SERIES}"), "the series does not settle")
        before = walk(first.path)
        assert walk(second.path) == before
        assert run("diff", "-r", first.path, second.path).returncode == 0
    with Mount(f"{here}/a", f"{here}/m") as again:
        assert walk(again.path) == before
    if os.path.exists(tree.PACSCTL):
        done = run(tree.PACSCTL, "-A", f"{here}/a", "rebuild")
        assert done.returncode == 0, done.stderr
        with Mount(f"{here}/a", f"{here}/m") as rebuilt:
            assert walk(rebuilt.path) == before
    assert len(content) == 10


@case
def copies_names_are_safe(here):
    names = ["../..^/etc", "a\\b", "CON", ".hidden.", "x" * 60 + "^" + "y" * 60, "Doe^John", "DOE^JOHN", "doe^john",
             "tab\there", "  ", "*?<>|:\""]
    files = []
    for i, name in enumerate(names):
        files.append(f"{here}/{i}.dcm")
        image(files[-1], f"1.2.9.{i}", series=f"1.2.9.{i}.1", study=f"1.2.9.{i}.2", patient=f"P{i % 3}" if i > 5 else "",
              name=name)
    load(f"{here}/a", *files)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        for base, folders, files in os.walk(f"{mount.path}/patients"):
            found = folders + files
            assert len({name.casefold() for name in found}) == len(found), found
            for name in found:
                assert len(os.fsencode(name)) <= 128 and not set(name) & set("/\\:*?\"<>|\t"), name
                assert name[0] not in ". " and name[-1] not in ". ", name
        assert sum(len(files) for _, _, files in os.walk(f"{mount.path}/dicom")) == len(names)


@case
def copies_frames_stand_beside(here):
    image(f"{here}/f.dcm", "1.2.7.1", frames=12)
    load(f"{here}/a", f"{here}/f.dcm")
    with Mount(f"{here}/a", f"{here}/m") as mount:
        folder = f"{mount.path}/png/{SERIES}"
        assert sorted(os.listdir(folder)) == ["0001", "0001.png"]
        assert sorted(os.listdir(f"{folder}/0001")) == [f"{i:04}.png" for i in range(1, 13)]
        pictures = [read(f"{folder}/0001/{name}") for name in os.listdir(f"{folder}/0001")]
        for picture in pictures:
            png_is_whole(picture, 64)
        assert len(set(pictures)) > 1
        assert not os.path.exists(f"{mount.path}/patients/{SERIES}/0001")


@case
def copies_series_json_is_in_order_of_geometry(here):
    series_of(here, f"{here}/a", 6)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        text = json.loads(read(f"{mount.path}/patients/{SERIES}/series.json"))
        assert text["order"] == "position" and text["counts"]["instances"] == 6
        assert [one["file"] for one in text["instances"]] == ["0006", "0005", "0004", "0003", "0002", "0001"]
        assert text["path"] == SERIES
        for one in text["instances"]:
            for kind in one["files"]:
                assert os.path.exists(f"{mount.path}/patients/{SERIES}/{one['file']}.{kind}")
        assert bulk_of(mount, "0002") == read(f"{mount.path}/dicom/{SERIES}/0002.dcm")[-64 * 64 * 2:]


def bulk_of(mount, name):
    """The pixels, by the way that the header in json/ says."""
    text = read(f"{mount.path}/json/{SERIES}/{name}.json")
    path, query = json.loads(text)["7FE00010"]["BulkDataURI"].split("?")
    numbers = dict(part.split("=") for part in query.split("&"))
    data = read(f"{mount.path}/{path}")
    assert data == read(f"{mount.path}/dicom/{SERIES}/{name}.dcm")
    return data[int(numbers["offset"]):int(numbers["offset"]) + int(numbers["length"])]


@case
def copies_bulk_data_of_odd_uids_are_found(here):
    """UIDs that are none (hashes of a de-identification) stand in uids/ by number; JSON says that path."""
    odd = ["1.2.826.1.7", "05fa52f0e599f17b"]
    for number, (uid, series, study) in enumerate([("abc", odd[0], odd[0]), ("1.2.8", odd[1], odd[0]),
                                                   ("de_f", odd[1], odd[1])], 1):
        image(f"{here}/{number}.dcm", uid, series=series, study=study, seed=number)
        assert load(f"{here}/{number}", f"{here}/{number}.dcm") == ["stored"]
        with Mount(f"{here}/{number}", f"{here}/m{number}") as mount:
            size = os.stat(f"{mount.path}/json/{SERIES}/0001.json").st_size
            assert size == len(read(f"{mount.path}/json/{SERIES}/0001.json"))
            assert bulk_of(mount, "0001") == read(f"{here}/{number}.dcm")[-64 * 64 * 2:]


if __name__ == "__main__":
    main()
