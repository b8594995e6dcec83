"""What the scripts of this folder share: running pacsctl, making DICOM files and archives, running cases."""
import ctypes
import ctypes.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

try:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian
except ImportError:
    print("pydicom is not installed")
    sys.exit(77)

BIN = os.environ.get("PACSFS_BIN", "build/dev/bin")
PACSCTL = os.path.join(BIN, "pacsctl")
PYDICOM_FILES = os.path.join(os.path.dirname(pydicom.__file__), "data", "test_files")
ROOT_UID = "1.2.826.0.1.3680043.8.498"

CASES = []


def case(function):
    CASES.append(function)
    return function


def main():
    failed = 0
    for function in CASES:
        here = tempfile.mkdtemp(prefix="pacsctl-")
        try:
            function(here)
            print("ok", function.__name__)
        except Exception:
            failed += 1
            print("FAILED", function.__name__)
            print("\n".join(traceback.format_exc().splitlines()[-40:]))
        finally:
            shutil.rmtree(here, ignore_errors=True)
    print(f"{len(CASES)} cases, {failed} failed")
    sys.exit(failed != 0)


class Result:
    def __init__(self, process):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr

    def lines(self):
        return self.out.splitlines()

    def json(self):
        return [json.loads(line) for line in self.lines()]


def pacsctl(*arguments, status=0, archive=None, stdin=None, env=None):
    """Runs it; any other exit status than `status` is a failure that shows all it said."""
    environment = dict(os.environ, LC_ALL="C.UTF-8")
    environment.pop("PACS_ARCHIVE", None)
    environment.update(env or {})
    words = [PACSCTL] + (["-A", archive] if archive else []) + [str(a) for a in arguments]
    binary = isinstance(stdin, bytes)
    process = subprocess.run(words, input=stdin, capture_output=True, env=environment, timeout=240)
    process.stdout = process.stdout.decode(errors="surrogateescape")
    process.stderr = process.stderr.decode(errors="surrogateescape")
    assert not binary or stdin is not None
    result = Result(process)
    if status is not None and result.status != status:
        raise AssertionError(f"{words}: exit {result.status}, not {status}\n{result.out}\n{result.err}")
    assert "Sanitizer" not in result.err and "runtime error" not in result.err, result.err
    return result


def new_archive(here, *options):
    archive = os.path.join(here, "archive")
    pacsctl("init", *options, archive)
    return archive


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def holds(part, whole):
    assert part in whole, f"{part!r} is not in {whole!r}"


def dicom(patient="DOE^JOHN", pid="4711", study=1, series=1, instance=1, date="20240305", modality="CT", rows=4,
          **others):
    """The bytes of a small DICOM file; keywords of `others` are set as they are."""
    d = Dataset()
    d.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    d.SOPInstanceUID = f"{ROOT_UID}.{study}.{series}.{instance}"
    d.StudyInstanceUID = f"{ROOT_UID}.{study}"
    d.SeriesInstanceUID = f"{ROOT_UID}.{study}.{series}"
    d.SpecificCharacterSet = "ISO_IR 192"
    d.PatientName, d.PatientID, d.StudyDate, d.Modality = patient, pid, date, modality
    d.StudyDescription, d.AccessionNumber = "Thorax", f"A{study}"
    d.SeriesNumber, d.InstanceNumber, d.SeriesDescription = series, instance, "Lung"
    d.PatientBirthDate, d.PatientSex = "19700101", "M"
    d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit = rows, 4, 16, 16, 15
    d.SamplesPerPixel, d.PixelRepresentation, d.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    d.PixelData = bytes((i * 37 + instance) % 256 for i in range(8)) * rows
    for keyword, value in others.items():
        setattr(d, keyword, value)
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID
    d.is_little_endian, d.is_implicit_VR = True, False
    out = io.BytesIO()
    pydicom.dcmwrite(out, d, write_like_original=False)
    return out.getvalue()


def write(*path, data=b""):
    path = os.path.join(*path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def libarchive():
    """The library that pacsctl links, to make what Python cannot: 7z, ISO images, zstd."""
    lib = ctypes.CDLL(ctypes.util.find_library("archive") or "libarchive.so.13")
    for name in ("archive_write_new", "archive_entry_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.archive_write_data.restype = ctypes.c_ssize_t
    return lib


def pack(path, members, fmt, filters=()):
    """Writes `members` (name -> bytes) as an archive of a format that libarchive calls `fmt`."""
    lib = libarchive()
    a = ctypes.c_void_p(lib.archive_write_new())
    assert lib.archive_write_set_format_by_name(a, fmt.encode()) == 0, fmt
    for name in filters:
        assert lib.archive_write_add_filter_by_name(a, name.encode()) == 0, name
    assert lib.archive_write_open_filename(a, path.encode()) == 0
    for name, data in members.items():
        entry = ctypes.c_void_p(lib.archive_entry_new())
        lib.archive_entry_set_pathname(entry, name.encode())
        lib.archive_entry_set_size(entry, ctypes.c_longlong(len(data)))
        lib.archive_entry_set_filetype(entry, 0o100000)
        lib.archive_entry_set_perm(entry, 0o644)
        assert lib.archive_write_header(a, entry) == 0
        assert lib.archive_write_data(a, data, ctypes.c_size_t(len(data))) == len(data)
        lib.archive_entry_free(entry)
    assert lib.archive_write_close(a) == 0
    lib.archive_write_free(a)
    return path


def verdicts(result):
    """JSON lines of import as {verdict: [paths]}, without the summary."""
    by = {}
    for line in result.json():
        if line["verdict"] != "summary":
            by.setdefault(line["verdict"], []).append(line["path"])
    return by


def summary(result):
    return result.json()[-1]
