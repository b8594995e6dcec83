"""Runs pacsd for a test, sends to it, and speaks the upper layer (PS3.8) by hand where no client does what is needed.

Other tests import this too. Every daemon has a folder and a free port of its own and is stopped when its `with` ends;
nothing that others started is touched. Programs come from PACSFS_BIN (the build's bin folder), clients from PATH.
"""
import atexit
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

BIN = os.environ.get("PACSFS_BIN", os.path.join(os.path.dirname(__file__), "../../build/dev/bin"))
WAIT_S = 60  # for what takes milliseconds on an idle machine

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class Skip(Exception):
    """The machine lacks what a case needs."""


def program(name):
    path = os.path.join(BIN, name)
    if not os.path.exists(path):
        raise Skip(f"{path} is not built")
    return path


def client(name):
    path = shutil.which(name)
    if not path:
        raise Skip(f"{name} is not installed")
    return path


def run(*words, timeout=WAIT_S, env=None, **more):
    """Status, output and errors of a command, as text."""
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout,
                          env={**os.environ, **(env or {})}, **more)
    return done.returncode, done.stdout, done.stderr


def wait_for(what, timeout=WAIT_S):
    """Polls until `what()` is true; the value, or None when the time is over."""
    until = time.monotonic() + timeout
    while True:
        value = what()
        if value or time.monotonic() > until:
            return value or None
        time.sleep(0.02)


def make_archive(path):
    """An empty archive, by `pacsctl init`."""
    status, _, errors = run(program("pacsctl"), "-A", path, "init")
    assert status == 0, errors
    return path


class Daemon:
    """pacsd on an archive of its own, in a folder that goes away with it.

        with Daemon(config="[server]\\naccept = known\\n") as pacsd:
            pacsd.store(files)
    """

    def __init__(self, config="", options=(), archive=None, env=None, wrap=()):
        self.folder = tempfile.mkdtemp(prefix="pacsd-test-")
        atexit.register(shutil.rmtree, self.folder, True)
        self.archive = archive or os.path.join(self.folder, "archive")
        self.config_path = os.path.join(self.folder, "pacs.conf")
        self.log_path = os.path.join(self.folder, "log")
        self.options = list(options)
        self.env = env or {}
        self.wrap = list(wrap)
        self.process = None
        self.port = 0
        self.configure(config)

    def configure(self, text):
        """A small reserve, so that tests run where there is little space."""
        if "[archive]" not in text:
            text += "\n[archive]\nreserve = 1M\n"
        with open(self.config_path, "w") as file:
            file.write(text)

    def __enter__(self):
        if not os.path.exists(self.archive):
            make_archive(self.archive)
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("pacsd did not stop on SIGTERM\n" + self.log())
        text = self.log()
        if kind is not None and kind is not Skip:
            print("---- pacsd's log ----\n" + text, file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
        for sign in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer"):
            assert kind is not None or sign not in text, text

    def command(self):
        listen = [] if "--dicom" in self.options else ["--dicom", "127.0.0.1:0"]
        return self.wrap + [program("pacsd"), "-A", self.archive, "-c", self.config_path] + listen + self.options

    def start(self):
        ports = os.path.join(self.archive, "run", "pacsd.ports")
        if os.path.exists(ports):
            os.unlink(ports)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stderr=log, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **self.env})
        found = wait_for(lambda: os.path.exists(ports) or self.process.poll() is not None)
        assert found and self.process.poll() is None, "pacsd did not start:\n" + self.log()
        with open(ports) as file:
            self.addresses = file.read().split()
        self.port = int(self.addresses[0].rsplit(":", 1)[1])

    def stop(self, how=signal.SIGTERM):
        """Sends a signal; the exit status."""
        self.process.send_signal(how)
        return self.process.wait(WAIT_S)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def logged(self, text, timeout=WAIT_S):
        return wait_for(lambda: text in self.log(), timeout)

    def echo(self, calling="ECHOSCU", called="PACSFS", *more):
        return run(client("echoscu"), *more, "-aet", calling, "-aec", called, "127.0.0.1", str(self.port))

    def store(self, *files, calling="STORESCU", called="PACSFS", options=(), env=None):
        """By dcmsend, which sends every file as it lies."""
        return run(client("dcmsend"), *options, "-aet", calling, "-aec", called, "127.0.0.1", str(self.port), *files,
                   env=env, timeout=600)

    def connect(self, **more):
        return Association(self.port, **more)

    def status(self):
        """What the control socket says of itself."""
        with Control(self.archive) as control:
            return json.loads("\n".join(control.call("status")[0]))

    def counted(self, key, number):
        """Waits until a figure of the status has a value: a client may end before the daemon has counted."""
        return wait_for(lambda: self.status()[key] == number)


