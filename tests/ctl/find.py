"""pacsctl find: levels, keys, columns, limits. Matching itself is tested in tests/unit/match.c."""
import os

import pydicom

from ctl import PYDICOM_FILES, ROOT_UID, case, dicom, equal, holds, main, new_archive, pacsctl, write


def small(here):
    """Three patients, four studies, five series, seven instances."""
    archive = new_archive(here)
    files = [
        dicom("DOE^JOHN", "1", 1, 1, 1, "20240101", "CT"),
        dicom("DOE^JOHN", "1", 1, 1, 2, "20240101", "CT"),
        dicom("DOE^JOHN", "1", 1, 2, 1, "20240101", "SR"),
        dicom("DOE^JOHN", "1", 2, 1, 1, "20240615", "MR", StudyDescription="Knee"),
        dicom("M\u00dcLLER^J\u00dcRGEN", "2", 3, 1, 1, "20240615", "CT", BodyPartExamined="CHEST", KVP="120"),
        dicom("M\u00dcLLER^J\u00dcRGEN", "2", 3, 1, 2, "20240615", "CT", BodyPartExamined="CHEST", KVP="100"),
        dicom("Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", "3", 4, 1, 1, "20250101", "US"),
    ]
    for i, data in enumerate(files):
        write(here, "in", f"{i}.dcm", data=data)
    pacsctl("import", "-j1", "-q", os.path.join(here, "in"), archive=archive)
    return archive


def find(archive, *words, level="study"):
    return pacsctl("find", "--json", f"--level={level}", *words, archive=archive).json()


def uids(hits):
    return sorted(h["StudyInstanceUID"].rsplit(".", 1)[1] for h in hits)


@case
def find_everything_at_each_level(here):
    archive = small(here)
    for level, count in [("patient", 3), ("study", 4), ("series", 5), ("instance", 7)]:
        hits = find(archive, level=level)
        equal(len(hits), count)
        equal({h["level"] for h in hits}, {level})
        equal(len({h["path"] for h in hits}), count)
        assert all(h["path"].startswith("patients/") for h in hits)


@case
def find_by_each_source(here):
    archive = small(here)
    equal(uids(find(archive, "PatientID=1")), ["1", "2"])
    equal(uids(find(archive, "PatientName=doe*")), ["1", "2"])
    equal(uids(find(archive, "PatientName=doe^john")), ["1", "2"])
    equal(uids(find(archive, "PatientName=muller*")), ["3"])
    equal(uids(find(archive, "PatientName=*an*")), [])
    equal(uids(find(archive, "PatientName=\u5c71\u7530*")), ["4"])
    equal(uids(find(archive, "PatientName=yamada*")), ["4"])
    equal(uids(find(archive, "AccessionNumber=A3")), ["3"])
    equal(uids(find(archive, "StudyDate=20240615")), ["2", "3"])
    equal(uids(find(archive, "StudyDate=20240102-20241231")), ["2", "3"])
    equal(uids(find(archive, "StudyDate=20240615-")), ["2", "3", "4"])
    equal(uids(find(archive, "StudyDate=-20240614")), ["1"])
    equal(uids(find(archive, f"StudyInstanceUID={ROOT_UID}.2\\{ROOT_UID}.4\\{ROOT_UID}.2\\1.2.3")), ["2", "4"])
    equal(uids(find(archive, f"SeriesInstanceUID={ROOT_UID}.1.1\\{ROOT_UID}.1.2")), ["1"])
    equal(uids(find(archive, f"SOPInstanceUID={ROOT_UID}.1.1.2\\{ROOT_UID}.3.1.1")), ["1", "3"])


@case
def find_keys_of_several_levels_all_hold(here):
    archive = small(here)
    equal(uids(find(archive, "PatientID=1", "ModalitiesInStudy=SR")), ["1"])
    equal(uids(find(archive, "ModalitiesInStudy=CT")), ["1", "3"])
    equal(uids(find(archive, "Modality=MR")), ["2"])
    equal(uids(find(archive, "Modality=CT", "BodyPartExamined=CHEST")), ["3"])
    equal(uids(find(archive, "Modality=SR", "InstanceNumber=2")), [])
    equal(uids(find(archive, "InstanceNumber=2")), ["1", "3"])
    equal(uids(find(archive, "StudyDescription=Kn*")), ["2"])
    equal(len(find(archive, "PatientID=1", "Modality=CT", level="instance")), 2)
    equal(len(find(archive, "Modality=CT", level="patient")), 2)


@case
def find_attributes_that_only_headers_have(here):
    archive = small(here)
    equal(len(find(archive, "KVP=100", level="instance")), 1)
    equal(uids(find(archive, "KVP=100")), ["3"])
    equal(len(find(archive, "KVP=120", level="patient")), 1)
    equal(find(archive, "KVP=80"), [])
    hits = find(archive, "--columns=KVP,PatientID,0028,0010", "PatientID=2", level="instance")
    equal([h["KVP"] for h in hits], ["120", "100"])
    equal([h["Rows"] for h in hits], ["4", "4"])


