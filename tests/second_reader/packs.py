"""Reads packs as pacs-pack(5) describes them, in the order of that page, and shares nothing with the programs in C.

    packs.py ARCHIVE [FOLDER]

Lists what the packs hold, one JSON object an edition; with FOLDER it also restores every edition as ID.dcm. Whatever is
not as the page says is told as a fault. Needs python3-zstandard and python3-xxhash.
"""
import hashlib
import json
import os
import re
import struct
import sys

import xxhash
import zstandard

CHUNK, INSTANCE, DUPLICATE, DICTIONARY, BARRIER, SEAL, TABLE = 1, 2, 3, 4, 5, 6, 7
(SHA256, DATA_SIZE, SYNTAX, CHUNKS, META, PREFIX, PIXEL, ATTRIBUTE, SHAPE, JSON, POSITION, ORIGIN,
 ASSOCIATION) = range(1, 14)
FOLDER, PATIENT, STUDY, SERIES, EDITION, PATIENT_KEY, VERDICT, CONFLICT = range(20, 28)
DICTIONARY_BYTES, COPY_OF = 30, 32
PAYLOAD_MAX, RAW_MAX, REPLACED_MAX = 64 << 20, 1 << 20, 4096
VERDICTS = ("STORED", "DUPLICATE", "HEALED", "VARIANT", "VERSION", "CONFLICT")


class Fault(Exception):
    """Bytes that are not what the page says."""


# ---- Conventions ---------------------------------------------------------------------------------------------------


def checksum(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed)


def up(size):
    return (size + 7) & ~7


# ---- Pack header ---------------------------------------------------------------------------------------------------


class Pack:
    def __init__(self, folder, name, uuid):
        self.number, self.uuid = int(name.split(".")[0]), uuid
        with open(os.path.join(folder, name), "rb") as file:
            self.bytes = file.read()
        self.stated_end = None  # by a successor
        self.dictionaries = set()  # those that stand in it, by the LSN of the first record that held them
        self.header()

    def header(self):
        b = self.bytes
        if len(b) < 104 or b[:8] != b"PACSPACK":
            raise Fault(f"pack {self.number}: no header")
        form, self.begin = struct.unpack_from("<II", b, 8)
        (number, self.first_lsn, self.previous, self.previous_end, self.created, _, incompatible,
         count) = struct.unpack_from("<QQQQQIII", b, 32)
        if count > REPLACED_MAX or self.begin != 104 + 40 * count or self.begin > len(b):
            raise Fault(f"pack {self.number}: size and count of the header do not agree")
        if struct.unpack_from("<Q", b, self.begin - 8)[0] != checksum(b[:self.begin - 8]):
            raise Fault(f"pack {self.number}: header with a wrong checksum")
        if b[16:32] != self.uuid or number != self.number:
            raise Fault(f"pack {self.number}: of another archive or another number")
        if form != 1 or incompatible:
            raise Fault(f"pack {self.number}: a newer format")

    # ---- Records

    def seed(self, offset):
        return checksum(self.uuid + struct.pack("<QQ", self.number, offset))

    def header_at(self, offset, end=None):
        """The header at an offset, if it holds and its extent fits; else None."""
        end = len(self.bytes) if end is None else min(end, len(self.bytes))
        if offset + 64 > end:
            return None
        record = Record(self.bytes[offset:offset + 64], self, offset)
        if not record.holds or offset + record.extent > end:
            return None
        return record

    def record_at(self, offset, end=None):
        """The valid record at an offset, or None."""
        record = self.header_at(offset, end)
        if record is None or checksum(record.payload) != record.payload_checksum:
            return None
        return record

    # ---- Recovery

    def recover(self, known=0):
        """(D, END) by the six steps."""
        durable = max(self.begin, known)
        at = durable
        while at + 64 <= len(self.bytes):
            record = self.header_at(at)
            if record is None:
                at += 8
                continue
            if record.synced <= at:
                durable = max(durable, record.synced)
            at += record.extent
        end = durable
        while (record := self.record_at(end)) is not None:
            end += record.extent
        return durable, end

    def records(self, end, damage):
        """Valid records before END; what is damaged is told and passed over."""
        at = self.begin
        while at < end:
            record = self.record_at(at, end)
            if record is not None:
                yield record
                at += record.extent
                continue
            bad, header = at, self.header_at(at, end)
            at += header.extent if header else 8
            while at < end and self.header_at(at, end) is None:
                at += 8
            damage(f"pack {self.number}: bytes {bad} to {at} are damaged")


