"""pacsctl import: files and folders."""
import json
import os
import tarfile
import io

from ctl import PYDICOM_FILES, case, dicom, equal, holds, main, new_archive, pacsctl, summary, verdicts, write


@case
def import_folder_in_order(here):
    archive = new_archive(here)
    for i in range(1, 21):
        write(here, "in", f"{i:02}.dcm", data=dicom(instance=i))
    result = pacsctl("import", "-j1", os.path.join(here, "in"), archive=archive)
    names = [os.path.basename(line.split()[1]) for line in result.lines() if line.startswith("stored")]
    equal(names, [f"{i:02}.dcm" for i in range(1, 21)])
    holds("20 stored, 0 refused", result.lines()[-1])


@case
def import_many_at_once_whole_lines(here):
    archive = new_archive(here)
    for i in range(1, 201):
        write(here, "in", f"{i:03}.dcm", data=dicom(series=i % 7 + 1, instance=i))
    result = pacsctl("import", "--json", "-j16", os.path.join(here, "in"), archive=archive)
    equal(len(verdicts(result)["stored"]), 200)
    equal(len({line["lsn"] for line in result.json()[:-1]}), 200)
    equal(json.loads(pacsctl("stats", "--json", archive=archive).out)["instances"], 200)


@case
def import_again_is_known_and_no_failure(here):
    archive = new_archive(here)
    path = write(here, "a.dcm", data=dicom())
    pacsctl("import", path, archive=archive)
    result = pacsctl("import", path, archive=archive)
    assert result.out.startswith("duplicate "), result.out
    holds(path, result.out)


@case
def import_without_a_daemon_holds_to_pacs_conf(here):
    archive = new_archive(here)
    conf = write(archive, "pacs.conf", data=b"[identity]\nplaceholder = TEMP\n[archive]\nreserve = 12M\n")
    for i, pid in enumerate(["TEMP", ""], 1):
        pacsctl("import", write(here, f"{i}.dcm", data=dicom(pid=pid, study=i, series=i)), archive=archive)
    equal(json.loads(pacsctl("stats", "--json", archive=archive).out)["patients"], 1)
    equal(json.loads(pacsctl("status", "--json", archive=archive).out)["reserve_bytes"], 12 << 20)
    write(archive, "pacs.conf", data=b"[archive]\nreserve = 8000G\n")
    result = pacsctl("import", write(here, "3.dcm", data=dicom(study=3)), archive=archive, status=2)
    holds(conf + ":2", result.err)
    write(archive, "pacs.conf", data=b"[archive]\nreserve = 1024G\n")
    result = pacsctl("import", write(here, "4.dcm", data=dicom(study=4)), archive=archive, status=5)
    holds("archive full", result.out + result.err)


@case
def import_folder_skips_what_is_no_dicom(here):
    archive = new_archive(here)
    write(here, "in", "README", data=b"Read me first.\n")
    write(here, "in", "photo.jpg", data=b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(100))
    write(here, "in", "empty", data=b"")
    write(here, "in", "zeros", data=bytes(4096))
    write(here, "in", "a.dcm", data=dicom())
    result = pacsctl("import", "--json", os.path.join(here, "in"), archive=archive)
    by = verdicts(result)
    equal(len(by["skipped"]), 4)
    equal(len(by["stored"]), 1)
    assert "refused" not in by
    for line in result.json():
        if line["verdict"] == "skipped":
            assert line["reason"], line


@case
def import_named_file_that_is_no_dicom_fails(here):
    archive = new_archive(here)
    path = write(here, "README", data=b"Read me first.\n")
    result = pacsctl("import", path, archive=archive, status=1)
    assert result.out.startswith("refused " + path + ": "), result.out


@case
def import_dicomdir_is_skipped(here):
    archive = new_archive(here)
    for folder, _, files in os.walk(PYDICOM_FILES):
        if "DICOMDIR" in files:
            path = os.path.join(folder, "DICOMDIR")
            break
    result = pacsctl("import", "--json", path, archive=archive)
    equal(verdicts(result), {"skipped": [path]})


