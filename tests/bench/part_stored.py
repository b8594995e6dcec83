"""stored: bytes of the packs to the bytes of what was imported, over real files."""
import collections
import os
import zlib

from measure import Missing, Table, folder, program, run as command

FOLDERS = (("PACSFS_CORPUS", os.environ.get("PACSFS_CORPUS", "")),
           ("python3-pydicom", "/usr/lib/python3/dist-packages/pydicom/data"))
LEVEL = 6


def images(path):
    """Files below a folder that begin as PS3.10 says, the same bytes once."""
    seen = set()
    for here, _, names in sorted(os.walk(path)):
        for name in sorted(names):
            with open(os.path.join(here, name), "rb") as file:
                content = file.read()
            if content[128:132] == b"DICM" and hash(content) not in seen:
                seen.add(hash(content))
                yield os.path.join(here, name), content


def native(content):
    """Not compressed already: the transfer syntax in the meta header is one of the three plain ones."""
    at = content.find(b"\x02\x00\x10\x00UI", 132, 1024)
    if at < 0:
        return False
    uid = content[at + 8:at + 8 + int.from_bytes(content[at + 6:at + 8], "little")].rstrip(b"\0 ")
    return uid in (b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2")


def packs_size(archive):
    path = os.path.join(archive, "packs")
    return sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path))


def kept(files):
    """Bytes of all packs after an import, less those of an empty archive."""
    with folder() as place:
        archive = os.path.join(place, "archive")
        command(program("pacsctl"), "-A", archive, "init")
        empty = packs_size(archive)
        try:
            command(program("pacsctl"), "-A", archive, "import", *files)
        except Missing:
            pass  # some file was refused, as odd ones are
        return packs_size(archive) - empty


def run():
    table = Table("stored (bytes in packs to bytes of the files, all included)")
    for name, path in FOLDERS:
        groups = collections.defaultdict(list)
        for file, content in images(path) if path else ():
            groups["native" if native(content) else "compressed"].append((file, content))
        for group, members in sorted(groups.items()):
            size = sum(len(content) for _, content in members)
            packed = sum(len(zlib.compress(content, LEVEL)) for _, content in members)
            ours = kept([file for file, _ in members]) / size
            table.add(f"{name}, {len(members)} {group}, {size / 1e6:.1f} MB", [ours],
                      [(f"zlib -{LEVEL}", [packed / size])], less_is_better=True)
        if not groups:
            table.add(f"{name}: not there", None)
    table.show()
