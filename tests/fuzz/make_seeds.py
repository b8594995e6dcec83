"""Writes the seeds of the fuzz targets: make_seeds.py [FOLDER]. All are synthetic and small; the same program writes
the same bytes but for those that pacsctl makes (times). What fuzzing has found lies beside them as finding_*; neither
is ever removed by this.

    /usr/bin/python3 -B tests/fuzz/make_seeds.py            with PACSFS_BIN set
"""
import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "wire"), os.path.join(HERE, "..", "ctl")]
import ctl  # noqa: E402
import daemon  # noqa: E402

SEEDS = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "seeds")
UUID = "00112233-4455-6677-8899-aabbccddeeff"
CT, ECHO, EXPLICIT = daemon.CT, daemon.VERIFICATION, daemon.EXPLICIT


def seed(target, name, data):
    folder = os.path.join(SEEDS, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def bare(data):
    """The data set of a file with a meta header of 128 + 4 + 12 + its length bytes."""
    return data[144 + struct.unpack_from("<I", data, 140)[0]:]


def element(tag, vr, value):
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return struct.pack("<HH2sxxI", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def sequence(tag, *items, undefined=False):
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(i)) + i for i in items)
    if not undefined:
        return element(tag, b"SQ", body)
    return struct.pack("<HH2sxxI", tag >> 16, tag & 0xFFFF, b"SQ", 0xFFFFFFFF) + body + struct.pack(
        "<HHI", 0xFFFE, 0xE0DD, 0)


def deflate(data):
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packed.compress(data) + packed.flush()


def text_targets():
    for name, data in {
            "latin": b"ISO_IR 100\0\0M\xfcller^J\xf6rg", "japanese": b"\\ISO 2022 IR 87\0\0Yamada=\x1b$B;3ED\x1b(B",
            "korean": b"\\ISO 2022 IR 149\0\0Hong=\x1b$)C\xfb\xf3", "gb18030": b"GB18030\0\0Wang=\xcd\xf5",
            "gbk": b"GBK\0\x01\xcd\xf5", "utf8": b"ISO_IR 192\0\2M\xc3\xbcller", "greek": b"ISO_IR 126\0\1\xc4\xe9",
            "unknown": b"ISO_IR 999\0\0x"}.items():
        seed("charset", name, data)
    for name, data in {
            "person": b"\x20Doe^John^^Dr\0DOE^JOHN", "template": b"\x40{name} {none|x} text\0Thorax",
            "dots": b"\x10..\0.", "utf8": "\x30M\u00fcller \u5c71\u7530 a/b:c*\0e\u0301".encode(),
            "groups": "\x40Yamada=\u5c71\u7530\0Yamada".encode(),
            "long": b"\x0f" + b"A" * 80 + b"\0{name:20}"}.items():
        seed("names", name, data)
    for name, data in {
            "all": b"early = yes\n[a]\nnumber = 16K\nwait = 1.5 s\nwait = 2\n[peer one]\naddress = 10.0.0.0/8\n",
            "unknown_key": b"[a]\nnumbr = 1\n", "twice": b"[a]\nnumber = 1\nnumber = 2\n",
            "comment": b"; x\n# y\n[a] ; z\n number = 5 ; five\n", "no_newline": b"[a\nnumber"}.items():
        seed("settings", name, data)


def data_set_targets():
    image = bare(ctl.dicom())
    nested = element(0x00080016, b"UI", CT.encode() + b"\0") + sequence(
        0x00081140, element(0x00080018, b"UI", b"1.2\0"), sequence(0x00081199, element(0x00080018, b"UI", b"1.3\0")),
        undefined=True) + element(0x7FE00010, b"OW", bytes(32))
    repeated = image + image
    for name, data in {"image": image, "nested": nested, "repeated": repeated}.items():
        for syntax in range(0, 6, 2):
            seed("json_model", f"{name}_{syntax}", bytes([syntax, 40]) + data)
    for name, data in {"image": ctl.dicom(), "no_preamble": ctl.dicom()[128:], "bare": image,
                       "dicm_alone": ctl.dicom()[128:132] + image,
                       "jpeg": b"\xff\xd8\xff\xe0" + bytes(60), "zeros": bytes(300), "text": b"PatientName: Doe\n",
                       "lie": ctl.dicom()[:140] + b"\xff\xff\0\0" + ctl.dicom()[144:]}.items():
        seed("meta", name, data)
    for name, head, data in (("broken", b"\0\x10", deflate(image)[:-9]), ("raw", b"\0\x10", deflate(image)),
                             ("zlib", b"\4\x30", zlib.compress(image)), ("healthy", b"\1\x20", image),
                             ("healthy_zlib", b"\7\1", nested), ("bomb", b"\0\x7f", deflate(image + bytes(300000))),
                             ("behind_the_end", b"\0\0", deflate(image) + b"\0" * 40)):
        seed("inflate", name, head + data)
    second = ctl.dicom(instance=2, PatientName="M\u00fcller^J", StudyDescription="a/../b\nc\x1b[31m")
    uids = ctl.dicom(SOPInstanceUID="1.2.3.4.5", rows=2)
    for name, head, data in (("file", b"\0\0\xff", ctl.dicom()), ("file_pieces", b"\0\0\1", second),
                             ("store", b"\1\1\x40", bare(uids)), ("store_implicit", b"\1\0\x40", bare(uids)),
                             ("store_mismatch", b"\1\1\x40", bare(ctl.dicom())), ("bare", b"\0\0\xff", image),
                             ("nested", b"\0\0\xff", ctl.dicom()[:-40] + sequence(0x54000100, nested[:60])),
                             ("repeated", b"\1\1\x10", bare(uids) * 2), ("zeros", b"\1\1\xff", bytes(600))):
        seed("ingest", name, head + data)
    for code in range(12):
        seed("ingest", f"store_deflated_{code}", bytes([1, code, 0x40]) + deflate(bare(uids)))
    many = ctl.dicom(NumberOfFrames=4, rows=16)
    seed("ingest", "frames", b"\0\0\xff" + many)


