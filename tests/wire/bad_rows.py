"""Bad input, a row each: what it is, its bytes, and what has to become of it when it is imported and when it is sent.

Its data set is explicit little endian unless it says otherwise, and has UIDs of its own, so that no row meets another
in the archive. Some rows are long; so a program of their own writes them:

    bad_rows.py FOLDER [PART]    those whose name has PART: NAME/NAME.dcm, and NAME/good.dcm, the image beside it, below
                                 FOLDER/files; what is sent where that is no part of the file: FOLDER/data/NAME
"""
import dataclasses
import os
import struct
import sys
import zlib
from typing import Callable, Optional

from daemon import CT, EXPLICIT

DEFLATED = "1.2.840.10008.1.2.1.99"
LONG = ("OB", "OW", "OD", "OF", "OL", "OV", "SQ", "UC", "UN", "UR", "UT")
UNDEFINED = 0xFFFFFFFF
MiB = 1 << 20

STORED = "stored"
REFUSED, SKIPPED = "refused", "skipped"
OK, REMARK, UNDERSTAND, MISMATCH = 0x0000, 0xB000, 0xC000, 0xA900


# ---- data sets ---------------------------------------------------------------------------------------------------


def header(tag, vr, length):
    group, number = tag >> 16, tag & 0xFFFF
    if group == 0xFFFE:
        return struct.pack("<HHI", group, number, length)
    vr = vr.encode() if isinstance(vr, str) else vr
    if vr.decode("latin-1") in LONG:
        return struct.pack("<HH2sxxI", group, number, vr, length)
    return struct.pack("<HH2sH", group, number, vr, length)


def element(tag, vr, value, pad=True):
    value = value.encode() if isinstance(value, str) else value
    if pad and len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    return header(tag, vr, len(value)) + value


def item(value=b""):
    return header(0xFFFEE000, "", len(value)) + value


OPEN_ITEM = header(0xFFFEE000, "", UNDEFINED)
ITEM_END, SEQUENCE_END = header(0xFFFEE00D, "", 0), header(0xFFFEE0DD, "", 0)


def sequence(tag, items, end=SEQUENCE_END):
    return header(tag, "SQ", UNDEFINED) + items + end


def uid(tag, text):
    return {tag: element(tag, "UI", text)}


def us(*values):
    return struct.pack(f"<{len(values)}H", *values)


def image(number, changes=None, extra=b""):
    """A CT image, elements in order of their tags; `changes` (tag -> the element's bytes) replaces, adds or with None
    removes; `extra` stands in front of the pixels."""
    study = f"1.2.3.{number}"
    made = {}
    for tag, vr, value in (
            (0x00080005, "CS", "ISO_IR 192"), (0x00080016, "UI", CT), (0x00080018, "UI", study + ".1.1"),
            (0x00080020, "DA", "20240305"), (0x00080060, "CS", "CT"), (0x00081030, "LO", "Thorax"),
            (0x00100010, "PN", f"Row^{number}"), (0x00100020, "LO", f"B{number}"), (0x0020000D, "UI", study),
            (0x0020000E, "UI", study + ".1"), (0x00200013, "IS", "1"), (0x00280002, "US", us(1)),
            (0x00280004, "CS", "MONOCHROME2"), (0x00280010, "US", us(16)), (0x00280011, "US", us(16)),
            (0x00280100, "US", us(16)), (0x00280101, "US", us(16)), (0x00280102, "US", us(15)),
            (0x00280103, "US", us(0)), (0x7FE00010, "OW", bytes(i * number % 251 for i in range(512)))):
        made[tag] = element(tag, vr, value)
    for tag, value in (changes or {}).items():
        made[tag] = value
    made[0x7FE00000] = extra
    return b"".join(made[tag] or b"" for tag in sorted(made))


def meta(uid, syntax=EXPLICIT, sop_class=CT, length=None):
    body = element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", sop_class) + element(0x00020003, "UI", uid)
    body += element(0x00020010, "UI", syntax) + element(0x00020012, "UI", "1.2.3")
    return element(0x00020000, "UL", struct.pack("<I", len(body) if length is None else length)) + body


PREAMBLE = bytes(128) + b"DICM"


def deflate(parts):
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join([packed.compress(part) for part in parts]) + packed.flush()


