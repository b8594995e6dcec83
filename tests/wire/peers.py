"""Hostile peers: whatever they do, a victim from another address goes on sending images and calling anew.

A row is an attack; it runs in a process of its own, from 127.0.0.1, and stays connected until the victim, from
127.0.0.2, has stored VICTIM_STORES images on an old association and made VICTIM_CALLS new ones. Time-outs of pacsd are
so long that a victim that waited for an attacker would not come to its end while that is there. Afterwards descriptors
and threads of pacsd are what they were before, and its memory has stayed below MEMORY_MAX.

PACSFS_PEERS_ROUNDS=N runs the table N times. `peers.py ROW` runs one row.
"""
import contextlib
import os
import random
import resource
import socket
import struct
import sys
import threading
import time
import traceback

import daemon
from daemon import CT, EXPLICIT, VERIFICATION, IMPLICIT, Association, Daemon

SEED = int(os.environ.get("PACSFS_SEED", "10"))
ROUNDS = int(os.environ.get("PACSFS_PEERS_ROUNDS", "1"))
VICTIM, VICTIM_STORES, VICTIM_CALLS = "127.0.0.2", 12, 4
CONTEXTS = {1: (CT, [EXPLICIT]), 3: (VERIFICATION, [IMPLICIT])}
# 64 associations that send at once take 300 MiB, mostly chunks that are compressed; nothing else comes near.
MEMORY_MAX = 512 << 20
CONFIG = """
[server]
negotiation_timeout = 10 min
read_timeout = 10 min
max_object = 4M
[archive]
reserve = 1M
cache = 16M
"""


# ---- attackers ---------------------------------------------------------------------------------------------------


class Hostile:
    """What an attack uses: connections that stay open, and threads that go on until the victim is done."""

    def __init__(self, port):
        self.port = port
        self.random = random.Random(SEED)
        self.over = threading.Event()
        self.held, self.threads, self.wrong = [], [], []

    def connect(self, hold=True, **more):
        a = Association(self.port, contexts=more.pop("contexts", CONTEXTS), calling="HOSTILE", **more)
        if hold:
            self.held.append(a)
        return a

    def keep(self, what, many=1):
        """`what()` again and again. That a connection ends is its end, and no failure."""
        def run():
            while not self.over.is_set():
                try:
                    what()
                except (OSError, EOFError):
                    pass
                except AssertionError as why:
                    self.wrong.append(repr(why))
                    return
        for _ in range(many):
            self.threads.append(threading.Thread(target=run, daemon=True))
            self.threads[-1].start()

    def still_held(self):
        """Every held connection is as it was: pacsd waits for it, and has said nothing."""
        for a in self.held:
            a.socket.setblocking(False)
            try:
                got = a.socket.recv(1)
                raise AssertionError(f"a connection ended, or was answered: {got!r}")
            except BlockingIOError:
                pass


def ended(a):
    """Reads until pacsd has ended the connection; the types of the PDUs that came."""
    kinds = []
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            kinds.append(a.read_pdu()[0])
    a.socket.close()
    return kinds


def pump(a, chunk):
    """Sends until pacsd has ended the connection."""
    with contextlib.suppress(ConnectionError):
        while True:
            a.socket.sendall(chunk)
    a.socket.close()


def begin_store(a, uid="1.2.3.4.5.6"):
    a.command(1, data_set=True, sop_class=CT, field=1, priority=0, sop_instance=uid)


def pdata(*pdvs):
    body = b"".join(struct.pack(">IBB", len(data) + 2, context, flags) + data for context, flags, data in pdvs)
    return struct.pack(">BxI", 4, len(body)) + body


def attack_stalls_after_connect(hostile):
    for _ in range(40):
        hostile.connect(wait=False)
    return hostile.still_held


def attack_stalls_in_request(hostile):
    for size in range(1, 200, 7):
        a = hostile.connect(wait=False)
        a.socket.sendall(a.request[:size])
    return hostile.still_held


def attack_stalls_in_pdu(hostile):
    for size in range(1, 21):
        hostile.connect().socket.sendall((struct.pack(">BxI", 4, 5000) + bytes(20))[:size])
    return hostile.still_held


def attack_stalls_in_data_set(hostile):
    for n in range(20):
        a = hostile.connect()
        begin_store(a)
        a.pdv(1, 0, daemon.data_set(CT, "1.2.3.4.5.6", 15000)[:12000 + n])
    return hostile.still_held