class Record:
    def __init__(self, header, pack, offset, payload=None):
        (magic, self.type, _, _, self.length, self.payload_checksum, self.lsn, self.time, self.synced, _,
         own) = struct.unpack("<IBBHQQQQQQQ", header)
        self.pack, self.offset, self.bytes = pack, offset, payload
        self.holds = (magic == 0x52434150 and self.length <= PAYLOAD_MAX and
                      own == checksum(header[:56], pack.seed(offset)))
        self.extent = 64 + up(self.length)

    @property
    def payload(self):
        if self.bytes is not None:
            return self.bytes
        return self.pack.bytes[self.offset + 64:self.offset + 64 + self.length]

    # ---- Fields

    def fields(self):
        at, payload = 0, self.payload
        while at < len(payload):
            if at + 8 > len(payload):
                raise Fault(f"pack {self.pack.number}, offset {self.offset}: a field is cut")
            number, _, size = struct.unpack_from("<HHI", payload, at)
            if at + 8 + size > len(payload):
                raise Fault(f"pack {self.pack.number}, offset {self.offset}: field {number} is longer than its record")
            yield number, payload[at + 8:at + 8 + size]
            at += 8 + size


# ---- Chunks --------------------------------------------------------------------------------------------------------


def decode(codec, stored, size, dictionary=None):
    if codec == 0:
        raw = stored
    elif codec in (1, 2):
        options = {"dict_data": zstandard.ZstdCompressionDict(dictionary)} if codec == 2 else {}
        raw = zstandard.ZstdDecompressor(**options).decompress(stored, max_output_size=max(size, 1))
    else:
        raise Fault(f"codec {codec} is not known")
    if len(raw) != size:
        raise Fault(f"{len(raw)} raw bytes where {size} are said")
    return raw


class Edition:
    """One INSTANCE record."""

    def __init__(self, record):
        self.record, self.attributes, self.prefix, self.chunks, self.conflicts = record, {}, None, [], []
        for number, value in record.fields():
            if number == SHA256:
                self.sha256 = value
            elif number == DATA_SIZE:
                self.data_size = struct.unpack("<Q", value)[0]
            elif number == SYNTAX:
                self.syntax = value.decode()
            elif number == CHUNKS:
                self.chunks = list(struct.iter_unpack("<QQQII", value))
            elif number in (META, PREFIX):
                self.prefix = (bytes(128) if number == META else b"") + value
            elif number == ATTRIBUTE:
                self.attributes[struct.unpack_from("<I", value)[0]] = value[4:].decode()
            elif number == EDITION:
                self.id, self.number, self.created = struct.unpack_from("<QQB", value)
                self.name = value[17:].decode()
            elif number == VERDICT:
                self.verdict, self.version, self.flags, self.other = struct.unpack_from("<BxxxIIxxxxQ", value)
            elif number == ORIGIN:
                self.origin = [text.decode() for text in value.split(b"\0")[:7]]
            elif number == CONFLICT:
                self.conflicts.append(value[8:].split(b"\0")[0].decode())

    uid = property(lambda self: self.attributes[0x00080018])


# ---- the archive ---------------------------------------------------------------------------------------------------