# ---- rows --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    name: str
    data: Optional[Callable[[], bytes]]  # the data set, as it is sent; see sent_path()
    imported: tuple  # verdict, part of the reason or remark
    sent: Optional[tuple]  # status, part of the Error Comment; None: cannot be sent
    number: int
    file: Optional[Callable[[int], bytes]] = None  # instead of preamble, meta header and data set
    syntax: str = EXPLICIT
    uid: str = ""  # announced by command and meta header
    long: bool = False  # takes its time: not tried by every way in

    def path(self, folder):
        return os.path.join(folder, "files", self.name, self.name + ".dcm")

    def prefix(self):
        return PREAMBLE + meta(self.uid, self.syntax)

    def sent_path(self, folder):
        """Where its data set is, and the offset of its first byte."""
        return (os.path.join(folder, "data", self.name), 0) if self.file else (self.path(folder), len(self.prefix()))

    def good(self):
        """The image beside it: UID and data set."""
        return f"1.2.3.{10000 + self.number}.1.1", image(10000 + self.number)


ROWS = []


def row(name, imported, sent, data=None, **more):
    number = len(ROWS) + 100
    made = Row(name, None, imported, sent, number, **more)
    made.uid = made.uid or f"1.2.3.{number}.1.1"
    if callable(data):
        made.data = lambda: data(number)
    elif data is not None:
        made.data = lambda: image(number, data)
    ROWS.append(made)


stored, sent = (STORED, ""), (OK, "")


def both(text):
    return (REFUSED, text), (UNDERSTAND, text)


# The file format.
row("no_preamble", stored, None, file=lambda n: meta(f"1.2.3.{n}.1.1") + image(n))
row("no_meta_header", stored, None, file=lambda n: image(n))
row("preamble_without_meta_header", stored, None, file=lambda n: PREAMBLE + image(n))
row("meta_group_length_lies", stored, None,
    file=lambda n: PREAMBLE + meta(f"1.2.3.{n}.1.1", length=0xFFFFFF) + image(n))
row("meta_cut", (REFUSED, "meta header"), None, file=lambda n: (PREAMBLE + meta(f"1.2.3.{n}.1.1"))[:-15])
row("only_meta_header", (REFUSED, "no data set"), None, file=lambda n: PREAMBLE + meta(f"1.2.3.{n}.1.1"))
row("media_directory", (REFUSED, "DICOMDIR"), None,
    file=lambda n: PREAMBLE + element(0x00020010, "UI", EXPLICIT) + image(n, uid(0x00080016, "1.2.840.10008.1.3.10")))
row("zeros", (SKIPPED, "nothing but zeros"), (UNDERSTAND, "zeros"), lambda n: bytes(5000), file=lambda n: bytes(5000))
row("empty", (SKIPPED, "an empty file"), (UNDERSTAND, "no data set"), lambda n: b"", file=lambda n: b"")
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(400)
row("jpeg_renamed", (SKIPPED, "a JPEG image"), (UNDERSTAND, ""), lambda n: JPEG, file=lambda n: JPEG)

# Elements.
row("vr_of_another_type", stored, sent, {0x00100010: element(0x00100010, "US", b"Ro"),
                                         0x00280010: element(0x00280010, "LO", "16")})
row("vr_unknown", stored, sent, {0x00101010: element(0x00101010, "ZZ", "033Y")})
row("vr_no_letters", *both("no two letters"), {0x00101010: b"\x10\0\x10\x10\1\2\4\0033Y"})
row("truncated_in_a_header", *both("ends inside an element's header"), lambda n: image(n).split(b"Row^")[0][:-3])
row("truncated_in_a_value", *both("(0010,0010)"), lambda n: image(n).split(b"Row^")[0] + b"Ro")
row("truncated_in_the_pixels", *both("ends inside the pixel data"), lambda n: image(n)[:-100])
row("truncated_in_a_fragment", *both("ends inside the pixel data"), {
    0x7FE00010: header(0x7FE00010, "OB", UNDEFINED) + item() + header(0xFFFEE000, "", 4000) + bytes(100)})
row("fragments_without_an_end", *both("ends inside the pixel data"), {
    0x7FE00010: header(0x7FE00010, "OB", UNDEFINED) + item() + item(bytes(100))})
row("odd_lengths", stored, sent, {0x00100010: element(0x00100010, "PN", "Odd^Row", False),
                                  0x00200013: element(0x00200013, "IS", "1", False)})
row("group_lengths_lie", stored, sent, {tag: element(tag, "UL", struct.pack("<I", length)) for tag, length in (
    (0x00080000, 0xFFFFFFFF), (0x00100000, 0), (0x00200000, 3))})
