"""Frames decoded by other programs than ours: DCMTK's dcmdjpeg and dcmdjpls, OpenJPEG's opj_decompress, libjxl's djxl,
libjpeg-turbo's djpeg.

    cells(syntax, data, ds) -> rows x columns x samples as they stand in the stream, or None: nobody here reads it

`data` is one frame's stream, `ds` describes the image. What three components mean says photometric().
"""
import os
import subprocess
import tempfile

import numpy
import pydicom

PS3 = "1.2.840.10008.1.2"
JPEG_LOSSLESS = {PS3 + ".4.57", PS3 + ".4.70"}
JPEG_LOSSY = {PS3 + ".4.%d" % n for n in (50, 51, 52, 53, 54, 55, 56)}
JPEG_ARITHMETIC = {PS3 + ".4.%d" % n for n in (52, 54, 56)}
JPEG_LS = {PS3 + ".4.80", PS3 + ".4.81"}
JPEG_2000 = {PS3 + ".4.%d" % n for n in (90, 91, 92, 93, 201, 202, 203)}
JPEG_XL = {PS3 + ".4.%d" % n for n in (110, 111, 112)}


def run(command, out):
    try:
        result = subprocess.run(command, capture_output=True)
    except OSError:
        return False
    return result.returncode == 0 and os.path.exists(out)


def by_dcmtk(syntax, data, ds, folder):
    """Made native by DCMTK, without colour conversion."""
    single = pydicom.Dataset()
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                 "PhotometricInterpretation", "PlanarConfiguration"):
        if name in ds:
            setattr(single, name, ds.get(name))
    single.SamplesPerPixel = ds.get("SamplesPerPixel", 1)
    single.SOPClassUID, single.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    single.PixelData = pydicom.encaps.encapsulate([data])
    single["PixelData"].VR = "OB"
    single["PixelData"].is_undefined_length = True
    single.is_little_endian, single.is_implicit_VR = True, False
    single.file_meta = pydicom.dataset.FileMetaDataset()
    single.file_meta.TransferSyntaxUID = syntax
    encoded, decoded = os.path.join(folder, "encoded.dcm"), os.path.join(folder, "decoded.dcm")
    single.save_as(encoded, write_like_original=False)
    tool = ["dcmdjpls"] if syntax in JPEG_LS else ["dcmdjpeg", "+cn", "+px"]
    if not run(tool + [encoded, decoded], decoded):
        return None
    native = pydicom.dcmread(decoded)
    kind = "<u%d" % (native.BitsAllocated // 8)
    values = numpy.frombuffer(native.PixelData, kind, native.Rows * native.Columns * native.SamplesPerPixel)
    if native.SamplesPerPixel == 3 and native.get("PlanarConfiguration") == 1:
        return values.reshape(3, native.Rows, native.Columns).transpose(1, 2, 0)
    return values.reshape(native.Rows, native.Columns, native.SamplesPerPixel)


def by_openjpeg(_syntax, data, ds, folder):
    """The codestream alone: what boxes say of colour would be applied."""
    begin = data.index(b"\xff\x4f\xff\x51")
    stream, raw = os.path.join(folder, "frame.j2k"), os.path.join(folder, "frame.rawl")
    with open(stream, "wb") as file:
        file.write(data[begin:])
    if not run(["opj_decompress", "-i", stream, "-o", raw], raw):
        return None
    samples = ds.get("SamplesPerPixel", 1)
    precision = [(data[begin + 42 + 3 * i] & 0x7F) + 1 for i in range(samples)][0]
    values = numpy.fromfile(raw, "u1" if precision <= 8 else "<u2" if precision <= 16 else "<u4")
    values = values[:ds.Rows * ds.Columns * samples]
    values = values.reshape(samples, ds.Rows, ds.Columns).transpose(1, 2, 0).astype(numpy.uint64)
    if ds.get("PixelRepresentation") == 1 and precision < ds.BitsStored: # its sign stands at its own top
        values |= numpy.uint64(1 << 32) - ((values >> numpy.uint64(precision - 1) & numpy.uint64(1)) << numpy.uint64(precision))
    return values


def read_pnm(path):
    with open(path, "rb") as file:
        data = file.read()
    kind, size, most, body = data.split(b"\n", 3)
    columns, rows = (int(v) for v in size.split())
    values = numpy.frombuffer(body, "u1" if int(most) < 256 else ">u2")
    return values.reshape(rows, columns, 3 if kind == b"P6" else 1)


def by_libjxl(_syntax, data, ds, folder):
    """djxl 0.7 writes samples of more than 8 bits scaled to 65,535, whatever its header says."""
    stream, out = os.path.join(folder, "frame.jxl"), os.path.join(folder, "frame.ppm")
    with open(stream, "wb") as file:
        file.write(data)
    if not run(["djxl", stream, out], out):
        return None
    values = read_pnm(out)
    most = (1 << ds.BitsStored) - 1
    return values if most <= 255 else (values.astype(numpy.uint64) * most + 32767) // 65535


def by_turbo(_syntax, data, ds, folder):
    """djpeg reads what is arithmetic-coded; colours it would convert."""
    stream, out = os.path.join(folder, "frame.jpg"), os.path.join(folder, "frame.pgm")
    with open(stream, "wb") as file:
        file.write(data)
    grey = ds.get("SamplesPerPixel", 1) == 1
    return read_pnm(out) if grey and run(["djpeg", "-pnm", "-outfile", out, stream], out) else None


DECODERS = ((JPEG_ARITHMETIC, by_turbo), (JPEG_LOSSLESS | JPEG_LOSSY | JPEG_LS, by_dcmtk), (JPEG_2000, by_openjpeg), (JPEG_XL, by_libjxl))
CODED = frozenset().union(*(syntaxes for syntaxes, _ in DECODERS))


def cells(syntax, data, ds):
    for syntaxes, decoder in DECODERS:
        if syntax in syntaxes:
            with tempfile.TemporaryDirectory() as folder:
                return decoder(syntax, data, ds, folder)
    return None


# What three components of a stream are, where the stream says it.

def jpeg_photometric(data, stated):
    """ITU-T T.871 (JFIF), T.872 (Adobe), component names, subsampling."""
    at, jfif, adobe = 2, False, None
    while at + 4 < len(data):
        marker, size = data[at + 1], int.from_bytes(data[at + 2:at + 4], "big")
        body = data[at + 4:at + 2 + size]
        if marker == 0xE0 and body[:4] == b"JFIF":
            jfif = True
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif marker in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
            ids, factors = body[6::3], body[7::3]
            if ids[:3] == b"RGB" or adobe == 0:
                return "RGB"
            return "YBR_FULL" if adobe == 1 or jfif or factors[0] != factors[1] else stated
        at += 2 + size
    return stated


def jpeg2000_photometric(data, stated):
    """ISO/IEC 15444-1 A.6.1: the multiple component transformation, which decoders undo."""
    at = data.index(b"\xff\x4f\xff\x51") + 2
    while data[at:at + 2] != b"\xff\x52":
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return "RGB" if data[at + 8] == 1 else stated


def photometric(syntax, data, stated):
    if stated not in ("RGB",) and not stated.startswith("YBR"):
        return stated
    if syntax in JPEG_LOSSY:
        return jpeg_photometric(data, stated)
    if syntax in JPEG_2000:
        return jpeg2000_photometric(data, stated)
    return "RGB" if syntax in JPEG_XL else stated
