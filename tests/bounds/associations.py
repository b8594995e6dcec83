"""Sixty-four associations at once, a peer that never reads, thousands one after the other: pacsd's memory, descriptors
and threads stay bounded, and are afterwards what they were before.

BOUNDS_ASSOCIATIONS is how many come one after the other (250 twice; the second half must not cost memory).
"""
import concurrent.futures
import os
import socket

from bounds import BEYOND, MIB, SANITIZED, Big, Peak, Same, anonymous, daemon, main, size_of

CACHE = 16 * MIB
AT_ONCE = 64
ROUNDS = size_of("BOUNDS_ASSOCIATIONS", 250, 100)
GROWTH = 8 * MIB  # arenas come and go; the sanitizer sees what is lost for good
CONFIGURATION = ("[server]\nmax_associations = 80\nmax_associations_a_peer = 80\nlog_level = warning\n"
                 "[archive]\nreserve = 1M\ncache = 16M\n")
# Kept by an association that receives: its chunks until they are written, its header, DCMTK's buffers.
AN_ASSOCIATION = {False: 3 * MIB, True: 8 * MIB}  # by whether pixels are encapsulated


def pacsd():
    return daemon.Daemon(CONFIGURATION)


def send(port, number, frames, encapsulated):
    image = Big(frames * Big.FRAME, f"1.2.3.{number}", encapsulated)
    contexts = {1: (image.SOP_CLASS, [image.syntax])}
    with daemon.Association(port, contexts, max_pdu=131072) as sender:
        status = image.store(sender, 1)
        sender.release()
    return status


def small(port, number):
    with daemon.Association(port, {1: (daemon.CT, [daemon.EXPLICIT])}) as sender:
        uid = f"1.2.4.{number}"
        status = sender.store(1, daemon.CT, uid, daemon.data_set(daemon.CT, uid, 8192, number=number))[0]
        sender.release()
    return status


def case_associations_64_at_once():
    frames = 4 if SANITIZED else 16
    for encapsulated in (False, True):
        with pacsd() as server, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            assert small(server.port, 1) == 0
            with Same(server.process.pid):
                limit = CACHE + BEYOND + AT_ONCE * AN_ASSOCIATION[encapsulated]
                with Peak(server.process.pid, f"pacsd, 64 associations, encapsulated: {encapsulated}", limit):
                    for round_number in range(2):
                        jobs = [pool.submit(send, server.port, 100 * round_number + i, frames, encapsulated)
                                for i in range(AT_ONCE)]
                        assert [job.result() for job in jobs] == [0] * AT_ONCE


def case_associations_that_never_read():
    """It asks, and takes no answer. Sockets hold some; then pacsd stops to read, and keeps nothing."""
    with pacsd() as server:
        assert small(server.port, 1) == 0
        with Same(server.process.pid), Peak(server.process.pid, "pacsd, peers that never read", CACHE + BEYOND):
            peers = [server.connect() for _ in range(16)]
            for peer in peers:
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                peer.socket.settimeout(2)
                try:
                    for _ in range(20000):
                        peer.command(1, sop_class=daemon.VERIFICATION, field=0x30)
                except OSError:
                    pass  # it does not read any more
                finally:
                    peer.socket.settimeout(daemon.WAIT_S)
            assert small(server.port, 2) == 0, "others are served meanwhile"
            for peer in peers:
                peer.socket.close()


def case_associations_one_after_the_other_leak_nothing():
    with pacsd() as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        pid = server.process.pid
        assert list(pool.map(small, [server.port] * ROUNDS, range(ROUNDS))) == [0] * ROUNDS
        with Same(pid):
            before = anonymous(pid)
            assert list(pool.map(small, [server.port] * ROUNDS, range(ROUNDS, 2 * ROUNDS))) == [0] * ROUNDS
        gained = anonymous(pid) - before
        print(f"  pacsd, {ROUNDS} more associations: {before / MIB:.1f} MiB and {gained / MIB:.1f}")
        assert SANITIZED or gained <= GROWTH, f"{gained} bytes more after {ROUNDS} associations"


if __name__ == "__main__":
    os.environ.setdefault("TCP_NODELAY", "1")
    main(globals())