for kind, text in (("UT", "ends inside it"), ("UN", "ends inside it"), ("OB", "ends inside it"), ("SQ", "no item")):
    row(f"length_fffffffe_of_{kind}".lower(), *both(text), {
        0x0040A160: header(0x0040A160, kind, 0xFFFFFFFE) + bytes(64)})
row("length_fffffffe_of_an_item", *both("ends inside"), {
    0x00081140: header(0x00081140, "SQ", UNDEFINED) + header(0xFFFEE000, "", 0xFFFFFFFE)})
row("length_fffffffe_of_the_pixels", *both("ends inside the pixel data"), {
    0x7FE00010: header(0x7FE00010, "OW", 0xFFFFFFFE) + bytes(64)})
row("undefined_length_of_a_text", *both("no item"), {0x00104000: header(0x00104000, "UT", UNDEFINED) + b"no items"})
row("delimiters_alone", stored, sent, {0x00081140: SEQUENCE_END + ITEM_END})
row("sequence_of_a_wrong_length", *both("no item"), {
    0x00081140: header(0x00081140, "SQ", 60) + item(element(0x00080060, "CS", "MR"))})

# Nesting, and numbers.
DEEPER = header(0x00081140, "SQ", UNDEFINED) + OPEN_ITEM
row("sequences_10000_deep", *both("nested too deep"), {
    0x00081140: DEEPER * 10000 + (ITEM_END + SEQUENCE_END) * 10000})
row("sequences_10000_deep_without_an_end", *both("nested too deep"), {0x00081140: DEEPER * 10000})
row("unknown_10000_deep", *both("nested too deep"), {
    0x00091001: header(0x00091001, "UN", UNDEFINED) + (OPEN_ITEM + struct.pack("<HHI", 9, 0x1001, UNDEFINED)) * 10000})
row("sequences_200_deep", stored, sent, {0x00081140: DEEPER * 200 + (ITEM_END + SEQUENCE_END) * 200})
row("a_million_items", stored, sent, lambda n: image(n, {
    0x00081140: sequence(0x00081140, item() * 1000000)}), long=True)
row("a_million_items_with_elements", stored, sent, lambda n: image(n, {
    0x00081140: sequence(0x00081140, item(element(0x00080060, "CS", "CT")) * 1000000)}), long=True)
