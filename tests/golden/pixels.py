"""Images shown by golden_render, compared with PS3.3 C.11 computed here by pydicom and numpy, and with DCMTK's dcmj2pnm.

    pixels.py RENDER [FILE...]

Without files: pydicom's own test files and, where PACSFS_CORPUS names a folder, all that lies there. Samples of lossless
syntaxes may differ by one grey level; lossy ones, decoded by another library than ours, by what their IDCT and chroma
upsampling differ. What we hold to be right against a reference is in EXCEPTIONS, with the sentence that says so.
"""
import os
import subprocess
import sys
import tempfile
import warnings
import zlib

try:
    import numpy
    import pydicom
    from pydicom.data import get_testdata_file
    import decoders
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = 0

RGB_LABEL = "PS3.5 8.2.1: 'The Pixel Data characteristics included in the JPEG Interchange Format shall be used to " \
    "decode the compressed data stream': it is Y Cb Cr (subsampled, JFIF); dcmj2pnm trusts the label RGB"
WORDS = "PS3.5 7.3: big endian is 'the most significant byte ... encoded first' in a 32-bit number; DCMTK turns the two " \
    "words of an OW one by one; all writers seen, and pydicom, turn the cell"
# Where no single file but a rule is meant:
#   PS3.3 C.11.1.1.2, 'Output units = m*SV + b', holds for real m: DCMTK takes the range in whole numbers, so that its +Wm
#   is not compared where slope or intercept are no whole numbers.
#   PS3.3 C.7.5.1.1.2: padding pixels are no part of the image; +Wm counts them and is not compared.
#   PS3.3 C.11.2.1.2.1 (LINEAR) is made for whole numbers: 0.5 and 1 are steps of one. Float samples, and widths below 1,
#   which it forbids, are shown by C.11.2.1.3.2 (LINEAR_EXACT): a width of 1 for values from 0 to 1 would be a threshold.

# File name -> (what differs: "numpy", "dcmtk", "both", or "refused" where we show nothing; why).
EXCEPTIONS = {
    "SC_rgb_jpeg_lossy_gdcm.dcm": ("dcmtk", RGB_LABEL),
    "rgb-labelled-jpeg-extended.dcm": ("dcmtk", RGB_LABEL),
    "rtdose_expb.dcm": ("dcmtk", WORDS),
    "rtdose_expb_1frame.dcm": ("dcmtk", WORDS),
    "1.2.840.10008.1.2.2_rtdose-32-15f.dcm": ("dcmtk", WORDS),
    "MR_truncated.dcm": ("refused", "pixel data are 62 bytes short"),
    "jpeg-140f.dcm": ("refused", "the last tile is 55 x 121 in an image of 240 x 240: PS3.5 8.2.1, 'Rows, Columns, etc.) "
                      "shall contain values which are consistent with the characteristics of the compressed data stream'"),
    "JPEG2000-embedded-sequence-delimiter.dcm": ("refused", "its SIZ marker says 3,722,445,056 columns for 256"),
    "3gb-bulk-data-truncated.dcm": ("refused", "a frame of 3 GiB is beyond PIXEL_FRAME_MAX"),
}
EXCEPTIONS.update({"generated_encapsulated_%s_bot_%s.dcm" % (table, frames): ("refused", "its fragments are no JPEG 2000")
                   for table in ("defined", "empty") for frames in ("1_to_1", "2_to_1", "2_to_2")})

OUR_SYNTAXES = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.1.99",
                "1.2.840.10008.1.2.2", "1.2.840.113619.5.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"}