class Control:
    """The control socket by hand (net/control.h)."""

    def __init__(self, archive):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(os.path.join(archive, "run", "pacsd.sock"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def answer(self):
        """Lines, and the words of the last packet."""
        lines = []
        while True:
            packet = self.socket.recv(65536)
            if not packet:
                raise EOFError("pacsd closed the control socket")
            words = packet.decode().split("\0")[:-1]
            if words[0] != "line":
                return lines, words
            lines.append(words[1])

    def call(self, *words, fds=()):
        socket.send_fds(self.socket, ["\0".join(words).encode() + b"\0"], list(fds))
        return self.answer()


# ---- PS3.8 by hand -----------------------------------------------------------------------------------------------


def item(kind, value):
    return struct.pack(">BxH", kind, len(value)) + value


def associate_rq(contexts, calling="TEST", called="PACSFS", application="1.2.840.10008.3.1.1.1", max_pdu=16384,
                 version=1):
    body = struct.pack(">Hxx16s16s32x", version, called.ljust(16).encode(), calling.ljust(16).encode())
    body += item(0x10, application.encode())
    for number, (abstract, syntaxes) in contexts.items():
        inner = item(0x30, abstract.encode()) + b"".join(item(0x40, s.encode()) for s in syntaxes)
        body += item(0x20, struct.pack(">Bxxx", number) + inner)
    user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.3.4") + item(0x55, b"TEST_1")
    return struct.pack(">BxI", 1, len(body + item(0x50, user))) + body + item(0x50, user)


def element(number, value):
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0" * (len(value) & 1)
    return struct.pack("<HHI", 0, number, len(value)) + value


def command_set(**fields):
    numbers = {"sop_class": 0x0002, "field": 0x0100, "message": 0x0110, "priority": 0x0700, "data_set": 0x0800,
               "sop_instance": 0x1000}
    body = b"".join(element(numbers[name], fields[name]) for name in sorted(fields, key=numbers.get))
    return element(0x0000, struct.pack("<I", len(body))) + body


class Association:
    """A requestor on a raw socket. `answer` is the kind of the first PDU that came: 2 accepted, 3 rejected."""

    def __init__(self, port, contexts=None, address="127.0.0.1", wait=True, source=None, **request):
        self.socket = socket.create_connection((address, port), WAIT_S, source and (source, 0))
        self.socket.settimeout(WAIT_S)
        self.message = 0
        self.accepted = {}  # context -> (result, transfer syntax)
        self.request = associate_rq(contexts or {1: (VERIFICATION, [IMPLICIT])}, **request)
        if wait:
            self.socket.sendall(self.request)
            self.answer, self.body = self.read_pdu()
            self.take_contexts()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self, size):
        parts = b""
        while len(parts) < size:
            part = self.socket.recv(size - len(parts))
            if not part:
                raise EOFError(f"closed after {len(parts)} of {size} bytes")
            parts += part
        return parts

    def read_pdu(self):
        kind, length = struct.unpack(">BxI", self.read(6))
        return kind, self.read(length)

    def take_contexts(self):
        at = 68
        while self.answer == 2 and at < len(self.body):
            kind, length = struct.unpack_from(">BxH", self.body, at)
            if kind == 0x21:
                number, result = struct.unpack_from(">BxB", self.body, at + 4)
                syntax = self.body[at + 12:at + 4 + length].decode().rstrip("\0 ")
                self.accepted[number] = (result, syntax)
            at += 4 + length

    def rejected(self):
        """(result, source, reason) of an A-ASSOCIATE-RJ."""
        assert self.answer == 3, f"PDU type {self.answer} instead of a rejection"
        return tuple(self.body[1:4])

    def pdv(self, context, flags, data):
        self.socket.sendall(struct.pack(">BxIIBB", 4, len(data) + 6, len(data) + 2, context, flags) + data)

    def command(self, context, data_set=False, **fields):
        self.message += 1
        self.pdv(context, 3, command_set(message=self.message, data_set=0 if data_set else 0x0101, **fields))

    def response(self):
        """Status, Error Comment, and all elements of the next response."""
        data = b""
        while True:
            kind, body = self.read_pdu()
            assert kind == 4, f"PDU type {kind} instead of a response"
            length, _, flags = struct.unpack(">IBB", body[:6])
            assert length + 4 == len(body) and flags & 1
            data += body[6:]
            if flags & 2:
                break
        elements, at = {}, 0
        while at < len(data):
            _, number, length = struct.unpack_from("<HHI", data, at)
            elements[number] = data[at + 8:at + 8 + length]
            at += 8 + length
        status = struct.unpack("<H", elements[0x0900])[0]
        return status, elements.get(0x0902, b"").decode().rstrip(), elements

    def store(self, context, sop_class, sop_instance, data, pdv_size=16000):
        self.command(context, data_set=True, sop_class=sop_class, field=1, priority=0, sop_instance=sop_instance)
        for at in range(0, len(data), pdv_size):
            self.pdv(context, 2 if at + pdv_size >= len(data) else 0, data[at:at + pdv_size])
        return self.response()

    def release(self):
        self.socket.sendall(struct.pack(">BxII", 5, 4, 0))
        kind, _ = self.read_pdu()
        assert kind == 6, f"PDU type {kind} instead of A-RELEASE-RP"


def data_set(sop_class, sop_instance, size=0, **values):
    """A small secondary capture in explicit little endian, `size` bytes of pixels."""
    def text(group, number, vr, value):
        value = value.encode() + (b"\0" if vr == "UI" else b" ") * (len(value) & 1)
        return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value

    def word(group, number, value):
        return struct.pack("<HH2sHH", group, number, b"US", 2, value)

    study = values.get("study", "1.2.3.1")
    out = text(8, 0x16, "UI", sop_class) + text(8, 0x18, "UI", sop_instance) + text(8, 0x60, "CS", "OT")
    out += text(0x10, 0x10, "PN", values.get("name", "Wire^Test")) + text(0x10, 0x20, "LO", values.get("id", "W1"))
    out += text(0x20, 0x0D, "UI", study) + text(0x20, 0x0E, "UI", values.get("series", study + ".1"))
    out += text(0x20, 0x13, "IS", str(values.get("number", 1)))
    if size:
        rows = max(1, size // 512)
        out += word(0x28, 2, 1) + text(0x28, 4, "CS", "MONOCHROME2") + word(0x28, 0x10, rows) + word(0x28, 0x11, 256)
        out += word(0x28, 0x100, 16) + word(0x28, 0x101, 16) + word(0x28, 0x102, 15) + word(0x28, 0x103, 0)
        out += struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OW", rows * 512) + os.urandom(rows * 512)
    return out


# ---- running cases -----------------------------------------------------------------------------------------------


def main(cases):
    """Runs functions named case_*; every one of them, whatever became of those before. Status 77 when all skipped."""
    failed, skipped, names = [], 0, [n for n in cases if n.startswith("case_")]
    for name in names:
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        try:
            cases[name]()
            print(f"ok {name[5:]}")
        except Skip as why:
            skipped += 1
            print(f"skipped {name[5:]}: {why}")
        except Exception:
            failed.append(name[5:])
            print(f"FAILED {name[5:]}")
            traceback.print_exc()
        sys.stdout.flush()
    if failed:
        print("failed:", *failed, f"\nagain: PACSFS_BIN={BIN} {sys.argv[0]} {failed[0]}")
    sys.exit(1 if failed else 77 if skipped and skipped == len(names) else 0)