row("a_million_elements", stored, sent, lambda n: image(n, extra=b"".join(
    header(0x00410000 + (i % 500 << 17) + (i // 500 + 0x1000), "LO", 0) for i in range(1000000))), long=True)
row("a_million_times_one_element", stored, sent, lambda n: image(n, {
    0x00100010: element(0x00100010, "PN", f"Row^{n}") * 1000000}), long=True)
row("a_million_fragments", stored, sent, lambda n: image(n, {
    0x7FE00010: header(0x7FE00010, "OB", UNDEFINED) + item(b"\0\0") * 1000000 + SEQUENCE_END}), long=True)

# Identity.
WITHOUT = "no Study or Series"
row("no_study_uid", (STORED, WITHOUT), (REMARK, WITHOUT), {0x0020000D: None})
row("no_series_uid", (STORED, WITHOUT), (REMARK, WITHOUT), {0x0020000E: None})
row("no_instance_uid_but_announced", stored, sent, {0x00080018: None})
row("no_class_uid_but_announced", stored, sent, {0x00080016: None})
for keyword, tag in (("SOP Instance UID (0008,0018)", 0x00080018), ("SOP Class UID (0008,0016)", 0x00080016)):
    row(f"no_uid_{tag:08x}", (REFUSED, keyword + " is missing"), None,
        file=lambda n, t=tag: PREAMBLE + element(0x00020010, "UI", EXPLICIT) + image(n, {t: None}))
row("empty_uids", (STORED, WITHOUT), (REMARK, WITHOUT), {
    tag: element(tag, "UI", "") for tag in (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)})
row("uid_with_letters", stored, sent, uid(0x0020000D, "1.2.STUDY-of_ours.7"))
LONG_UID = "more than 64 characters"
row("uid_of_200_characters", *both(LONG_UID), uid(0x0020000D, "1." + "2" * 198))
row("uid_of_60000_characters", *both(LONG_UID), uid(0x0020000E, "1." + "2" * 59998))
row("instance_uid_of_200_characters", (REFUSED, LONG_UID), (MISMATCH, "differ"), uid(0x00080018, "1." + "2" * 198))
for name, text in (("climbs", "../../../../tmp/evil"), ("is_absolute", "/tmp/evil"), ("has_a_line", "1.2\n3"),
                   ("has_a_shell", "$(id)"), ("has_blanks", "1.2 .3"), ("has_an_escape", "1.2\x1b[2J"),
                   ("is_dots", ".."), ("has_utf8", "1.2.\u00e9"), ("has_several", "1.2\\3.4")):
    row("study_uid_" + name, *both("characters that no UID has"), uid(0x0020000D, text))
row("instance_differs_from_command", stored, (MISMATCH, "SOP Instance UID"), {}, uid="1.2.3.9999.1")
row("class_differs_from_command", stored, (MISMATCH, "SOP Class UID"), uid(0x00080016, "1.2.840.10008.5.1.4.1.1.4"))

# Size.


def bomb(n, begin, parts):
    return deflate([image(n, {0x7FE00010: b""}, begin)] + parts)


ZEROS = [bytes(MiB)]
row("deflate_bomb_of_the_pixels", stored, sent, lambda n: bomb(n, header(0x7FE00010, "OB", 128 * MiB), ZEROS * 128),
    syntax=DEFLATED, long=True)
row("deflate_bomb_in_the_header", stored, sent, lambda n: bomb(n, header(0x00E11001, "UN", 128 * MiB), ZEROS * 128),
    syntax=DEFLATED, long=True)
row("deflate_bomb_of_items", stored, sent, lambda n: bomb(
    n, header(0x00E11001, "SQ", UNDEFINED), [item() * 100000] * 10 + [SEQUENCE_END]), syntax=DEFLATED, long=True)
row("deflate_bomb_without_an_end", *both("ends early"), lambda n: bomb(
    n, header(0x7FE00010, "OB", 64 * MiB), ZEROS * 64)[:-20], syntax=DEFLATED, long=True)
row("deflated_noise", *both("does not inflate"), lambda n: b"\xff" * 4000, syntax=DEFLATED)
row("header_of_100_mb_in_one_value", stored, sent, lambda n: image(n, {
    0x00E11001: element(0x00E11001, "OB", bytes(100 * MiB))}), long=True)
row("header_of_100_mb_in_a_sequence", stored, sent, lambda n: image(n, {
    0x00E11001: sequence(0x00E11001, item(element(0x00E11002, "OB", bytes(MiB))) * 100)}), long=True)
row("header_of_100_mb_in_small_items", stored, sent, lambda n: image(n, {
    0x00E11001: sequence(0x00E11001, item(element(0x00080060, "LO", "x" * 1000)) * 100000)}), long=True)

# Text that means harm.
HARM = ("'; touch CANARY; '", "$(touch CANARY)", "`touch CANARY`", "|touch CANARY", "a\nb: error: forged line",
        "a\r\nb", "\x1b[31mred\x1b]0;title\x07", "../../../CANARY", "/CANARY", "a/b\\c:d*e?f\"g<h>i", "%s%n%x", "-rf",
        "~root", "\u202egnp.dcm", "\u0085\u009b31m", "a\tb\vc\x7f", ".hidden", "CON", "\ufeff\u200b", "..", "x" * 5000)
TEXTS = {0x00080050: "SH", 0x00080060: "CS", 0x00081030: "LO", 0x0008103E: "LO", 0x00080020: "DA", 0x00100010: "PN",
         0x00100020: "LO", 0x00200013: "IS"}
for index, text in enumerate(HARM):
    row(f"harm_{index}", stored, sent, {tag: element(tag, vr, text) for tag, vr in TEXTS.items()})
row("harm_in_the_character_set", stored, sent, {0x00080005: element(0x00080005, "CS", "\x1b[31m../\n\\`id`")})
row("bytes_of_no_character_set", (STORED, "do not decode"), (REMARK, "do not decode"), {
    0x00100010: element(0x00100010, "PN", b"\xff\xfe\x80^\xc3\x28")})


# ---- writing them ------------------------------------------------------------------------------------------------


def write(path, *parts):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)


def main(folder, part=""):
    for made in ROWS:
        if part not in made.name:
            continue
        parts = (made.file(made.number),) if made.file else (made.prefix(), made.data())
        write(made.path(folder), *parts)
        if made.file and made.sent:
            write(made.sent_path(folder)[0], made.data())
        name, data = made.good()
        write(os.path.join(folder, "files", made.name, "good.dcm"), PREAMBLE + meta(name), data)


if __name__ == "__main__":
    main(*sys.argv[1:])
