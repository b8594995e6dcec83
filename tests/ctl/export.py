"""pacsctl export: what went in comes out, byte for byte."""
import io
import os
import subprocess
import tarfile
import zipfile

from ctl import PYDICOM_FILES, ROOT_UID, case, dicom, equal, holds, main, new_archive, pacsctl, write


def filled(here):
    archive = new_archive(here)
    files = {}
    for series in (1, 2):
        for instance in (1, 2, 3):
            data = dicom(series=series, instance=instance)
            files[f"{ROOT_UID}.1.{series}.{instance}"] = data
            write(here, "in", f"{series}-{instance}.dcm", data=data)
    pacsctl("import", "-q", "-j1", os.path.join(here, "in"), archive=archive)
    return archive, files


def tree(folder):
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            found[os.path.relpath(path, folder)] = open(path, "rb").read()
    return found


@case
def export_tree_names_bytes_and_times(here):
    archive, files = filled(here)
    out = os.path.join(here, "out")
    result = pacsctl("export", "-o", out, "PatientID=*", archive=archive)
    equal(len([line for line in result.lines() if line.startswith("written ")]), 6)
    got = tree(out)
    equal(sorted(got.values()), sorted(files.values()))
    hits = pacsctl("find", "--level=instance", "--json", archive=archive).json()
    equal(sorted(got), sorted(h["path"].split("/", 1)[1] + ".dcm" for h in hits))
    arrivals = {a["path"]: a["time"] for a in pacsctl("watch", "--json", "--from=0", "--no-follow", archive=archive).json()
                if a["event"] == "stored"}
    for name in got:
        stamp = os.stat(os.path.join(out, name)).st_mtime_ns // 1_000_000
        holds(f".{stamp % 1000:03}Z", arrivals["patients/" + name])


@case
def export_by_uid_of_each_level(here):
    archive, files = filled(here)
    for uid, count in [(f"{ROOT_UID}.1", 6), (f"{ROOT_UID}.1.2", 3), (f"{ROOT_UID}.1.2.3", 1)]:
        out = os.path.join(here, f"out{count}")
        pacsctl("export", "--flat", "-o", out, uid, archive=archive)
        got = tree(out)
        equal(len(got), count)
        for name, data in got.items():
            equal(data, files[name[:-4]])


@case
def export_unknown_uid_and_no_match_fail(here):
    archive, _ = filled(here)
    out = os.path.join(here, "out")
    holds("no study, series or instance", pacsctl("export", "-o", out, "1.2.3.4", archive=archive, status=1).out)
    holds("nothing matches", pacsctl("export", "-o", out, "PatientID=nobody", archive=archive, status=1).err)


@case
def export_never_overwrites_unless_forced(here):
    archive, files = filled(here)
    out = os.path.join(here, "out")
    uid = f"{ROOT_UID}.1.1.1"
    write(out, f"{uid}.dcm", data=b"mine")
    result = pacsctl("export", "--flat", "-o", out, uid, archive=archive, status=1)
    holds("--force", result.out)
    equal(tree(out), {f"{uid}.dcm": b"mine"})
    pacsctl("export", "--flat", "--force", "-o", out, uid, archive=archive)
    equal(tree(out), {f"{uid}.dcm": files[uid]})


@case
def export_does_not_follow_links_out_of_its_folder(here):
    archive, files = filled(here)
    out, elsewhere = os.path.join(here, "out"), os.path.join(here, "elsewhere")
    os.makedirs(out)
    os.makedirs(elsewhere)
    patient = pacsctl("find", "--level=patient", "--json", archive=archive).json()[0]["path"].split("/", 1)[1]
    os.symlink(elsewhere, os.path.join(out, patient))
    pacsctl("export", "-o", out, "PatientID=*", archive=archive, status=None)
    equal(os.listdir(elsewhere), [])


@case
def export_json_lines(here):
    archive, _ = filled(here)
    lines = pacsctl("export", "--json", "-o", os.path.join(here, "out"), f"{ROOT_UID}.1.1", archive=archive).json()
    equal([line["verdict"] for line in lines], ["written"] * 3 + ["summary"])
    equal(lines[-1]["written"], 3)


@case
def export_zip_and_tars(here):
    archive, files = filled(here)
    path = os.path.join(here, "a.zip")
    pacsctl("export", "--archive", path, "PatientID=*", archive=archive)
    with zipfile.ZipFile(path) as z:
        equal(sorted(z.read(n) for n in z.namelist()), sorted(files.values()))
        equal(z.testzip(), None)
    for end in [".tar", ".tar.gz"]:
        path = os.path.join(here, "a" + end)
        pacsctl("export", "--flat", "--archive", path, "PatientID=*", archive=archive)
        with tarfile.open(path) as t:
            equal({n[:-4]: t.extractfile(n).read() for n in t.getnames()}, files)
    path = os.path.join(here, "a.tar.zst")
    pacsctl("export", "--archive", path, "PatientID=*", archive=archive)
    other = os.path.join(here, "other")
    pacsctl("init", other)
    holds("6 stored", pacsctl("import", path, archive=other).out)


@case
def export_archive_is_not_overwritten_and_not_left_half(here):
    archive, _ = filled(here)
    path = write(here, "a.zip", data=b"mine")
    pacsctl("export", "--archive", path, "PatientID=*", archive=archive, status=1)
    equal(open(path, "rb").read(), b"mine")
    equal(sorted(os.listdir(here)), ["a.zip", "archive", "in"])
    pacsctl("export", "--archive", os.path.join(here, "b.zip"), "PatientID=nobody", archive=archive, status=1)
    equal(sorted(os.listdir(here)), ["a.zip", "archive", "in"])


@case
def export_usage(here):
    archive, _ = filled(here)
    out = os.path.join(here, "out")
    pacsctl("export", "PatientID=1", archive=archive, status=2)
    pacsctl("export", "-o", out, archive=archive, status=2)
    pacsctl("export", "-o", out, "--archive", out + ".zip", "PatientID=1", archive=archive, status=2)
    pacsctl("export", "--archive", out + ".rar", "PatientID=1", archive=archive, status=2)
    pacsctl("export", "-o", out, "PatentID=1", archive=archive, status=2)
    assert not os.path.exists(out)


@case
def export_of_pydicoms_files_equals_what_came_in(here):
    archive = new_archive(here)
    lines = pacsctl("import", "--json", PYDICOM_FILES, archive=archive, status=None).json()
    out = os.path.join(here, "out")
    pacsctl("export", "-q", "-o", out, "PatientID=*", archive=archive)
    came_in = {}
    for line in lines:
        if line["verdict"] in ("stored", "variant", "version") and os.path.isfile(line["path"]):
            came_in.setdefault(line["instance"], []).append(open(line["path"], "rb").read())
    hits = pacsctl("find", "--json", "--level=instance", archive=archive).json()
    assert len(hits) > 60, len(hits)
    checked = 0
    for hit in hits:
        data = open(os.path.join(out, hit["path"].split("/", 1)[1] + ".dcm"), "rb").read()
        if hit["SOPInstanceUID"] in came_in:
            assert data in came_in[hit["SOPInstanceUID"]], hit
            checked += 1
    assert checked > 60, checked


main()