@case
def find_counts_and_lists(here):
    archive = small(here)
    hit = find(archive, f"StudyInstanceUID={ROOT_UID}.1")[0]
    equal(sorted(hit["ModalitiesInStudy"]), ["CT", "SR"])
    equal(hit["NumberOfStudyRelatedSeries"], "2")
    equal(hit["NumberOfStudyRelatedInstances"], "3")
    hit = find(archive, "PatientID=1", level="patient")[0]
    equal(hit["NumberOfPatientRelatedStudies"], "2")


@case
def find_limit_and_table(here):
    archive = small(here)
    equal(len(find(archive, "--limit=2", level="instance")), 2)
    lines = pacsctl("find", "PatientID=2", archive=archive).lines()
    equal(len(lines), 2)
    holds("StudyDate", lines[0])
    holds("M\u00dcLLER^J\u00dcRGEN", lines[1])
    equal(lines[0].index("Path"), lines[1].index("patients/"))
    lines = pacsctl("find", "--columns", "PatientID,KVP", "PatientID=2", archive=archive).lines()
    equal(lines[1].split()[:2], ["2", "120"])


@case
def find_nothing_is_no_failure(here):
    archive = small(here)
    equal(find(archive, "PatientID=nobody"), [])
    equal(len(pacsctl("find", "PatientID=nobody", archive=archive).lines()), 1)


@case
def find_words_that_are_none(here):
    archive = small(here)
    holds("did you mean PatientID", pacsctl("find", "PatentID=1", archive=archive, status=2).err)
    holds("KEYWORD=VALUE", pacsctl("find", "PatientID", archive=archive, status=2).err)
    holds("did you mean StudyDate", pacsctl("find", "--columns=StudyDat", archive=archive, status=2).err)
    holds("StudyDate", pacsctl("find", "StudyDate=yesterday", archive=archive, status=2).err)
    pacsctl("find", "--level=slice", archive=archive, status=2)
    pacsctl("find", "ReferencedStudySequence=1", archive=archive, status=2)


@case
def find_text_cannot_steer_a_terminal(here):
    archive = new_archive(here)
    path = write(here, "a.dcm", data=dicom(StudyDescription="evil\x1b[2Jtext"))
    pacsctl("import", path, archive=archive, status=None)
    out = pacsctl("find", archive=archive).out
    assert "\x1b" not in out, repr(out)


@case
def nothing_that_an_image_says_steers_a_terminal(here):
    """ESC, CSI of C1 in UTF-8, a turn of the direction of writing; every command, also where it prints JSON."""
    archive = new_archive(here)
    evil = "x\x1b]0;t\x07\u009b2J\u202ey\x7f"
    # Two names under one ID and two images under one UID: conflicts name them.
    for n, name in enumerate(("EVIL^" + evil, "OTHER^" + evil)):
        data = dicom(name, "ID", 1, 1, 1, "20240101", "CT", SpecificCharacterSet="ISO_IR 192", StudyDescription=evil,
                     SeriesDescription=evil, AccessionNumber=evil, PatientBirthDate=f"1970010{n + 1}",
                     ProtocolName=f"{n}{evil}")
        pacsctl("import", "--json", write(here, f"{n}{evil.replace('/', '')}.dcm", data=data), archive=archive, status=None)
        pacsctl("import", write(here, f"{n}.dcm", data=data), archive=archive, status=None)
    packs = os.path.join(archive, "packs")
    for words in (["find"], ["find", "--level=series"], ["conflicts"], ["stats"], ["status"], ["verify"],
                  ["find", "Nonsense" + evil + "=1"], ["find", "StudyDate=" + evil], ["show" + evil],
                  ["export", os.path.join(here, "out" + evil)], ["import", os.path.join(here, "none" + evil)]):
        for more in ([], ["--json"]):
            result = pacsctl(*words, *more, archive=archive, status=None)
            for text in (result.out, result.err):
                bad = [c for c in text if c != "\n" and (c < " " or "\x7f" <= c <= "\x9f")]
                assert not bad and (more or "\u202e" not in text), (words, more, text)
    assert os.listdir(packs)


@case
def find_into_a_closed_pipe(here):
    archive = small(here)
    import subprocess
    from ctl import PACSCTL
    process = subprocess.run(f"'{PACSCTL}' -A '{archive}' find --json | head -n 1", shell=True, capture_output=True)
    equal(len(process.stdout.splitlines()), 1)


@case
def find_agrees_with_pydicom(here):
    archive = new_archive(here)
    pacsctl("import", "-q", PYDICOM_FILES, archive=archive, status=None)
    hits = find(archive, level="instance")
    assert len(hits) > 60, len(hits)
    out = os.path.join(here, "out")
    pacsctl("export", "-q", "-o", out, "PatientID=*", archive=archive)
    checked = 0
    for hit in hits:
        path = os.path.join(out, hit["path"].split("/", 1)[1] + ".dcm")
        d = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        for keyword in ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Modality"]:
            value = str(d.get(keyword, "") or "")
            if value or not keyword.endswith("InstanceUID"):  # without a study it stands under its SOP class
                equal(hit[keyword], value)
            checked += 1
        if d.get("StudyDate"):
            equal(hit["path"] in [h["path"] for h in find(archive, f"StudyDate={d.StudyDate}", level="instance")], True)
    assert checked > 300, checked


main()
