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


def pieces(here, count=3):
    """An archive of `count` packs, an image of one series in each; its packs and what `find` says."""
    archive = new_archive(here)
    for i in range(1, count + 1):
        path = write(here, "in", f"{i}.dcm", data=dicom(instance=i))
        pacsctl("import", "-q", path, archive=archive)
    packs = [os.path.join(archive, "packs", name) for name in sorted(os.listdir(os.path.join(archive, "packs")))]
    equal(len(packs), count)
    return archive, packs


def instances(archive):
    return sorted(json.loads(line)["SOPInstanceUID"]
                  for line in pacsctl("find", "--json", "--level=instance", archive=archive).lines())


@case
def verify_sees_that_a_pack_is_gone(here):
    for gone in [[0], [1], [2], [1, 2], [0, 1, 2]]:
        inner = os.path.join(here, "".join(map(str, gone)))
        os.mkdir(inner)
        archive, packs = pieces(inner)
        for i in gone:
            os.unlink(packs[i])
        result = pacsctl("verify", archive=archive, status=3)
        assert result.out.count("damaged: ") >= len(gone), result.out


@case
def rebuild_keeps_what_stands_in_a_lost_folder(here):
    archive, packs = pieces(here)
    os.unlink(packs[0])  # with the records that made patient, study and series
    holds("2 instances", pacsctl("rebuild", archive=archive).out)
    equal(instances(archive), [f"{ROOT_UID}.1.1.2", f"{ROOT_UID}.1.1.3"])
    line = json.loads(pacsctl("find", "--json", "PatientName=Doe*", archive=archive).lines()[0])
    equal(line["PatientID"], "4711")
    pacsctl("import", "-q", os.path.join(here, "in"), archive=archive)
    equal(instances(archive), [f"{ROOT_UID}.1.1.{i}" for i in (1, 2, 3)])
    equal(len(pacsctl("find", "--json", archive=archive).lines()), 1)


@case
def import_heals_a_lost_pack_for_good(here):
    for gone in range(3):
        inner = os.path.join(here, str(gone))
        os.mkdir(inner)
        archive, packs = pieces(inner)
        before = instances(archive)
        os.unlink(packs[gone])
        lines = pacsctl("import", "--json", os.path.join(inner, "in"), archive=archive).json()
        equal(sorted(line["verdict"] for line in lines[:3]), ["duplicate", "duplicate", "healed"])
        pacsctl("rebuild", archive=archive)
        equal(instances(archive), before)
        out = os.path.join(inner, "out")
        pacsctl("export", "--flat", "-o", out, f"{ROOT_UID}.1", archive=archive)
        equal(len(os.listdir(out)), 3)


@case
def damaged_pack_header_costs_no_image(here):
    archive, packs = pieces(here)
    for damaged in ([2], [0, 1, 2]):
        for i in damaged:
            with open(packs[i], "r+b") as file:
                file.write(os.urandom(104))
        result = pacsctl("verify", archive=archive, status=3)
        for i in damaged:
            holds(f"damaged: pack {i + 1:08}: no pack header", result.out)
    holds("3 instances", pacsctl("rebuild", archive=archive).out)
    pacsctl("import", "-q", write(here, "in", "new.dcm", data=dicom(instance=9)), archive=archive)
    holds("4 instances", pacsctl("rebuild", archive=archive).out)


@case
def archive_conf_without_uuid(here):
    archive, _ = pieces(here, 1)
    write(here, "archive", "archive.conf", data=b"")
    holds("uuid", pacsctl("verify", archive=archive, status=2).err)


@case
def archive_conf_of_another_archive(here):
    archive, packs = pieces(here, 1)
    other = os.path.join(here, "other")
    pacsctl("init", other)
    shutil.copy(os.path.join(other, "archive.conf"), archive)
    result = pacsctl("import", os.path.join(here, "in"), archive=archive, status=None)
    assert result.status != 0, result.out
    holds("another archive", result.err)
    equal(len(os.listdir(os.path.join(archive, "packs"))), 1)


@case
def packs_folder_with_what_is_no_pack(here):
    archive, _ = pieces(here, 1)
    folder = os.path.join(archive, "packs")
    os.mkfifo(os.path.join(folder, "00000007.pack"))
    os.mkdir(os.path.join(folder, "00000008.pack"))
    for name in ["-1.pack", "18446744073709551615.pack", "9.pack", "0000000000000010.pack", "00000000.pack"]:
        write(here, "archive", "packs", name, data=b"")
    pacsctl("verify", archive=archive)
    pacsctl("import", "-q", write(here, "in", "new.dcm", data=dicom(instance=9)), archive=archive)
    holds("2 instances", pacsctl("rebuild", archive=archive).out)


@case
def damage_anywhere_takes_one_image_at_most(here):
    """Each record of the log in turn is destroyed: what stands in others stays, also when the index is made anew."""
    archive, _ = pieces(here, 1)
    for i in (2, 3, 4):
        pacsctl("import", "-q", write(here, "in", f"{i}.dcm", data=dicom(instance=i)), archive=archive)
    for name in sorted(os.listdir(os.path.join(archive, "packs"))):
        copy = os.path.join(here, "copy")
        path = os.path.join(copy, "packs", name)
        for at in range(104, os.path.getsize(os.path.join(archive, "packs", name)), 152):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(archive, copy)
            shutil.rmtree(os.path.join(copy, "index"))
            with open(path, "r+b") as file:
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 0xFF]))
            pacsctl("rebuild", archive=copy)
            found = instances(copy)
            assert len(found) >= 3, f"byte {at} of {name}: {found}"


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
