"""pacsctl verify and rebuild: clean, damaged, rebuilt; stats that stay the same."""
import fcntl
import json
import os
import shutil

from ctl import ROOT_UID, case, dicom, equal, holds, main, new_archive, pacsctl, write


def filled(here, count=20):
    archive = new_archive(here)
    for i in range(1, count + 1):
        write(here, "in", f"{i:02}.dcm", data=dicom(instance=i, rows=16384, PixelData=os.urandom(131072)))
    pacsctl("import", "-q", "-j1", os.path.join(here, "in"), archive=archive)
    return archive


def flip(archive, part):
    """Flips a bit at a part (0 to 1) of the first pack; its name."""
    name = sorted(os.listdir(os.path.join(archive, "packs")))[0]
    path = os.path.join(archive, "packs", name)
    at = int(os.path.getsize(path) * part)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))
    return name


@case
def verify_clean(here):
    archive = filled(here)
    holds("20 instances", pacsctl("verify", archive=archive).out)
    line = pacsctl("verify", "--json", archive=archive).json()[-1]
    equal(line["finding"], "summary")
    equal(line["instances"], 20)
    equal(line["damaged"], 0)
    assert line["bytes"] > 20 * 131072


@case
def verify_damaged_names_the_pack(here):
    archive = filled(here)
    name = flip(archive, 0.5)
    result = pacsctl("verify", archive=archive, status=3)
    damaged = [line for line in result.lines() if line.startswith("damaged: ")]
    assert damaged, result.out
    holds(name.split(".")[0].lstrip("0"), damaged[0])
    lines = pacsctl("verify", "--json", archive=archive, status=3).json()
    assert lines[-1]["damaged"] >= 1, lines
    assert any(line["finding"] == "damage" for line in lines), lines


@case
def verify_damaged_in_many_places(here):
    archive = filled(here)
    for part in (0.1, 0.3, 0.6, 0.85):
        copy = os.path.join(here, f"copy{part}")
        shutil.copytree(archive, copy)
        flip(copy, part)
        pacsctl("verify", archive=copy, status=3)


@case
def export_of_a_damaged_file_leaves_none(here):
    archive = filled(here, 1)
    flip(archive, 0.5)
    out = os.path.join(here, "out")
    result = pacsctl("export", "-o", out, f"{ROOT_UID}.1", archive=archive, status=None)
    assert result.status != 0, result.out
    equal([n for _, _, names in os.walk(out) for n in names], [])


@case
def import_heals_what_is_damaged(here):
    archive = filled(here, 1)
    flip(archive, 0.5)
    lines = pacsctl("import", "--json", os.path.join(here, "in"), archive=archive).json()
    equal(lines[0]["verdict"], "healed")
    out = os.path.join(here, "out")
    pacsctl("export", "--flat", "-o", out, f"{ROOT_UID}.1", archive=archive)
    equal(open(os.path.join(out, os.listdir(out)[0]), "rb").read(), open(os.path.join(here, "in", "01.dcm"), "rb").read())


@case
def rebuild_gives_the_same(here):
    archive = filled(here)
    before = pacsctl("find", "--json", "--level=instance", archive=archive).out
    stats = json.loads(pacsctl("stats", "--json", archive=archive).out)
    holds("20 instances", pacsctl("rebuild", archive=archive).out)
    equal(pacsctl("find", "--json", "--level=instance", archive=archive).out, before)
    after = json.loads(pacsctl("stats", "--json", archive=archive).out)
    for key in ["patients", "studies", "series", "instances", "editions", "bytes", "lsn", "modalities"]:
        equal(after[key], stats[key])
    pacsctl("verify", archive=archive)


@case
def rebuild_from_the_packs_alone(here):
    archive = filled(here)
    before = pacsctl("find", "--json", "--level=instance", archive=archive).out
    shutil.rmtree(os.path.join(archive, "index"))
    pacsctl("rebuild", archive=archive)
    equal(pacsctl("find", "--json", "--level=instance", archive=archive).out, before)


@case
def stats_by_modality(here):
    archive = filled(here, 3)
    stats = json.loads(pacsctl("stats", "--json", archive=archive).out)
    equal(stats["instances"], 3)
    equal(stats["modalities"]["CT"]["series"], 1)
    equal(stats["modalities"]["CT"]["instances"], 3)
    lines = pacsctl("stats", archive=archive).lines()
    holds("CT", lines[-1])


@case
def status_counts_the_quarantine(here):
    archive = filled(here, 1)
    write(archive, "quarantine", "1.dcm", data=b"x")
    write(archive, "quarantine", "1.dcm.reason", data=b"x")
    equal(json.loads(pacsctl("status", "--json", archive=archive).out)["quarantined"], 1)


@case
def conflicts_are_listed(here):
    archive = filled(here, 1)
    path = write(here, "other.dcm", data=dicom(patient="SMITH^ANNA", PatientBirthDate="19800202", instance=50))
    pacsctl("import", path, archive=archive)
    lines = pacsctl("conflicts", "--json", archive=archive).json()
    assert lines, "no conflict"
    for line in lines:
        assert line["kind"] and line["text"] and line["lsn"], line
    table = pacsctl("conflicts", archive=archive).out
    holds(lines[0]["kind"], table)
    assert "SMITH" not in "".join(line["text"] for line in lines), lines


main()