def config_target():
    whole = b"""\0[server]
aet = PACSFS
listen = 127.0.0.1:0
listen = [::1]:104
accept = known
check_called = yes
unknown_sop_classes = refuse
max_associations = 5
max_pdu = 64K
idle_timeout = 10 min
read_timeout = 1.5 s
[archive]
reserve = 1G
cache = 64M
compression = 3
[identity]
placeholder = NO NAME
[peer ct]
aet = CT
address = 10.1.0.0/16
address = fe80::/10
[peer any]
aet = ANY
issuer = HOSPITAL
"""
    for name, data in {"whole": whole, "empty": b"\0", "no_aet": b"\0[peer x]\naddress = 127.0.0.1\n",
                       "bad_network": b"\0[peer x]\naet = X\naddress = 10.0.0.0/33\n",
                       "long": b"\0[server]\naet = " + b"A" * 40,
                       "addresses": b"\0[peer x]\naet = X\n" + b"address = 1.2.3.4\n" * 17}.items():
        seed("config", name, data)
    conf = f"""format = 1
uuid = {UUID}
created = 2024-03-05T10:00:00Z
timezone = UTC
patients = idtail
patient_name = {{name}}
""".encode()
    seed("config", "archive", b"\1" + conf)
    seed("config", "archive_zone", b"\1" + conf.replace(b"UTC", b"../../../etc"))
    seed("config", "archive_of_1012", b"\1" + conf.replace(b"2024", b"1012"))
    seed("config", "archive_of_9999", b"\1" + conf.replace(b"2024", b"9999"))
    seed("config", "archive_format", b"\1" + conf.replace(b"format = 1", b"format = 99"))


def pdv(context, flags, data):
    return struct.pack("<BBH", context, flags, len(data)) + data


def raw_pdv(context, flags, data):
    return struct.pack(">BxIIBB", 4, len(data) + 6, len(data) + 2, context, flags) + data


def association_target():
    command = daemon.command_set(sop_class=CT, field=1, message=1, priority=0, data_set=0, sop_instance="1.2.3.4.5")
    echo = daemon.command_set(sop_class=ECHO, field=0x30, message=2, data_set=0x0101)
    find = daemon.command_set(sop_class=CT, field=0x20, message=3, priority=0, data_set=0)
    data = bare(ctl.dicom(SOPInstanceUID="1.2.3.4.5"))
    release = b"\5\0\0\0\0\4\0\0\0\0"
    both = {"store": ((1, 3, command), (1, 2, data)), "echo": ((3, 3, echo),),
            "pieces": ((1, 1, command[:20]), (1, 3, command[20:]), (1, 0, data[:100]), (1, 2, data[100:])),
            "find": ((1, 3, find), (1, 2, data[:40])),
            "mismatch": ((1, 3, command), (1, 2, bare(ctl.dicom()))), "no_command": ((1, 2, data),),
            "cut": ((1, 3, command), (1, 0, data[:200])), "contexts": ((1, 1, command[:20]), (3, 3, command[20:])),
            "twice": ((1, 3, command), (1, 2, data)) * 2}
    request = daemon.associate_rq({1: (CT, [EXPLICIT, daemon.IMPLICIT]), 3: (ECHO, [daemon.IMPLICIT])})
    for name, pdvs in both.items():
        seed("association", name, b"\1" + b"".join(pdv(*p) for p in pdvs) + pdv(255, 5, release[6:]))
        seed("association", "raw_" + name, b"\0" + request + b"".join(raw_pdv(*p) for p in pdvs) + release)
        seed("pdu", "pdvs_" + name, b"\1" + b"".join(raw_pdv(*p)[6:] for p in pdvs))
    seed("pdu", "request", b"\0" + request)
    roles = daemon.item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\1\1")
    for name, user in {"roles": roles, "window": daemon.item(0x53, b"\0\1\0\1"),
                       "extended": daemon.item(0x56, struct.pack(">H", len(CT)) + CT.encode() + b"\1\1\1"),
                       "identity": daemon.item(0x58, b"\1\0\0\4user\0\0")}.items():
        at = request.rindex(b"\x50\0", 0, len(request) - 20)
        items = request[at + 4:] + user
        body = request[6:at] + daemon.item(0x50, items)
        whole = struct.pack(">BxI", 1, len(body)) + body
        seed("association", "raw_user_" + name, b"\0" + whole + release)
        seed("pdu", "user_" + name, b"\0" + whole)
    seed("association", "raw_abort", b"\0" + request + b"\7\0\0\0\0\4\0\0\0\0")
    seed("association", "raw_huge", b"\0" + request + b"\4\0\xff\xff\xff\xff\xff\xff\xff\xff\1\3")


