"""The images that are measured with: CTs of 525 KB as a scanner writes them, made with a seed, and small objects."""
import os

from measure import Missing

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.3.12.2.1107.5.1.4.66045"
SIDE = 512


def _modules():
    try:
        import numpy
        import pydicom
        from pydicom.dataset import FileDataset, FileMetaDataset
    except ImportError as reason:
        raise Missing(f"test images need Debian's python3-pydicom and python3-numpy ({reason})") from reason
    return numpy, pydicom, FileDataset, FileMetaDataset


def phantom(numpy, random, slice_fraction):
    """Hounsfield units of one slice: body, lungs, spine, table, and noise that neighbours share, as after a filter."""
    y, x = numpy.mgrid[-1:1:SIDE * 1j, -1:1:SIDE * 1j]
    image = numpy.full((SIDE, SIDE), -1000.0)

    def ellipse(cx, cy, rx, ry, value):
        image[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = value

    ellipse(0, 0, 0.78, 0.55, -90)
    ellipse(0, 0, 0.74, 0.51, 45)
    lung = 0.22 + 0.1 * numpy.sin(3 * slice_fraction)
    ellipse(-0.36, -0.02, lung, 0.36, -820)
    ellipse(0.36, -0.02, lung, 0.36, -830)
    ellipse(0.05, -0.1, 0.17, 0.2, 60)
    ellipse(0, 0.36, 0.09, 0.09, 400)
    image[numpy.abs(y - 0.62) < 0.01] = -300
    noise = random.normal(0, 1, (SIDE + 2, SIDE + 2))
    noise = (noise[1:-1, 1:-1] * 2 + noise[:-2, 1:-1] + noise[2:, 1:-1] + noise[1:-1, :-2] + noise[1:-1, 2:]) / 2.83
    texture = random.normal(0, 1, (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1)
    inside = image > -950
    return image + noise * numpy.where(inside, 14, 7) + texture * numpy.where(inside, 9, 0)


def _header(dataset, patient, study, series, number):
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate, dataset.StudyTime = "20240305", "101530"
    dataset.AccessionNumber, dataset.Modality, dataset.Manufacturer = f"A{study:08}", "CT", "SIEMENS"
    dataset.StudyDescription, dataset.SeriesDescription = "Thorax", "Lung 1.0 B60f"
    dataset.PatientName, dataset.PatientID = f"Bench^Patient{patient}", f"{1000000 + patient}"
    dataset.PatientBirthDate, dataset.PatientSex = "19500101", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1.{study}", f"{ROOT}.1.{study}.{series}"
    dataset.FrameOfReferenceUID = f"{ROOT}.1.{study}.9"
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", series, number
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-160, -160, number], [1, 0, 0, 0, 1, 0]
    dataset.SliceThickness, dataset.KVP, dataset.PixelSpacing = 1, 120, [0.625, 0.625]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 50, 350
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1


def _write(path, uid, pixels, rows, place):
    _numpy, pydicom, FileDataset, FileMetaDataset = _modules()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, uid
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, uid
    _header(dataset, *place)
    dataset.Rows = dataset.Columns = rows
    dataset.PixelData = pixels
    dataset.save_as(path, write_like_original=False)


def make(to, count, side, parts=1):
    """`count` slices in each of `parts` folders below `to`, one patient a folder and 200 slices a series; their paths.

    The noise of a slice is another's, rolled: making it anew would cost more than all that is measured.
    """
    numpy = _modules()[0]
    random = numpy.random.default_rng(11)
    base = []
    if side == SIDE:
        base = [numpy.clip(phantom(numpy, random, i / 16) + 1024, 0, 4095).astype("<u2") for i in range(16)]
    folders = []
    for part in range(parts):
        path = os.path.join(to, f"{side}-{part}")
        os.makedirs(path)
        folders.append(path)
        for i in range(count):
            if base:
                step = int(random.integers(0, SIDE))
                pixels = numpy.roll(base[i % len(base)], step, axis=0).tobytes()
            else:
                pixels = (1000 + random.integers(0, 16, side * side)).astype("<u2").tobytes()
            uid = f"{ROOT}.2.{side}.{part}.{i}"
            _write(os.path.join(path, f"IM{i:05}"), uid, pixels, side, (part, part, i // 200 + 1, i % 200 + 1))
    return folders