def read_png(path):
    """The samples of a PNG as we write it; everything that a strict reader would check is checked."""
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "signature"
    at, idat, header = 8, b"", None
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        crc = int.from_bytes(data[at + 8 + size:at + 12 + size], "big")
        assert crc == zlib.crc32(kind + body), "CRC of " + kind.decode()
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            idat += body
        at += 12 + size
    assert kind == b"IEND" and at == len(data), "end"
    columns, rows = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    assert header[8] == 8 and header[9] in (0, 2), "format"
    samples = 3 if header[9] else 1
    lines = numpy.frombuffer(zlib.decompress(idat), numpy.uint8).reshape(rows, 1 + columns * samples)
    assert not lines[:, 0].any(), "filter"
    return lines[:, 1:].reshape((rows, columns, 3) if samples == 3 else (rows, columns))


# The reference: stored values of a frame.

def unpack_rle(data, count):
    out, at = bytearray(), 0
    while len(out) < count and at < len(data):
        control = data[at]
        at += 1
        if control < 128:
            out += data[at:at + control + 1]
            at += control + 1
        elif control > 128:
            out += data[at:at + 1] * (257 - control)
            at += 1
    return bytes(out[:count])


def fragments(value):
    """(basic offset table, [(offset from the first fragment, bytes)])."""
    at, items = 0, []
    while at + 8 <= len(value):
        group, element = int.from_bytes(value[at:at + 2], "little"), int.from_bytes(value[at + 2:at + 4], "little")
        size = int.from_bytes(value[at + 4:at + 8], "little")
        if (group, element) != (0xFFFE, 0xE000):
            break
        items.append((at, value[at + 8:at + 8 + size]))
        at += 8 + size
    table = numpy.frombuffer(items[0][1], "<u4")
    base = 8 + len(items[0][1])
    return table, [(offset - base, body) for offset, body in items[1:]]


def encoded_frame(ds, number, frames):
    table, items = fragments(ds.PixelData)
    if frames == 1:
        return b"".join(body for _, body in items)
    if len(table) == frames:
        begin = table[number]
        end = table[number + 1] if number + 1 < frames else 1 << 62
        return b"".join(body for offset, body in items if begin <= offset < end)
    items = [item for item in items if item[1]]
    if len(items) == frames:
        return items[number][1]
    starts = [i for i, (_, body) in enumerate(items) if body[:2] in (b"\xff\xd8", b"\xff\x4f", b"\xff\x0a")] + [len(items)]
    return b"".join(body for _, body in items[starts[number]:starts[number + 1]])