def zipped(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def tarred(members, kinds=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind in kinds:
            info = tarfile.TarInfo("special")
            info.type, info.linkname, info.devmajor, info.devminor = kind, "../x", 1, 3
            archive.addfile(info)
    return out.getvalue()


def unpack_target():
    members = {"DICOM/IM1": ctl.dicom(), "../../README": b"text\n"}
    inner = zipped(members)
    seed("unpack", "zip", inner)
    seed("unpack", "zip_stored", zipped(members, zipfile.ZIP_STORED))
    seed("unpack", "tar", tarred(members, (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)))
    seed("unpack", "tar_gz", gzip.compress(tarred(members), mtime=0))
    seed("unpack", "nested", tarred({"a.zip": inner, "b.gz": gzip.compress(ctl.dicom(), mtime=0)}))
    seed("unpack", "deep", zipped({"1": zipped({"2": zipped({"3": zipped({"4": inner})})})}))
    seed("unpack", "long_member", zipped({"a": ctl.dicom(rows=200000 // 8)}))
    with tempfile.TemporaryDirectory() as folder:
        for fmt in ("7zip", "iso9660", "pax", "gnutar", "ustar", "zip"):
            path = ctl.pack(os.path.join(folder, "a"), {"IM1": ctl.dicom(), "IM2": b"text"}, fmt)
            with open(path, "rb") as file:
                data = file.read().rstrip(b"\0")
            seed("unpack", fmt, data + bytes(2048 - len(data) % 2048 if fmt == "iso9660" else 1024))
        path = ctl.pack(os.path.join(folder, "b"), members, "pax", ["zstd"])
        with open(path, "rb") as file:
            seed("unpack", "tar_zst", file.read())


def stored_table(data):
    """The pack with its TABLE stored without compression, so that the harness can seal what is in it."""
    import xxhash  # noqa: F401  (as tests/second_reader)
    import zstandard
    at, out = 104, data[:104]
    while at + 64 <= len(data):
        size = struct.unpack_from("<Q", data, at + 8)[0]
        header, payload = data[at:at + 64], data[at + 64:at + 64 + size]
        if header[4] == 7:
            raw_size, stored, codec = struct.unpack_from("<III", payload)
            if codec == 1:
                raw = zstandard.ZstdDecompressor().decompress(payload[12:12 + stored], max_output_size=raw_size)
                payload = struct.pack("<III", raw_size, raw_size, 0) + raw
                header = header[:8] + struct.pack("<Q", len(payload)) + header[16:]
        out += header + payload + bytes(-len(payload) % 8)
        at += 64 + (size + 7) // 8 * 8
    return out


def pack_targets():
    with tempfile.TemporaryDirectory() as here:
        archive = ctl.new_archive(here, "--timezone", "UTC")
        conf = os.path.join(archive, "archive.conf")
        with open(conf) as file:
            text = file.read()
        lines = [f"uuid = {UUID}" if line.startswith("uuid") else line for line in text.splitlines()]
        with open(conf, "w") as file:
            file.write("\n".join(lines) + "\n")
        config = ctl.write(archive, "pacs.conf", data=b"[archive]\npack_size = 4M\nreserve = 1M\n")
        paths = [ctl.write(here, "in", "1.dcm", data=ctl.dicom()),
                 ctl.write(here, "in", "2.dcm", data=ctl.dicom(instance=2)),
                 ctl.write(here, "in", "3.dcm", data=ctl.dicom(Manufacturer="other")),
                 ctl.write(here, "in", "4.dcm", data=ctl.dicom(patient="ROE^JANE", pid="12", study=2)),
                 ctl.write(here, "in", "5.dcm", data=ctl.dicom())]
        for path in paths:
            ctl.pacsctl("import", path, archive=archive)
        folder = os.path.join(archive, "packs")
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            label = name.split(".")[0].lstrip("0")
            seed("pack", f"sealed_again_{label}", b"\1" + stored_table(data))
            seed("rebuild", f"sealed_again_{label}", b"\1" + stored_table(data))
            if label == "1":
                seed("pack", "as_it_is", b"\0" + data)
                seed("rebuild", "as_it_is", b"\0" + data)
        os.unlink(config)


if __name__ == "__main__":
    for make in (text_targets, data_set_targets, config_target, association_target, unpack_target, pack_targets):
        make()
    print(subprocess.run(["du", "-sh", SEEDS], capture_output=True, text=True).stdout, end="")
