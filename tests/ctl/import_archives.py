"""pacsctl import: zip, tar, 7z, ISO images, archives in archives, and those that mean harm."""
import gzip
import hashlib
import io
import os
import tarfile
import zipfile

from ctl import case, dicom, equal, holds, main, new_archive, pack, pacsctl, summary, verdicts, write

THREE = {f"DICOM/IM{i:04}": dicom(instance=i) for i in range(1, 4)}
EXTRA = {"README.TXT": b"A patient CD.\n", **THREE}


def make_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as z:
        for name, data in members.items():
            z.writestr(name, data)
    return path


def make_tar(path, members, mode):
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def stored_under(by, path):
    return sorted(os.path.relpath(p, path) for p in by.get("stored", []))


def exported(here, archive):
    """SHA-256 of every file that comes out."""
    out = os.path.join(here, "out")
    pacsctl("export", "-o", out, "--flat", "PatientID=*", archive=archive)
    return sorted(hashlib.sha256(open(os.path.join(out, n), "rb").read()).hexdigest() for n in os.listdir(out))


def hashes(members):
    return sorted(hashlib.sha256(data).hexdigest() for name, data in members.items())


def goes_in_whole(here, path, names=None):
    archive = new_archive(here)
    result = pacsctl("import", "--json", path, archive=archive)
    by = verdicts(result)
    equal(stored_under(by, path), sorted(names or THREE))
    assert 0 < summary(result)["bytes"] <= os.path.getsize(path), summary(result)
    equal([os.path.basename(p) for p in by.get("skipped", [])], ["README.TXT"] if not names else [])
    equal(exported(here, archive), hashes(THREE))


@case
def import_zip(here):
    goes_in_whole(here, make_zip(os.path.join(here, "cd"), EXTRA))


@case
def import_zip_without_compression(here):
    goes_in_whole(here, make_zip(os.path.join(here, "cd.zip"), EXTRA, zipfile.ZIP_STORED))


@case
def import_tars(here):
    for mode in ["w:", "w:gz", "w:bz2", "w:xz"]:
        folder = os.path.join(here, mode[2:] or "plain")
        os.mkdir(folder)
        goes_in_whole(folder, make_tar(os.path.join(folder, "t.img"), EXTRA, mode))


@case
def import_tar_zst(here):
    goes_in_whole(here, pack(os.path.join(here, "t.tar.zst"), EXTRA, "pax", ["zstd"]))


@case
def import_7z(here):
    goes_in_whole(here, pack(os.path.join(here, "cd.7z"), EXTRA, "7zip"))


@case
def import_iso(here):
    path = pack(os.path.join(here, "cd.iso"), EXTRA, "iso9660")
    goes_in_whole(here, path)


@case
def import_one_compressed_file(here):
    archive = new_archive(here)
    path = write(here, "a.dcm.gz", data=gzip.compress(dicom()))
    by = verdicts(pacsctl("import", "--json", path, archive=archive))
    equal(len(by["stored"]), 1)


@case
def import_archive_in_a_folder_walk(here):
    archive = new_archive(here)
    os.mkdir(os.path.join(here, "in"))
    make_zip(os.path.join(here, "in", "b.zip"), THREE)
    write(here, "in", "a.dcm", data=dicom(instance=9))
    by = verdicts(pacsctl("import", "--json", os.path.join(here, "in"), archive=archive))
    equal(stored_under(by, os.path.join(here, "in")), ["a.dcm"] + [f"b.zip/{n}" for n in sorted(THREE)])


@case
def import_nested_archives(here):
    inner = make_zip(os.path.join(here, "inner.zip"), THREE)
    seven = pack(os.path.join(here, "inner.7z"), {"x.dcm": dicom(instance=7)}, "7zip")
    iso = pack(os.path.join(here, "inner.iso"), {"Y.DCM": dicom(instance=8)}, "iso9660")
    outer = make_tar(os.path.join(here, "outer.tar.gz"),
                     {n: open(p, "rb").read() for n, p in [("i.zip", inner), ("i.7z", seven), ("i.iso", iso)]}, "w:gz")
    archive = new_archive(here)
    by = verdicts(pacsctl("import", "--json", outer, archive=archive))
    equal(stored_under(by, outer), ["i.7z/x.dcm", "i.iso/Y.DCM"] + [f"i.zip/{n}" for n in sorted(THREE)])


@case
def import_nested_beyond_the_depth(here):
    path = os.path.join(here, "0.zip")
    make_zip(path, THREE)
    for i in range(1, 4):
        inner = open(path, "rb").read()
        path = os.path.join(here, f"{i}.zip")
        make_zip(path, {f"{i - 1}.zip": inner})
    archive = new_archive(here)
    result = pacsctl("import", "--json", path, archive=archive, status=1)
    equal(list(verdicts(result)), ["refused"])
    holds("--max-depth", result.json()[0]["reason"])
    by = verdicts(pacsctl("import", "--json", "--max-depth=4", path, archive=archive))
    equal(len(by["stored"]), 3)


@case
def import_names_that_climb_are_labels_only(here):
    archive = new_archive(here)
    victim = write(here, "victim", data=b"safe")
    path = os.path.join(here, "deep", "er", "evil.zip")
    os.makedirs(os.path.dirname(path))
    make_zip(path, {"../../victim": dicom(instance=1), victim: dicom(instance=2), "../../new": dicom(instance=3)})
    by = verdicts(pacsctl("import", "--json", path, archive=archive))
    equal(len(by["stored"]), 3)
    equal(open(victim, "rb").read(), b"safe")
    assert not os.path.exists(os.path.join(here, "new"))
    equal(sorted(os.listdir(here)), ["archive", "deep", "victim"])