def unpack_native(ds, data, first_bit):
    """Cells from little-endian bytes, planes and 4:2:2 resolved: rows x columns x samples."""
    rows, columns, samples, bits = ds.Rows, ds.Columns, ds.get("SamplesPerPixel", 1), ds.BitsAllocated
    pixels = rows * columns
    subsampled = ds.get("PhotometricInterpretation") in ("YBR_FULL_422", "YBR_PARTIAL_422") and \
        len(data) * 8 < first_bit + pixels * samples * bits
    count = pixels * 2 if subsampled else pixels * samples
    if bits in (8, 16, 32):
        cells = numpy.frombuffer(data, "<u%d" % (bits // 8), count, first_bit // 8)
    else:
        raw = numpy.unpackbits(numpy.frombuffer(data, numpy.uint8), bitorder="little")[first_bit:]
        raw = raw[:count * bits].reshape(count, bits).astype(numpy.uint32)
        cells = (raw << numpy.arange(bits, dtype=numpy.uint32)).sum(1)
    if subsampled:
        quads = cells.reshape(-1, 4)
        cells = quads[:, [0, 2, 3, 1, 2, 3]].reshape(rows, columns, 3)
    elif samples > 1 and ds.get("PlanarConfiguration", 0) == 1:
        cells = cells.reshape(samples, rows, columns).transpose(1, 2, 0)
    return cells.reshape(rows, columns, samples).astype(numpy.uint64)


def rle_cells(ds, data):
    rows, columns, samples, bits = ds.Rows, ds.Columns, ds.get("SamplesPerPixel", 1), ds.BitsAllocated
    header = numpy.frombuffer(data[:64], "<u4")
    ends = list(header[2:header[0] + 1]) + [len(data)]
    if bits == 1:
        packed = unpack_rle(data[header[1]:], (rows * columns + 7) // 8)
        return unpack_native(ds, packed, 0)
    planes = [numpy.frombuffer(unpack_rle(data[header[i + 1]:ends[i]], rows * columns), numpy.uint8)
              for i in range(header[0])]
    size = bits // 8
    cells = numpy.zeros((rows * columns, samples), numpy.uint64)
    for i, plane in enumerate(planes):
        cells[:, i // size] |= plane.astype(numpy.uint64) << numpy.uint64(8 * (size - 1 - i % size))
    return cells.reshape(rows, columns, samples)


def float_frame(ds, number):
    key, kind = (0x7FE00008, "f4") if 0x7FE00008 in ds else (0x7FE00009, "f8")
    order = "<" if ds.is_little_endian else ">"
    values = numpy.frombuffer(ds[key].value, order + kind)
    pixels = ds.Rows * ds.Columns
    return values[number * pixels:(number + 1) * pixels].reshape(ds.Rows, ds.Columns).astype(float)


def cells_of(ds, syntax, number, frames):
    """Cells before mask and sign, and what three of them mean. None: decoded by dcmj2pnm only."""
    photometric = ds.get("PhotometricInterpretation", "")
    encapsulated = ds["PixelData"].is_undefined_length
    if syntax == "1.2.840.10008.1.2.5":
        return rle_cells(ds, encoded_frame(ds, number, frames)), photometric
    if syntax == "1.2.840.10008.1.2.8.1":
        return unpack_native(ds, zlib.decompress(encoded_frame(ds, number, frames), -15), 0), photometric
    if syntax in decoders.CODED:
        data = encoded_frame(ds, number, frames)
        cells = decoders.cells(syntax, data, ds)
        return None if cells is None else cells.astype(numpy.uint64), decoders.photometric(syntax, data, photometric)
    if encapsulated:
        return unpack_native(ds, encoded_frame(ds, number, frames), 0), photometric
    data, bits = ds.PixelData, ds.BitsAllocated
    cells = ds.Rows * ds.Columns * ds.get("SamplesPerPixel", 1)
    if photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") and len(data) < cells * frames * bits // 8:
        cells = cells // 3 * 2
    if syntax in ("1.2.840.10008.1.2.2", "1.2.840.113619.5.2"):
        unit = bits // 8 if bits in (16, 32) else 2 if ds["PixelData"].VR == "OW" else 1
        data = numpy.frombuffer(data[:len(data) // unit * unit], ">u%d" % unit).astype("<u%d" % unit).tobytes()
    first = number * cells * bits
    need = (first + cells * bits + 7) // 8
    if need > len(data):
        raise ValueError("%d bytes are missing" % (need - len(data)))
    return unpack_native(ds, data[first // 8:need], first % 8), photometric


# The reference: from stored values to grey levels (PS3.3 C.11) or RGB.

def lut_words(item, entries):
    data = item.get("LUTData") if hasattr(item, "LUTData") else item
    if isinstance(data, bytes):
        return numpy.frombuffer(data, numpy.uint8 if len(data) < 2 * entries else "<u2")[:entries].astype(float)
    return numpy.asarray(data, dtype=float)[:entries] % 65536


def apply_lut(item, values, signed):
    entries, first, bits = [int(v) for v in item.LUTDescriptor]
    entries = entries or 65536
    first = (first + 32768) % 65536 - 32768 if signed else first % 65536
    table = lut_words(item, entries)
    return table[numpy.clip(values - first, 0, len(table) - 1).astype(int)], bits


def functional(ds, number, sequence, name):
    for holder in (ds.get("PerFrameFunctionalGroupsSequence", []) or [])[number:number + 1], \
            ds.get("SharedFunctionalGroupsSequence", []) or []:
        for item in holder[:1]:
            inner = item.get(sequence)
            if inner and name in inner[0] and inner[0].get(name) is not None:
                return inner[0]
    return ds


def first_value(value):
    if value is None or value == "":
        return None
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        return float(value[0]) if len(value) else None
    return float(value)


def window(values, center, width, function):
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2: 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + numpy.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return numpy.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return (values > center - 0.5).astype(float)
    return numpy.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def padding_mask(ds, stored):
    first = ds.get("PixelPaddingValue", ds.get("FloatPixelPaddingValue", ds.get("DoubleFloatPixelPaddingValue")))
    if first is None or first == "":
        return numpy.zeros(stored.shape, bool)
    last = ds.get("PixelPaddingRangeLimit", ds.get("FloatPixelPaddingRangeLimit", first))
    if ds.get("BitsAllocated") == 16 and ds.get("PixelRepresentation") == 1:
        first, last = ((v + 32768) % 65536 - 32768 for v in (first, last))
    return (stored >= min(first, last)) & (stored <= max(first, last))


def reference_grey(ds, stored, number, signed):
    values = stored.astype(float)
    rescale = functional(ds, number, "PixelValueTransformationSequence", "RescaleSlope")
    slope, intercept = first_value(rescale.get("RescaleSlope")), first_value(rescale.get("RescaleIntercept"))
    if ds.get("ModalityLUTSequence") and 0x7FE00010 in ds:
        values = apply_lut(ds.ModalityLUTSequence[0], values, signed)[0]
        signed = False
    else:
        values = values * (1 if slope is None else slope) + (0 if intercept is None else intercept)
        signed = signed or (intercept or 0) < 0
    shown = functional(ds, number, "FrameVOILUTSequence", "WindowCenter")
    center, width = first_value(shown.get("WindowCenter")), first_value(shown.get("WindowWidth"))
    if ds.get("VOILUTSequence") and 0x7FE00010 in ds:
        out, bits = apply_lut(ds.VOILUTSequence[0], numpy.floor(values + 0.5), signed)
        grey = out / (2 ** bits - 1)
    elif center is not None and width and width > 0:
        function = shown.get("VOILUTFunction", "LINEAR")
        if function == "LINEAR" and (width < 1 or 0x7FE00010 not in ds):
            function = "LINEAR_EXACT"
        grey = window(values, center, width, function)
    elif ds.get("BitsStored") == 1:
        grey = values
    else:
        kept = values[~padding_mask(ds, stored) & numpy.isfinite(values)]
        least, most = (kept.min(), kept.max()) if kept.size else (0, 0)
        grey = numpy.clip((values - least) / (most - least), 0, 1) if most > least else numpy.zeros(values.shape)
    grey = numpy.nan_to_num(numpy.clip(grey, 0, 1)) * 255
    if ds.get("PhotometricInterpretation") == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        grey = 255 - grey
    return grey


def ybr_rgb(values, partial):
    y, cb, cr = values[..., 0], values[..., 1] - 128, values[..., 2] - 128
    if partial:
        y, cb, cr = (y - 16) * 255 / 219, cb * 255 / 224, cr * 255 / 224
    return numpy.clip(numpy.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1), 0, 255)


def palette_tables(ds):
    for colour in ("Red", "Green", "Blue"):
        entries, first, _ = [int(v) for v in ds.get(colour + "PaletteColorLookupTableDescriptor")]
        data = ds.get(colour + "PaletteColorLookupTableData")
        if data is None:
            data = pydicom.pixel_data_handlers.util._expand_segmented_lut(
                numpy.frombuffer(ds.get("Segmented" + colour + "PaletteColorLookupTableData"), "<u2").tolist(), "H")
        yield first, lut_words(data, entries or 65536)


def reference_palette(ds, stored, signed):
    planes, wide = [], False
    for first, table in palette_tables(ds):
        first = (first + 32768) % 65536 - 32768 if signed else first % 65536
        planes.append(table[numpy.clip(stored - first, 0, len(table) - 1).astype(int)])
        wide = wide or table.max() > 255
    rgb = numpy.stack(planes, -1)
    return rgb // 256 if wide else rgb


def reference(ds, syntax, number, frames):
    if 0x7FE00010 not in ds:
        return reference_grey(ds, float_frame(ds, number), number, True)
    cells, photometric = cells_of(ds, syntax, number, frames)
    if cells is None:
        return None
    allocated = ds.BitsAllocated
    stored_bits = ds.get("BitsStored", allocated) or allocated
    shift = max(ds.get("HighBit", stored_bits - 1) + 1 - stored_bits, 0)
    values = (cells >> numpy.uint64(shift)) & numpy.uint64((1 << stored_bits) - 1)
    values = values.astype(numpy.int64)
    signed = ds.get("PixelRepresentation", 0) == 1
    if values.shape[2] == 3:
        rgb = values * 255 / ((1 << stored_bits) - 1)
        if photometric in ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422"):
            rgb = ybr_rgb(rgb, "PARTIAL" in photometric)
        return rgb
    if signed:
        values = numpy.where(values >= 1 << (stored_bits - 1), values - (1 << stored_bits), values)
    values = values[..., 0]
    if photometric == "PALETTE COLOR":
        return reference_palette(ds, values, signed)
    return reference_grey(ds, values, number, signed)


# Comparing.

def read_pnm(path):
    data = open(path, "rb").read()
    kind, size, most, body = data.split(b"\n", 3)
    columns, rows = (int(v) for v in size.split())
    assert most == b"255"
    values = numpy.frombuffer(body, numpy.uint8)
    return values.reshape((rows, columns, 3) if kind == b"P6" else (rows, columns)).astype(float)


def dcmtk_options(ds, number):
    """What dcmj2pnm shows as we do: the first window, else the frame's range; None: it has no such option."""
    if ds.get("SamplesPerPixel", 1) == 3 or ds.get("PhotometricInterpretation") == "PALETTE COLOR":
        return []
    if functional(ds, number, "PixelValueTransformationSequence", "RescaleSlope") is not ds:
        return None  # DCMTK does not look into functional groups
    shown = functional(ds, number, "FrameVOILUTSequence", "WindowCenter")
    if ds.get("VOILUTSequence"):
        return ["+Wl", "1"]
    if first_value(shown.get("WindowCenter")) is not None and first_value(shown.get("WindowWidth")):
        if shown.get("VOILUTFunction", "LINEAR") != "LINEAR":
            return None
        if shown is ds:
            return ["+Wi", "1"]
        return ["+Ww", str(first_value(shown.WindowCenter)), str(first_value(shown.WindowWidth))]
    if ds.get("PixelPaddingValue") is not None:
        return None  # its range is that of all values, padding too
    if any((first_value(ds.get(name)) or 0) % 1 for name in ("RescaleSlope", "RescaleIntercept")):
        return None
    return ["+Wm"]


def dcmtk_picture(path, ds, number, folder):
    options = dcmtk_options(ds, number)
    if options is None:
        return None
    out = os.path.join(folder, "dcmtk.pnm")
    result = subprocess.run(["dcmj2pnm", "-O", "+F", str(number + 1)] + options + [path, out], capture_output=True)
    if result.returncode or not os.path.exists(out):
        return None
    picture = read_pnm(out)
    os.remove(out)
    return picture


def frames_to_show(frames):
    return sorted({0, frames // 2, frames - 1})


class Tally:
    def __init__(self):
        self.shown = self.numpy = self.dcmtk = self.none = self.refused = 0
        self.failures = []


def difference(ours, theirs):
    if ours.shape != theirs.shape:
        return 999, 999
    apart = numpy.abs(ours.astype(float) - theirs)
    return apart.max(), apart.mean()


def compare_frame(path, ds, syntax, number, frames, ours, folder, tally, has_dcmtk):
    excepted = EXCEPTIONS.get(os.path.basename(path), ("", ""))[0]
    if excepted not in ("numpy", "both"):
        wanted = reference(ds, syntax, number, frames)
        if wanted is not None:
            most, mean = difference(ours, wanted)
            tally.numpy += 1
            if most > 1.01:
                tally.failures.append("%s frame %d: off numpy by at most %.1f, %.2f on average"
                                      % (path, number + 1, most, mean))
    if has_dcmtk and excepted not in ("dcmtk", "both"):
        wanted = dcmtk_picture(path, ds, number, folder)
        if wanted is not None:
            most, mean = difference(ours, wanted)
            tally.dcmtk += 1
            if most > 2:
                tally.failures.append("%s frame %d: off dcmj2pnm by at most %.1f, %.2f on average"
                                      % (path, number + 1, most, mean))


def compare(render, path, folder, tally, has_dcmtk):
    name = os.path.basename(path)
    try:
        ds = pydicom.dcmread(path, force=True)
        has_pixels = any(tag in ds for tag in (0x7FE00008, 0x7FE00009, 0x7FE00010))
        syntax = str(getattr(ds, "file_meta", {}).get("TransferSyntaxUID", ""))
        frames = max(int(ds.get("NumberOfFrames", 1) or 1), 1)
        rows = ds.get("Rows")
    except Exception:
        return
    if not has_pixels or not rows:
        return
    if not syntax:
        syntax = "1.2.840.10008.1.2" if ds.is_implicit_VR else \
            "1.2.840.10008.1.2.1" if ds.is_little_endian else "1.2.840.10008.1.2.2"
    numbers = frames_to_show(frames)
    prefix = os.path.join(folder, "ours")
    result = subprocess.run([render, path, prefix] + [str(n + 1) for n in numbers], capture_output=True, text=True)
    if result.returncode == 3:
        tally.none += 1
        empty = 0x7FE00010 in ds and not ds.PixelData
        if syntax in OUR_SYNTAXES | decoders.CODED and not empty and name not in EXCEPTIONS:
            tally.failures.append("%s: not shown" % path)
        return
    if result.returncode:
        tally.refused += 1
        if name not in EXCEPTIONS:
            tally.failures.append("%s: %s" % (path, result.stderr.strip()[-300:] or result.returncode))
        return
    for number in numbers:
        png = "%s.%d.png" % (prefix, number + 1)
        ours = read_png(png)
        os.remove(png)
        tally.shown += 1
        try:
            compare_frame(path, ds, syntax, number, frames, ours, folder, tally, has_dcmtk)
        except Exception as problem:
            tally.failures.append("%s frame %d: the reference fails: %r" % (path, number + 1, problem))


def default_files():
    folders = [os.path.dirname(get_testdata_file("CT_small.dcm"))]
    if os.environ.get("PACSFS_CORPUS"):
        folders.append(os.environ["PACSFS_CORPUS"])
    for folder in folders:
        for where, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                if "DICOMDIR" not in name and not name.endswith((".json", ".txt", ".hl7", ".md")):
                    yield os.path.join(where, name)


def main():
    render, files = sys.argv[1], sys.argv[2:] or list(default_files())
    tally = Tally()
    try:
        subprocess.run(["dcmj2pnm", "--version"], capture_output=True)
        has_dcmtk = True
    except OSError:
        has_dcmtk = False
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            compare(render, path, folder, tally, has_dcmtk)
    for failure in tally.failures:
        print(failure)
    print("%d files looked at, %d frames shown, %d compared with numpy, %d with dcmj2pnm; %d files have no PNG, "
          "%d refused as damaged; %d failures" % (len(files), tally.shown, tally.numpy, tally.dcmtk, tally.none,
                                                   tally.refused, len(tally.failures)))
    if not tally.shown:
        print("nothing was shown")
        return 1
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