def attack_dies_in_pdu(hostile):
    def die():
        a = hostile.connect(hold=False, wait=hostile.random.random() < 0.5)
        if a.accepted:
            begin_store(a)
        data = a.request if not a.accepted else pdata((1, 0, os.urandom(5000)))
        a.socket.sendall(data[:hostile.random.randrange(1, len(data))])
        if hostile.random.random() < 0.5:  # a reset
            a.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        a.socket.close()
    hostile.keep(die, 2)


def attack_floods_with_garbage(hostile):
    garbage = [hostile.random.randbytes(65536) for _ in range(8)]

    def flood():
        a = hostile.connect(hold=False, wait=hostile.random.random() < 0.5)
        pump(a, hostile.random.choice(garbage))
    hostile.keep(flood, 3)


def attack_floods_after_its_abort(hostile):
    """A second is all that who was aborted has; more bytes do not buy more time."""
    def flood():
        a = hostile.connect(hold=False)
        a.socket.sendall(b"\x55\0\0\0\0\4abcd")
        pump(a, bytes(65536))
    hostile.keep(flood, 2)
    flood()


def attack_sends_pdus_of_4_gib(hostile):
    def huge():
        for kind in range(1, 8):
            for wait in (False, True):
                a = hostile.connect(hold=False, wait=wait)
                a.socket.sendall(struct.pack(">BxI", kind, 0xFFFFFFFF) + bytes(1000))
                kinds = ended(a)
                assert 2 not in kinds, kinds
    hostile.keep(huge)


def attack_proposes_hundreds_of_syntaxes(hostile):
    def propose():
        few = {n: (CT, [f"1.2.3.{n}.{m}" for m in range(100)]) for n in range(1, 256, 2)}
        with hostile.connect(hold=False, contexts=few) as a:
            assert len(a.accepted) == 128 and all(r == 0 for r, _ in a.accepted.values())
        many = {n: (CT, [f"1.2.3.{n}.{m}" for m in range(900)]) for n in range(1, 256, 2)}
        a = hostile.connect(hold=False, contexts=many, wait=False)
        with contextlib.suppress(ConnectionError):
            a.socket.sendall(a.request)
        kinds = ended(a)
        assert kinds in ([7], []), kinds
    hostile.keep(propose, 4)


def attack_opens_1000_connections(hostile):
    for n in range(1000):
        a = hostile.connect(wait=False)
        a.socket.sendall(a.request[:n % len(a.request)])
    hostile.keep(lambda: hostile.connect(hold=False, wait=False).socket.close())


def attack_opens_1000_associations(hostile):
    answers = [hostile.connect().answer for _ in range(1000)]
    assert answers.count(2) == 32, f"{answers.count(2)} accepted, max_associations_a_peer is 32"
    assert answers.count(3) == 968
    hostile.held = [a for a in hostile.held if a.answer == 2]
    return hostile.still_held


def attack_sends_single_bytes(hostile):
    def drip():
        a = hostile.connect(hold=False, wait=False)
        a.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        uid = "1.2.3.4.5.7"
        command = daemon.command_set(sop_class=CT, field=1, message=1, priority=0, data_set=0, sop_instance=uid)
        data = daemon.data_set(CT, uid, 0)
        for byte in a.request + pdata((1, 3, command)) + pdata(*[(1, 0, data[n:n + 1]) for n in range(len(data))],
                                                               (1, 2, b"")):
            a.socket.sendall(bytes([byte]))
        a.answer, a.body = a.read_pdu()
        status, comment, _ = a.response()
        assert status in (0, 0xB000), (hex(status), comment)
        a.socket.close()
    hostile.keep(drip, 2)


def attack_sends_pdvs_that_are_wrong(hostile):
    def wrong():
        for pdu in (struct.pack(">BxII", 4, 4, 0), struct.pack(">BxIIB", 4, 5, 1, 1),
                    struct.pack(">BxIIBB", 4, 6, 0xFFFFFFFF, 1, 3), struct.pack(">BxIIBB", 4, 6, 0x7FFFFFFF, 1, 3),
                    struct.pack(">BxI3x", 4, 3), pdata((99, 3, b"")), pdata((1, 0xFF, b"\0" * 100)),
                    pdata((1, 4, b"ab"), (1, 0x80, b"")), pdata((2, 3, daemon.command_set(field=0x30))),
                    pdata((1, 3, b""))):
            kinds = ended(sent(hostile, pdu))
            assert kinds[-1:] in ([7], []), (pdu, kinds)
    hostile.keep(wrong)