@case
def import_links_in_a_tar_lead_nowhere(here):
    archive = new_archive(here)
    path = os.path.join(here, "t.tar")
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    by = verdicts(pacsctl("import", "--json", path, archive=archive))
    equal(by, {"skipped": [path + "/link"]})


@case
def import_bomb_by_ratio(here):
    archive = new_archive(here)
    path = make_zip(os.path.join(here, "bomb.zip"), {"a.dcm": dicom(), "zeros": dicom(rows=8192, Columns=4096, PixelData=bytes(64 << 20))})
    result = pacsctl("import", "--json", "--max-ratio=100", path, archive=archive, status=1)
    refused = [line for line in result.json() if line["verdict"] == "refused"]
    equal(len(refused), 1)
    holds("--max-ratio", refused[0]["reason"])
    equal(len(verdicts(result)["stored"]), 1)


@case
def import_bomb_in_a_stream_that_is_passed_over(here):
    archive = new_archive(here)
    path = make_tar(os.path.join(here, "bomb.tar.gz"), {"zeros": bytes(64 << 20), "a.dcm": dicom()}, "w:gz")
    result = pacsctl("import", "--json", "--max-total=32M", "--max-ratio=100000", path, archive=archive, status=1)
    refused = [line for line in result.json() if line["verdict"] == "refused"]
    holds("--max-total", refused[0]["reason"])


@case
def import_member_too_long(here):
    archive = new_archive(here)
    path = make_tar(os.path.join(here, "t.tar.gz"), {"big": dicom(rows=60000), "a.dcm": dicom(instance=2)}, "w:gz")
    result = pacsctl("import", "--json", "--max-member=100K", path, archive=archive, status=1)
    by = verdicts(result)
    equal(stored_under(by, path), ["a.dcm"])
    equal(stored_under({"stored": by["refused"]}, path), ["big"])
    holds("--max-member", [line for line in result.json() if line["verdict"] == "refused"][0]["reason"])


@case
def import_long_members_are_streamed_whole(here):
    """Longer than what is held in memory: they go through a socket to a worker."""
    big = {f"{i}.dcm": dicom(instance=i, rows=40000, Columns=64, PixelData=os.urandom(40000 * 64 * 2))
           for i in range(1, 4)}
    archive = new_archive(here)
    path = make_tar(os.path.join(here, "t.tar.gz"), big, "w:gz")
    equal(len(verdicts(pacsctl("import", "--json", path, archive=archive))["stored"]), 3)
    equal(exported(here, archive), hashes(big))


@case
def import_long_member_cut_short_is_not_taken(here):
    """The cut is just behind an element, so that what came before it could pass for a whole data set."""
    whole = dicom(rows=40000, Columns=64, PixelData=os.urandom(40000 * 64 * 2))
    path = os.path.join(here, "t.tar")
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a.dcm")
        info.size = len(whole) + (1 << 20)
        tar.addfile(info, io.BytesIO(whole + bytes(1 << 20)))
    with open(path, "r+b") as file:
        file.truncate(512 + len(whole))
    archive = new_archive(here)
    result = pacsctl("import", "--json", path, archive=archive, status=1)
    assert "stored" not in verdicts(result), result.out
    equal(pacsctl("find", "--json", "--level=instance", archive=archive).out, "")


@case
def import_damaged_zip_says_so(here):
    data = bytearray(open(make_zip(os.path.join(here, "a.zip"), EXTRA), "rb").read())
    at = data.index(b"DICOM/IM0002") + 60
    data[at] ^= 0xFF
    path = write(here, "b.zip", data=bytes(data))
    archive = new_archive(here)
    result = pacsctl("import", "--json", path, archive=archive, status=1)
    by = verdicts(result)
    assert any("IM0002" in p for p in by["refused"]), result.out
    assert any("IM0001" in p for p in by["stored"]), result.out


@case
def import_truncated_archives_do_not_crash(here):
    archive = new_archive(here)
    files = [make_zip(os.path.join(here, "a.zip"), EXTRA), make_tar(os.path.join(here, "a.tgz"), EXTRA, "w:gz"),
             pack(os.path.join(here, "a.7z"), EXTRA, "7zip"), pack(os.path.join(here, "a.iso"), EXTRA, "iso9660")]
    for path in files:
        data = open(path, "rb").read()
        half = data.index(b"DICM") + 200 if path.endswith("iso") else len(data) // 2
        cut = write(here, "cut", os.path.basename(path), data=data[:half])
        pacsctl("import", "--json", cut, archive=archive, status=1)


@case
def import_encrypted_zip_is_refused(here):
    """A zip whose first member says that it is encrypted (bit 0 of its flags)."""
    data = bytearray(open(make_zip(os.path.join(here, "a.zip"), THREE), "rb").read())
    at = 0
    while (at := data.find(b"PK\x03\x04", at)) >= 0:
        data[at + 6] |= 1
        at += 4
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= 1
        at += 4
    path = write(here, "b.zip", data=bytes(data))
    archive = new_archive(here)
    by = verdicts(pacsctl("import", "--json", path, archive=archive, status=1))
    equal(list(by), ["refused"])


@case
def import_zip_names_in_unicode(here):
    archive = new_archive(here)
    path = make_zip(os.path.join(here, "a.zip"), {"M\u00fcller/\u5c71\u7530.dcm": dicom()})
    by = verdicts(pacsctl("import", "--json", path, archive=archive))
    equal(stored_under(by, path), ["M\u00fcller/\u5c71\u7530.dcm"])


main()