@case
def import_damaged_file_is_refused_and_the_rest_goes_on(here):
    archive = new_archive(here)
    write(here, "in", "a.dcm", data=dicom(instance=1)[:-20])
    write(here, "in", "b.dcm", data=dicom(instance=2))
    result = pacsctl("import", "--json", os.path.join(here, "in"), archive=archive, status=1)
    by = verdicts(result)
    equal([os.path.basename(p) for p in by["refused"]], ["a.dcm"])
    equal([os.path.basename(p) for p in by["stored"]], ["b.dcm"])
    equal(summary(result)["refused"], 1)
    result = pacsctl("import", "--quiet", os.path.join(here, "in"), archive=archive, status=1)
    equal(len(result.lines()), 2)
    assert result.lines()[0].startswith("refused "), result.out


@case
def import_path_that_is_not_there(here):
    archive = new_archive(here)
    path = os.path.join(here, "nothing")
    result = pacsctl("import", path, archive=archive, status=1)
    holds("refused " + path, result.out)


@case
def import_links(here):
    archive = new_archive(here)
    target = write(here, "elsewhere", "a.dcm", data=dicom())
    write(here, "in", "b.dcm", data=dicom(instance=2))
    os.symlink(target, os.path.join(here, "in", "link"))
    os.symlink(os.path.join(here, "in"), os.path.join(here, "in", "loop"))
    os.symlink("/nowhere/at/all", os.path.join(here, "in", "dangling"))
    os.mkfifo(os.path.join(here, "in", "pipe"))
    by = verdicts(pacsctl("import", "--json", os.path.join(here, "in"), archive=archive))
    equal(sorted(os.path.basename(p) for p in by["stored"]), ["b.dcm", "link"])
    equal(sorted(os.path.basename(p) for p in by["skipped"]), ["dangling", "loop", "pipe"])


@case
def import_of_the_archive_itself_is_passed_over(here):
    archive = new_archive(here)
    write(here, "a.dcm", data=dicom())
    by = verdicts(pacsctl("import", "--json", here, archive=archive))
    equal(by["stored"], [os.path.join(here, "a.dcm")])
    equal(by["skipped"], [archive])


@case
def import_names_cannot_steer_a_terminal(here):
    archive = new_archive(here)
    write(here, "in", "a\x1b[2J\u202eb\n.dcm", data=dicom())
    out = pacsctl("import", os.path.join(here, "in"), archive=archive).out
    assert "\x1b" not in out and "\u202e" not in out and len(out.splitlines()) == 2, repr(out)
    holds("\\x1B", out)


@case
def import_tar_from_standard_input(here):
    archive = new_archive(here)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for i in range(1, 4):
            data = dicom(instance=i)
            info = tarfile.TarInfo(f"folder/{i}.dcm")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    by = verdicts(pacsctl("import", "--json", "-", archive=archive, stdin=out.getvalue()))
    equal(sorted(by["stored"]), ["-/folder/1.dcm", "-/folder/2.dcm", "-/folder/3.dcm"])


@case
def import_standard_input_that_is_no_tar(here):
    archive = new_archive(here)
    pacsctl("import", "-", archive=archive, stdin=b"hello, this is no tar at all\n" * 100, status=1)


@case
def import_options_out_of_bounds(here):
    archive = new_archive(here)
    for option in ["--jobs=0", "--jobs=1000", "--max-depth=0", "--max-ratio=0", "--max-member=lots", "--max-total=0"]:
        pacsctl("import", option, here, archive=archive, status=2)
    pacsctl("import", archive=archive, status=2)


@case
def import_pydicoms_files(here):
    archive = new_archive(here)
    result = pacsctl("import", "--json", PYDICOM_FILES, archive=archive, status=None)
    assert result.status in (0, 1), result.err
    by = verdicts(result)
    assert len(by["stored"]) > 80, {k: len(v) for k, v in by.items()}
    for line in result.json():
        if line["verdict"] in ("refused", "skipped"):
            assert line["reason"], line
    pacsctl("verify", archive=archive)


main()