def sent(hostile, *parts):
    a = hostile.connect(hold=False)
    for part in parts:
        a.socket.sendall(part)
    a.socket.shutdown(socket.SHUT_WR)
    return a


def attack_never_reads(hostile):
    echo = pdata((3, 3, daemon.command_set(sop_class=VERIFICATION, field=0x30, message=1, data_set=0x0101)))
    for _ in range(10):
        a = hostile.connect()
        a.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        a.socket.settimeout(0.2)  # until neither side's buffers take more
        with contextlib.suppress(TimeoutError):
            while True:
                a.socket.sendall(echo * 500)


def attack_releases_in_the_middle(hostile):
    release = struct.pack(">BxII", 5, 4, 0)

    def middle():
        a = hostile.connect(hold=False)
        begin_store(a)
        a.pdv(1, 0, bytes(1000))
        a.socket.sendall(release)
        assert ended(a) == [7]
        half = daemon.command_set(sop_class=CT, field=1, message=1)[:40]
        a = hostile.connect(hold=False)
        a.socket.sendall(pdata((1, 1, half)) + release)
        ended(a)
    hostile.keep(middle)


def attack_aborts_and_aborts(hostile):
    abort = b"\7\0\0\0\0\4\0\0\0\0"

    def storm():
        for before in (b"", pdata((1, 1, b"half")), struct.pack(">BxI", 4, 500) + bytes(50)):
            a = hostile.connect(hold=False)
            a.socket.sendall(before + abort * 3)
            a.socket.close()
        with hostile.connect(hold=False, wait=False) as a:
            a.socket.sendall(abort)
    hostile.keep(storm, 2)


def attack_sends_commands_without_data_sets(hostile):
    store = daemon.command_set(sop_class=CT, field=1, message=1, priority=0, data_set=0, sop_instance="1.2.3")
    none = daemon.command_set(sop_class=CT, field=1, message=1, priority=0, data_set=0x0101, sop_instance="1.2.3")

    def without():
        for commands in ((store, store), (none,), (store[:-2],), (none, none)):
            kinds = ended(sent(hostile, *[pdata((1, 3, command)) for command in commands]))
            assert kinds[-1:] == [7], kinds
    hostile.keep(without)


def attack_sends_data_sets_without_commands(hostile):
    def without():
        data = daemon.data_set(CT, "1.2.3.4.5.8", 3000)
        assert ended(sent(hostile, pdata((1, 2, data))))[-1:] == [7]
        assert ended(sent(hostile, pdata((1, 0, data)) * 10))[-1:] in ([7], [])
    hostile.keep(without)


def attack_sends_huge_commands(hostile):
    """Endless ones, too: fragments without bytes."""
    def huge():
        pump(hostile.connect(hold=False), pdata((3, 1, bytes(16000))))
        pump(hostile.connect(hold=False), pdata(*[(3, 1, b"")] * 2000))
        with hostile.connect(hold=False) as a:  # as long as one may be
            command = daemon.command_set(sop_class=VERIFICATION, field=0x30, message=1, data_set=0x0101)
            command += daemon.element(0x5000, bytes(60000))
            for at in range(0, len(command), 16000):
                a.pdv(3, 3 if at + 16000 >= len(command) else 1, command[at:at + 16000])
            assert a.response()[0] == 0
    hostile.keep(huge)
    huge()


def attack_stores_for_ever(hostile):
    """A data set without an end: of pixels, of elements, of fragments without bytes, of one that is refused."""
    head = daemon.data_set(CT, "1.2.3.4.5.9")
    pixels = struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OW", 0xFFFFFFFE)

    def store(first, chunk, uid="1.2.3.4.5.9"):
        a = hostile.connect(hold=False)
        begin_store(a, uid)
        a.pdv(1, 0, first)
        pump(a, chunk)

    def all_of_them():
        store(head + pixels, pdata((1, 0, bytes(16000))))
        store(head, pdata((1, 0, struct.pack("<HH2sH", 0x11, 0x10, b"LO", 8) + b"ENDLESS ")) * 500)
        store(head, pdata(*[(1, 0, b"")] * 2000))
        store(b"\xff" * 100, pdata((1, 0, bytes(16000))))
        store(head + pixels, pdata((1, 0, bytes(16000))), uid="1.2.3.another")
    hostile.keep(all_of_them)
    all_of_them()