class Archive:
    def __init__(self, path):
        self.faults = []
        with open(os.path.join(path, "archive.conf")) as file:
            uuid = re.search(r"^uuid\s*=\s*(\S+)", file.read(), re.M).group(1)
        self.uuid = bytes.fromhex(uuid.replace("-", ""))
        folder = os.path.join(path, "packs")
        names = sorted((n for n in os.listdir(folder) if re.fullmatch(r"\d{8,}\.pack", n)), key=lambda n: int(n[:-5]))
        self.packs = {}
        for name in names:
            try:
                pack = Pack(folder, name, self.uuid)
                self.packs[pack.number] = pack
            except Fault as fault:
                if name != names[-1]:  # the making of the newest may have been cut
                    self.faults.append(str(fault))
        # Chain of packs: of several that state one END, the highest number counts.
        for pack in self.packs.values():
            if pack.previous in self.packs:
                self.packs[pack.previous].stated_end = pack.previous_end
            elif pack.previous:
                self.faults.append(f"pack {pack.number} follows pack {pack.previous}, which is missing")
        self.ends = {n: p.recover()[1] if p.stated_end is None else p.stated_end for n, p in self.packs.items()}
        self.editions, self.dictionaries, self.duplicates, self.logical = [], {}, [], []
        self.read()

    def read(self):
        lsn = time = 0
        for pack in self.packs.values():
            for record in pack.records(self.ends[pack.number], self.faults.append):
                if not record.lsn:
                    if record.type == BARRIER and struct.unpack("<Q", record.payload)[0] != record.synced:
                        self.faults.append(f"pack {pack.number}, offset {record.offset}: a barrier of other words")
                    continue
                if record.lsn != lsn + 1:
                    self.faults.append(f"LSN {lsn + 1} is missing before pack {pack.number}, offset {record.offset}")
                if record.time <= time:
                    self.faults.append(f"LSN {record.lsn}: its time is not behind that of the one before")
                lsn, time = record.lsn, record.time
                self.logical.append(record)
                self.take(record)

    def take(self, record):
        if record.type == INSTANCE:
            self.editions.append(Edition(record))
        elif record.type == DUPLICATE:
            self.duplicates.append(Edition(record))
        elif record.type == DICTIONARY:
            fields = dict(record.fields())
            lsn = struct.unpack("<Q", fields[COPY_OF])[0] if COPY_OF in fields else record.lsn
            if self.dictionaries.setdefault(lsn, fields[DICTIONARY_BYTES]) != fields[DICTIONARY_BYTES]:
                self.faults.append(f"LSN {record.lsn}: another dictionary than the one that it repeats")
            record.pack.dictionaries.add(lsn)

    def chunk(self, place, edition):
        raw_end, number, offset, length, raw_size = place
        pack = self.packs.get(number)
        record = pack and pack.record_at(offset, self.ends[number])
        if not record or record.type != CHUNK or record.length != length:
            raise Fault(f"instance {edition.uid}: no chunk at pack {number}, offset {offset}")
        if (number, offset) >= (edition.record.pack.number, edition.record.offset):
            raise Fault(f"instance {edition.uid}: a chunk stands behind its record")
        payload = record.payload
        codec, size, own, dictionary = struct.unpack_from("<BxxxIQQ", payload)
        if size != raw_size or size > RAW_MAX:
            raise Fault(f"instance {edition.uid}: chunk of {size} raw bytes where {raw_size} are listed")
        if codec == 2 and dictionary not in pack.dictionaries:
            raise Fault(f"instance {edition.uid}: pack {number} does not hold the dictionary of its chunks")
        raw = decode(codec, payload[24:], size, self.dictionaries.get(dictionary))
        if checksum(raw) != own:
            raise Fault(f"instance {edition.uid}: raw bytes with a wrong checksum")
        return raw

    # ---- RESTORING A FILE FROM PACKS

    def restore(self, edition):
        """Prefix and data set."""
        parts, at = [], 0
        for place in edition.chunks:
            parts.append(self.chunk(place, edition))
            at += len(parts[-1])
            if at != place[0]:
                raise Fault(f"instance {edition.uid}: its list of chunks does not add up")
        data = b"".join(parts)
        if len(data) != edition.data_size or hashlib.sha256(data).digest() != edition.sha256:
            raise Fault(f"instance {edition.uid}: not the data set that was stored")
        return edition.prefix, data

    def shown(self):
        """What the tree shows: UIDs of study, series and instance -> edition."""
        by_id, chosen = {}, {}
        for e in self.editions:
            path = tuple(e.attributes.get(tag, "") for tag in (0x0020000D, 0x0020000E, 0x00080018))
            if VERDICTS[e.verdict] in ("STORED", "VERSION"):
                chosen[path] = by_id[e.id] = e
            elif VERDICTS[e.verdict] == "HEALED":
                healed = by_id.get(e.other)
                if healed is None or chosen.get(path) is healed:
                    chosen[path] = e
        return chosen

    # ---- Seals

    def seals(self):
        """Checks every seal; how many there are. A table must hold each logical record of its pack."""
        count, previous = 0, bytes(32)
        for pack in self.packs.values():
            if pack.stated_end is None:
                continue
            record = pack.record_at(len(pack.bytes) - 176) if len(pack.bytes) % 8 == 0 else None
            if record is None or record.type != SEAL:
                previous = bytes(32)
                continue
            end, table, tables, records, first, last = struct.unpack_from("<6Q", record.payload)
            stated, sha256 = record.payload[48:80], record.payload[80:112]
            count += 1
            if end != pack.stated_end or stated != previous:
                self.faults.append(f"pack {pack.number}: its seal is of another END or follows another seal")
            if hashlib.sha256(stated + pack.bytes[:record.offset]).digest() != sha256:
                self.faults.append(f"pack {pack.number}: its bytes are not those that were sealed")
            entries = self.entries(pack, table, tables)
            own = [r for r in self.logical if r.pack is pack]
            if [(r.offset, r.lsn, r.payload) for r in own] != [(r.offset, r.lsn, r.payload) for r in entries]:
                self.faults.append(f"pack {pack.number}: its table is not what it holds")
            if records != len(own) or (own and (own[0].lsn, own[-1].lsn) != (first, last)):
                self.faults.append(f"pack {pack.number}: its seal counts otherwise")
            previous = sha256
        return count

    def entries(self, pack, table, tables):
        found = []
        for _ in range(tables):
            record = pack.record_at(table)
            if record is None or record.type != TABLE:
                raise Fault(f"pack {pack.number}: no table at offset {table}")
            table += record.extent
            at, raw, payload = 0, b"", record.payload
            while at < len(payload):
                size, stored, codec = struct.unpack_from("<III", payload, at)
                raw += decode(codec, payload[at + 12:at + 12 + stored], size)
                at += 12 + stored
            at = 0
            while at < len(raw):
                offset, = struct.unpack_from("<Q", raw, at)
                entry = Record(raw[at + 8:at + 72], pack, offset)
                entry.bytes = raw[at + 72:at + 72 + entry.length]
                if not entry.holds or checksum(entry.bytes) != entry.payload_checksum:
                    raise Fault(f"pack {pack.number}: an entry of its table does not hold")
                found.append(entry)
                at += 72 + entry.length
        return found


def main():
    archive = Archive(sys.argv[1])
    for edition in archive.editions:
        line = {"id": edition.id, "uid": edition.uid, "verdict": VERDICTS[edition.verdict], "lsn": edition.record.lsn,
                "size": len(edition.prefix) + edition.data_size, "sha256": edition.sha256.hex()}
        try:
            prefix, data = archive.restore(edition)
            if len(sys.argv) > 2:
                with open(os.path.join(sys.argv[2], f"{edition.id}.dcm"), "wb") as file:
                    file.write(prefix + data)
        except Fault as fault:
            archive.faults.append(str(fault))
        print(json.dumps(line))
    archive.seals()
    for fault in archive.faults:
        print(fault, file=sys.stderr)
    sys.exit(3 if archive.faults else 0)


if __name__ == "__main__":
    main()
