"""Transfer syntax x sample layout: what our decoders make of what other programs encode.

    table.py RENDER [all | ROW...]

Without `all` or rows every third cell is tried, another third in each row, which takes a build's time.

For each layout a picture is computed; each row encodes it, by a tool or by hand. A lossless row has to give back every
sample; of a lossy one each sample has to be within two of what another decoder (decoders.py) makes of the same stream.
Cells: '=' equal, a number: the farthest sample, '.' the encoder does not make it, '?' no other decoder reads it, 'X'
wrong, '!' wrong by the encoder (KNOWN). A row whose tool is not installed says so. Status: 0 all right, 1 something is
wrong, 77 nothing to do it with.
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
    from pydicom._uid_dict import UID_dictionary
    from pydicom.encaps import encapsulate, generate_pixel_data_frame
    import decoders
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = 0

# pydicom writes no syntax that it does not know.
for number in ("8.1", "4.110", "4.111", "4.112", "4.201", "4.202", "4.203"):
    UID_dictionary.setdefault("1.2.840.10008.1.2." + number, (number, "Transfer Syntax", "", "", number))

ROWS, COLUMNS = 48, 64
PS3 = "1.2.840.10008.1.2"
APART = 2 # the most that a sample of a lossy stream may be off another decoder's


class Layout:
    def __init__(self, name, photometric, allocated, stored=None, high=None, signed=0, planar=0, real=None):
        self.name, self.photometric, self.allocated, self.signed = name, photometric, allocated, signed
        self.stored = stored or allocated
        self.high = self.stored - 1 if high is None else high
        self.planar, self.real = planar, real
        self.samples = 3 if photometric in ("RGB", "YBR_FULL", "YBR_FULL_422") else 1

    def values(self):
        """The stored values: rows x columns x samples, smooth with a little noise, from end to end of their range."""
        noise = numpy.random.default_rng(7)
        y, x = numpy.mgrid[0:ROWS, 0:COLUMNS]
        planes = [(numpy.sin(x / 9 + c) + numpy.cos(y / 7 - c)) / 4 + 0.5 + noise.normal(0, 0.01, x.shape)
                  for c in range(self.samples)]
        picture = numpy.clip(numpy.stack(planes, -1), 0, 1)
        picture[0, 0], picture[0, 1] = 0, 1
        if self.photometric == "YBR_FULL_422":
            picture[:, 1::2, 1:] = picture[:, 0::2, 1:]
        if self.real:
            return (picture * 1000 - 300).astype(self.real)
        scaled = numpy.round(picture * ((1 << self.stored) - 1)).astype(numpy.int64)
        return scaled - (1 << (self.stored - 1)) if self.signed else scaled

    def bits(self):
        """The values as unsigned numbers of `stored` bits."""
        return self.values() & ((1 << self.stored) - 1)

    def native(self):
        """Cells, with overlay bits where some are free, as they stand in Pixel Data."""
        if self.real:
            return self.values().tobytes()
        cells = self.bits() << (self.high + 1 - self.stored)
        free = ((1 << self.allocated) - 1) & ~(((1 << self.stored) - 1) << (self.high + 1 - self.stored))
        if self.name.endswith("-overlay"):
            cells |= free & -(numpy.arange(cells.size).reshape(cells.shape) % 2)
        if self.allocated == 1:
            return numpy.packbits(cells.astype(numpy.uint8), bitorder="little").tobytes()
        if self.allocated == 12:
            low, high = cells.reshape(-1, 2).T
            packed = numpy.stack([low & 255, low >> 8 | (high & 15) << 4, high >> 4], -1)
            return packed.astype(numpy.uint8).tobytes()
        if self.photometric == "YBR_FULL_422":
            pairs = cells.reshape(-1, 2, 3)
            cells = numpy.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], -1)
        elif self.planar:
            cells = cells.transpose(2, 0, 1)
        return cells.astype("<u%d" % (self.allocated // 8)).tobytes()

    def dataset(self):
        ds = pydicom.Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.4", "1.2.5"
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = self.samples, self.photometric, ROWS, COLUMNS
        if self.samples == 3:
            ds.PlanarConfiguration = self.planar
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = self.allocated, self.stored, self.high, self.signed
        if self.photometric == "PALETTE COLOR":
            for colour in ("Red", "Green", "Blue"):
                setattr(ds, colour + "PaletteColorLookupTableDescriptor", [256, 0, 16])
                setattr(ds, colour + "PaletteColorLookupTableData", (numpy.arange(256, dtype="<u2") * 257).tobytes())
        data = self.native()
        key = {"<f4": "FloatPixelData", "<f8": "DoubleFloatPixelData"}.get(self.real, "PixelData")
        setattr(ds, key, data + b"\0" * (len(data) % 2))
        if not self.real:
            ds["PixelData"].VR = "OW" if self.allocated != 8 else "OB"
        ds.is_little_endian, ds.is_implicit_VR = True, False
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = PS3 + ".1"
        return ds


LAYOUTS = [
    Layout("1", "MONOCHROME2", 1), Layout("8", "MONOCHROME2", 8), Layout("8s", "MONOCHROME2", 8, signed=1),
    Layout("10", "MONOCHROME2", 16, 10), Layout("12", "MONOCHROME2", 16, 12), Layout("12packed", "MONOCHROME2", 12),
    Layout("12s", "MONOCHROME1", 16, 12, signed=1), Layout("12-overlay", "MONOCHROME2", 16, 12),
    Layout("12high", "MONOCHROME2", 16, 12, 15), Layout("14", "MONOCHROME2", 16, 14), Layout("16", "MONOCHROME2", 16),
    Layout("16s", "MONOCHROME2", 16, signed=1), Layout("32", "MONOCHROME2", 32),
    Layout("float", "MONOCHROME2", 32, real="<f4"), Layout("double", "MONOCHROME2", 64, real="<f8"),
    Layout("pal8", "PALETTE COLOR", 8), Layout("pal16", "PALETTE COLOR", 16), Layout("rgb8", "RGB", 8),
    Layout("rgb8p", "RGB", 8, planar=1), Layout("rgb16", "RGB", 16), Layout("ybr8", "YBR_FULL", 8),
    Layout("ybr422", "YBR_FULL_422", 8),
]


# Encoders: each takes the layout, the native file and a folder, and gives a file or None.

class NotInstalled(Exception):
    pass


def run(command, out):
    try:
        result = subprocess.run(command, capture_output=True, timeout=60)
    except OSError as reason:
        raise NotInstalled(command[0]) from reason
    return out if result.returncode == 0 and os.path.exists(out) else None


def tool(*command):
    """A program that turns a DICOM file into another."""
    def encode(_layout, native, folder, _syntax):
        out = os.path.join(folder, "encoded.dcm")
        return run([*command, native, out], out)
    return encode


def wrapped(make):
    """A stream made from the picture, put into fragments here: two, and an empty one before and behind them."""
    def encode(layout, _native, folder, syntax):
        stream = None if layout.real else make(layout, folder)
        if stream is None:
            return None
        ds = layout.dataset()
        half = len(stream) // 4 * 2
        ds.PixelData = encapsulate([stream], has_bot=False)
        if len(stream) > 64:
            table = ds.PixelData[:8]
            items = [b"", stream[:half], stream[half:] + b"\0" * (len(stream) % 2), b""]
            ds.PixelData = table + b"".join(b"\xfe\xff\x00\xe0" + len(i).to_bytes(4, "little") + i for i in items) + \
                b"\xfe\xff\xdd\xe0\0\0\0\0"
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = syntax
        out = os.path.join(folder, "encoded.dcm")
        ds.save_as(out, write_like_original=False)
        return out
    return encode


def uncompressed(layout, _folder):
    return layout.native()


def deflated(layout, _folder):
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(layout.native()) + squeeze.flush()


def by_file(command, suffix, depths=(8, 10, 12, 14, 16), grey=False):
    """A program that turns a PNM file, INPUT, into a stream, OUTPUT."""
    def make(layout, folder):
        if layout.stored not in depths or layout.high != layout.stored - 1 or layout.photometric == "YBR_FULL_422" or \
                (grey and layout.samples == 3):
            return None
        source, out = os.path.join(folder, "in.pgm" if layout.samples == 1 else "in.ppm"), os.path.join(folder, "out" + suffix)
        with open(source, "wb") as file:
            file.write(b"P%d\n%d %d\n%d\n" % (5 if layout.samples == 1 else 6, COLUMNS, ROWS, (1 << layout.stored) - 1))
            file.write(layout.bits().astype("u1" if layout.stored <= 8 else ">u2").tobytes())
        filled = [{"INPUT": source, "OUTPUT": out}.get(word, word) for word in command]
        if not run(filled, out):
            return None
        with open(out, "rb") as file:
            return file.read()
    return wrapped(make)


def recompressed(layout, folder):
    if layout.stored != 8 or layout.photometric == "YBR_FULL_422":
        return None
    source, jpeg, out = (os.path.join(folder, name) for name in ("in.pnm", "in.jpg", "out.jxl"))
    with open(source, "wb") as file:
        file.write(b"P%d\n%d %d\n255\n" % (5 if layout.samples == 1 else 6, COLUMNS, ROWS))
        file.write(layout.bits().astype("u1").tobytes())
    if not run(["cjpeg", "-outfile", jpeg, source], jpeg) or not run(["cjxl", "--lossless_jpeg=1", jpeg, out], out):
        return None
    with open(out, "rb") as file:
        return file.read()


OPJ = ["opj_compress", "-i", "INPUT", "-o", "OUTPUT", "-n", "4"]
HT = ["ojph_compress", "-i", "INPUT", "-o", "OUTPUT"]
# Name, transfer syntax, whether lossless, encoder.
ENCODERS = [
    ("implicit little endian", PS3, True, tool("dcmconv", "+ti")),
    ("explicit little endian", PS3 + ".1", True, tool("dcmconv", "+te")),
    ("explicit big endian", PS3 + ".2", True, tool("dcmconv", "+tb")),
    ("deflated", PS3 + ".1.99", True, tool("dcmconv", "+td")),
    ("encapsulated uncompressed", PS3 + ".1.98", True, wrapped(uncompressed)),
    ("deflated image frame", PS3 + ".8.1", True, wrapped(deflated)),
    ("RLE, DCMTK", PS3 + ".5", True, tool("dcmcrle")),
    ("RLE, GDCM", PS3 + ".5", True, tool("gdcmconv", "--rle")),
    ("JPEG baseline, Y Cb Cr", PS3 + ".4.50", False, tool("dcmcjpeg", "+eb")),
    ("JPEG baseline, RGB", PS3 + ".4.50", False, tool("dcmcjpeg", "+eb", "+cr")),
    ("JPEG extended", PS3 + ".4.51", False, tool("dcmcjpeg", "+ee")),
    ("JPEG arithmetic", PS3 + ".4.52", False, by_file(["cjpeg", "-arithmetic", "-outfile", "OUTPUT", "INPUT"], ".jpg", (8,))),
    ("JPEG spectral selection", PS3 + ".4.53", False, tool("dcmcjpeg", "+es")),
    ("JPEG full progression", PS3 + ".4.55", False, tool("dcmcjpeg", "+ep")),
    ("JPEG progressive arithmetic", PS3 + ".4.56", False,
     by_file(["cjpeg", "-arithmetic", "-progressive", "-outfile", "OUTPUT", "INPUT"], ".jpg", (8,))),
    ("JPEG lossless, process 14", PS3 + ".4.57", True, tool("dcmcjpeg", "+el", "+sv", "4")),
    ("JPEG lossless SV1, DCMTK", PS3 + ".4.70", True, tool("dcmcjpeg", "+e1")),
    ("JPEG lossless SV1, GDCM", PS3 + ".4.70", True, tool("gdcmconv", "--jpeg")),
    ("JPEG-LS by line, DCMTK", PS3 + ".4.80", True, tool("dcmcjpls", "+ua")),
    ("JPEG-LS by sample, DCMTK", PS3 + ".4.80", True, tool("dcmcjpls", "+ua", "+is")),
    ("JPEG-LS by plane, DCMTK", PS3 + ".4.80", True, tool("dcmcjpls", "+ua", "+in")),
    ("JPEG-LS, GDCM", PS3 + ".4.80", True, tool("gdcmconv", "--jpegls")),
    ("JPEG-LS near-lossless", PS3 + ".4.81", False, tool("dcmcjpls", "+en")),
    ("JPEG 2000 lossless, GDCM", PS3 + ".4.90", True, tool("gdcmconv", "--j2k")),
    ("JPEG 2000 lossless, OpenJPEG", PS3 + ".4.90", True, by_file(OPJ, ".j2k")),
    ("JPEG 2000 lossless, tiles, JP2", PS3 + ".4.90", True, by_file(OPJ + ["-t", "32,32"], ".jp2")),
    ("JPEG 2000 lossy", PS3 + ".4.91", False, by_file(OPJ + ["-I", "-r", "4"], ".j2k")),
    ("HTJ2K lossless", PS3 + ".4.201", True, by_file(HT + ["-reversible", "true"], ".j2c")),
    ("HTJ2K lossless RPCL, tiles", PS3 + ".4.202", True,
     by_file(HT + ["-reversible", "true", "-prog_order", "RPCL", "-tile_size", "{32,32}"], ".j2c")),
    ("HTJ2K lossy", PS3 + ".4.203", False, by_file(HT + ["-qstep", "0.002"], ".j2c")),
    # cjxl 0.7 does not keep samples of 9 to 15 bits.
    ("JPEG XL lossless", PS3 + ".4.110", True, by_file(["cjxl", "-d", "0", "INPUT", "OUTPUT"], ".jxl", (8, 16))),
    ("JPEG XL from JPEG", PS3 + ".4.111", False, wrapped(recompressed)),
    ("JPEG XL lossy", PS3 + ".4.112", False, by_file(["cjxl", "-d", "1", "INPUT", "OUTPUT"], ".jxl")),
]


# What we hold to be right against an encoder, or nothing at hand reads; shown as '!'.
HIGH_BIT = "GDCM says High Bit 11 and leaves the cells as they are; dcmdrle and dcmdjpeg show what we show"
PACKED = "GDCM encodes packed cells as if they were whole words; dcmdjpeg and dcmdjpls show what we show"
KNOWN = {
    ("explicit big endian", "32"): "PS3.5 7.3: the most significant byte is 'encoded first'; DCMTK turns the two words of a "
                                   "32-bit cell one by one, all writers seen turn the cell",
    ("RLE, GDCM", "12high"): HIGH_BIT, ("JPEG lossless SV1, GDCM", "12high"): HIGH_BIT, ("JPEG-LS, GDCM", "12high"): HIGH_BIT,
    ("JPEG 2000 lossless, GDCM", "12high"): HIGH_BIT,
    ("JPEG lossless SV1, GDCM", "1"): PACKED, ("JPEG lossless SV1, GDCM", "12packed"): PACKED,
    ("JPEG-LS, GDCM", "12packed"): PACKED,
    ("JPEG 2000 lossless, GDCM", "32"): "OpenJPEG 2.5 decodes 31 bits at most, and gdcmconv does not read back what it wrote",
}


# Comparing.

def our_cells(render, path, folder, ds):
    """(rows x columns x samples as pixel_decode() gives them, or None; what was said)."""
    prefix = os.path.join(folder, "ours")
    result = subprocess.run([render, "--cells", path, prefix, "1"], capture_output=True, text=True, timeout=120)
    if result.returncode:
        return None, result.stderr.strip()[-200:] or "not shown"
    real = {0x7FE00008: "<f4", 0x7FE00009: "<f8"}
    kind = next((real[tag] for tag in real if tag in ds), None)
    if not kind:
        kind = "<u%d" % {1: 1, 8: 1, 12: 2, 16: 2, 32: 4}[ds.BitsAllocated]
    cells = numpy.fromfile(prefix + ".1.png", kind)
    os.remove(prefix + ".1.png")
    return cells.reshape(ds.Rows, ds.Columns, ds.SamplesPerPixel), ""


def stored(cells, ds):
    if cells.dtype.kind == "f":
        return cells
    bits = ds.BitsStored
    values = cells.astype(numpy.int64) >> (ds.HighBit + 1 - bits) & ((1 << bits) - 1)
    return numpy.where(values >> (bits - 1), values - (1 << bits), values) if ds.PixelRepresentation else values


def cell(render, layout, row, folder):
    """(the cell's text, what is wrong or '')."""
    name, syntax, lossless, encode = row
    native = os.path.join(folder, "native.dcm")
    for left in os.listdir(folder):
        os.remove(os.path.join(folder, left))
    layout.dataset().save_as(native, write_like_original=False)
    path = encode(layout, native, folder, syntax)
    if not path:
        return ".", ""
    ds = pydicom.dcmread(path)
    if str(ds.file_meta.TransferSyntaxUID) != syntax:
        return ".", ""
    cells, said = our_cells(render, path, folder, ds)
    wanted = stored(cells, ds) if cells is not None else None
    if lossless:
        if wanted is None or wanted.shape != layout.values().shape or not numpy.array_equal(wanted, layout.values()):
            return "X", said or "samples differ"
        return "=", ""
    stream = next(iter(generate_pixel_data_frame(ds.PixelData, 1)))
    theirs = decoders.cells(syntax, stream, ds)
    if cells is None:
        return ("X", said) if theirs is not None else ("?", "")
    if theirs is None:
        return "?", ""
    apart = int(numpy.abs(wanted - stored(theirs, ds)).max())
    return ("X", "off by %d" % apart) if apart > APART else (str(apart) if apart else "=", "")


def main():
    render, wanted = sys.argv[1], sys.argv[2:]
    sample = not wanted
    wanted = [] if wanted == ["all"] else wanted
    wrong, made = [], 0
    width = max(len(row[0]) for row in ENCODERS)
    print(" " * width, " ".join(layout.name for layout in LAYOUTS))
    with tempfile.TemporaryDirectory() as folder:
        for place, row in enumerate(ENCODERS):
            if wanted and row[0] not in wanted:
                continue
            texts = []
            try:
                for column, layout in enumerate(LAYOUTS):
                    if sample and (place + column) % 3:
                        texts.append(" " * len(layout.name))
                        continue
                    text, problem = cell(render, layout, row, folder)
                    texts.append(text.rjust(len(layout.name)))
                    made += text != "."
                    if text == "X" and (row[0], layout.name) in KNOWN:
                        texts[-1] = "!".rjust(len(layout.name))
                    elif text == "X":
                        wrong.append("%s, %s: %s" % (row[0], layout.name, problem))
                if not any(text.strip() not in ("", ".") for text in texts):
                    wrong.append("%s: the encoder makes nothing" % row[0])
            except NotInstalled as missing:
                texts = ["%s is not installed" % missing]
            print(row[0].ljust(width), " ".join(texts), flush=True)
    for line in wrong:
        print(line)
    print("%d cells, %d wrong" % (made, len(wrong)))
    return 1 if wrong else 0 if made else 77


if __name__ == "__main__":
    sys.exit(main())