def malformed_requests(hostile):
    """Each made DCMTK leak 90 bytes a transfer syntax; a sanitizer tells at the end."""
    syntaxes = b"".join(daemon.item(0x40, b"1.2") for _ in range(2000))
    wrong = (daemon.item(0x20, struct.pack(">Bxxx", 1) + syntaxes + b"\x40\0\0\xff"),
             daemon.item(0x20, struct.pack(">Bxxx", 1) + daemon.item(0x30, CT.encode()) + syntaxes + b"\x40"),
             daemon.item(0x20, struct.pack(">Bxxx", 1) + daemon.item(0x30, CT.encode())),
             daemon.item(0x50, daemon.item(0x56, b"\0\x40" + bytes(500)) * 20 + b"\x56"))
    body = struct.pack(">Hxx16s16s32x", 1, b"PACSFS".ljust(16), b"HOSTILE".ljust(16))
    body += daemon.item(0x10, b"1.2.840.10008.3.1.1.1")
    for n in range(200 if sanitized() else 2000):
        with contextlib.suppress(ConnectionError), hostile.connect(hold=False, wait=False) as a:
            parts = body + wrong[n % len(wrong)]
            a.socket.sendall(struct.pack(">BxI", 1, len(parts)) + parts)
            a.socket.shutdown(socket.SHUT_WR)
            while a.socket.recv(1000):
                pass


# ---- the victim --------------------------------------------------------------------------------------------------


class Victim:
    def __init__(self, pacsd):
        self.pacsd, self.count, self.quiet = pacsd, 0, None
        self.old = self.call()

    def call(self):
        a = self.pacsd.connect(contexts=CONTEXTS, calling="VICTIM", source=VICTIM)
        assert a.answer == 2, f"the victim's call was answered by PDU type {a.answer}"
        return a

    def store(self):
        self.count += 1
        uid = f"1.2.3.99.{self.count}"
        status, comment, _ = self.old.store(1, CT, uid, daemon.data_set(CT, uid, 60000, number=self.count))
        assert status == 0, (hex(status), comment)

    def echo(self):
        with self.call() as a:
            a.command(3, sop_class=VERIFICATION, field=0x30)
            assert a.response()[0] == 0
            a.release()

    def work(self):
        """Latencies in ms, sorted. Nothing is asserted about them."""
        latencies = []
        for n in range(VICTIM_STORES):
            for what in [self.store] + [self.echo] * (n % (VICTIM_STORES // VICTIM_CALLS) == 0):
                begin = time.monotonic()
                what()
                latencies.append((time.monotonic() - begin) * 1000)
        return sorted(latencies)


# ---- what pacsd holds --------------------------------------------------------------------------------------------


def sanitized():
    with open(daemon.program("pacsd"), "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def held(pacsd):
    """Sockets, other descriptors less the files that the archive opens once and keeps, threads."""
    sockets = files = 0
    folder = f"/proc/{pacsd.process.pid}/fd"
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(os.path.join(folder, fd))
            sockets += target.startswith("socket:")
            files += not target.startswith("socket:") and not target.endswith(".pack")
    return sockets, files, len(os.listdir(f"/proc/{pacsd.process.pid}/task"))


def memory(pacsd, key):
    """Bytes, by a line of /proc/PID/status."""
    with open(f"/proc/{pacsd.process.pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(key + ":"))


def forget_peak(pacsd):
    with open(f"/proc/{pacsd.process.pid}/clear_refs", "w") as file:
        file.write("5")


def run_attack(attack, port, say, hear):
    """The child's life: in place -> the victim is done -> whether all was as it should be."""
    try:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 8192), limit))
        hostile = Hostile(port)
        check = attack(hostile)
        os.write(say, b"!")
        os.read(hear, 1)
        hostile.over.set()
        if check:
            check()
        assert not hostile.wrong, hostile.wrong
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def row(pacsd, victim, name, attack):
    before, anonymous = held(pacsd), memory(pacsd, "RssAnon")
    forget_peak(pacsd)
    (in_place, say), (hear, done) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(in_place)
        os.close(done)
        run_attack(attack, pacsd.port, say, hear)
    os.close(say)
    os.close(hear)
    try:
        assert os.read(in_place, 1) == b"!", f"{name}: the attack did not begin"
        latencies = victim.work()
    finally:
        os.close(done)
        os.close(in_place)
        status = os.waitpid(child, 0)[1]
    assert status == 0, f"{name}: the attack went otherwise than it should"
    # A connection has a second for its last words; the archive may have a file open for a moment of its own.
    back = daemon.wait_for(lambda: all(n <= was for n, was in zip(held(pacsd), before)))
    assert back, f"{name}: sockets, files and threads were {before} and are {held(pacsd)}"
    peak, grown = memory(pacsd, "VmHWM"), memory(pacsd, "RssAnon") - anonymous
    victim.quiet = victim.quiet or latencies
    print(f"  {name:<36} p50 {middle(latencies):7.1f} ms  p99 {latencies[-1]:7.1f} ms  "
          f"(quiet {middle(victim.quiet):.1f}, {victim.quiet[-1]:.1f})  peak {peak >> 20} MiB  grown {grown >> 10} KiB")
    sys.stdout.flush()
    if not sanitized():
        assert peak < MEMORY_MAX, f"{name}: {peak} bytes"
    return grown


def middle(latencies):
    return latencies[len(latencies) // 2]


ATTACKS = {name[7:]: f for name, f in list(globals().items()) if name.startswith("attack_")}


def case_victim_is_served_whatever_others_do():
    print(f"seed {SEED}; again: PACSFS_SEED={SEED} PACSFS_BIN={daemon.BIN} {sys.argv[0]} victim")
    only = os.environ.get("PACSFS_PEERS_ROW")
    with Daemon(CONFIG) as pacsd:
        victim = Victim(pacsd)
        victim.work()
        row(pacsd, victim, "nothing", lambda hostile: None)
        for _ in range(ROUNDS):
            for name, attack in ATTACKS.items():
                if not only or only == name:
                    row(pacsd, victim, name, attack)
        victim.old.release()
        assert pacsd.stop() == 0


def case_malformed_requests_leave_nothing():
    with Daemon(CONFIG) as pacsd:
        victim = Victim(pacsd)
        for n in range(1 if sanitized() else 2):
            grown = row(pacsd, victim, "malformed_requests", malformed_requests)
        assert sanitized() or grown < 8 << 20, f"{grown} bytes for 2000 malformed requests"
        victim.old.release()


def case_64_associations_send_at_once():
    """All of them are in the middle of an image when each sends the rest of it; memory is bounded."""
    config = CONFIG.replace("[server]", "[server]\nmax_associations = 64\nmax_associations_a_peer = 64")
    with Daemon(config) as pacsd:
        with pacsd.connect(contexts=CONTEXTS) as first:  # what the archive opens, it keeps
            assert first.store(1, CT, "1.2.3.64", daemon.data_set(CT, "1.2.3.64", 2 << 20))[0] == 0
            first.release()
        assert daemon.wait_for(lambda: pacsd.status()["associations_now"] == 0)
        before = held(pacsd)
        open_ones = [pacsd.connect(contexts=CONTEXTS, calling=f"S{n}") for n in range(64)]
        assert all(a.answer == 2 for a in open_ones)
        with pacsd.connect() as beyond:
            assert beyond.rejected() == (2, 3, 2)
        objects = [daemon.data_set(CT, f"1.2.3.64.{n}", 2 << 20, series=f"1.2.3.64.{n % 4}", number=n)
                   for n in range(64)]
        wrong = []

        def finish(n):
            try:
                for at in range(1 << 20, len(objects[n]), 16000):
                    last = at + 16000 >= len(objects[n])
                    open_ones[n].pdv(1, 2 if last else 0, objects[n][at:at + 16000])
                status, comment, _ = open_ones[n].response()
                if status:
                    wrong.append((n, hex(status), comment))
                open_ones[n].release()
            except Exception as why:
                wrong.append((n, repr(why)))

        for n, a in enumerate(open_ones):
            begin_store(a, f"1.2.3.64.{n}")
            for at in range(0, 1 << 20, 16384):
                a.pdv(1, 0, objects[n][at:at + 16384])
        assert pacsd.status()["associations_now"] == 64
        threads = [threading.Thread(target=finish, args=(n,)) for n in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong
        assert pacsd.counted("stored", 65)
        peak = memory(pacsd, "VmHWM")
        print(f"  64 associations at once: peak {peak >> 20} MiB")
        assert sanitized() or peak < MEMORY_MAX, f"{peak} bytes"
        assert daemon.wait_for(lambda: all(n <= was for n, was in zip(held(pacsd), before))), (held(pacsd), before)


if __name__ == "__main__":
    daemon.main(globals())
