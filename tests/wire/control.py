"""The control socket: its verbs, and who may use it."""
import contextlib
import os
import random
import socket
import stat

import daemon
from daemon import Control, Daemon

FILE = "/usr/lib/python3/dist-packages/pydicom/data/test_files/CT_small.dcm"


def case_ping_and_status():
    with Daemon("[peer a]\naet = A\n") as pacsd:
        with Control(pacsd.archive) as control:
            assert control.call("ping")[1][0] == "done"
            assert control.call("ping")[1][0] == "done"
        assert pacsd.echo()[0] == 0
        assert pacsd.counted("associations", 1)
        status = pacsd.status()
        assert status["pid"] == pacsd.process.pid and status["aet"] == "PACSFS" and status["peers"] == 1
        assert status["listen"] == pacsd.addresses and status["archive"] == pacsd.archive
        assert status["writer"]["failed_writes"] == 0 and status["cache"]["limit"] > 0 and status["uptime_seconds"] >= 0


def case_import_of_a_descriptor():
    if not os.path.exists(FILE):
        raise daemon.Skip("Debian's pydicom is not here")
    with Daemon() as pacsd, Control(pacsd.archive) as control:
        with open(FILE, "rb") as file:
            file.seek(100)  # from its start all the same
            _, words = control.call("import", FILE, fds=[file.fileno()])
            assert words[:2] == ["done", "stored"] and len(words) == 9, words
            _, words = control.call("import", FILE, fds=[file.fileno()])
            assert words[:2] == ["done", "duplicate"], words
        read, write = os.pipe()
        try:
            os.write(write, b"this is no DICOM")
            os.close(write)
            _, words = control.call("import", "pipe", fds=[read])
            assert words[:2] == ["error", "cannot understand"], words
        finally:
            os.close(read)


def case_requests_that_are_none():
    with Daemon() as pacsd, Control(pacsd.archive) as control, open("/dev/null") as null:
        assert control.call("frobnicate")[1][:2] == ["error", "unsupported"]
        assert control.call("import", "name")[1][:2] == ["error", "usage"]
        assert control.call("ping", fds=[null.fileno()])[1][:2] == ["error", "usage"]
        assert control.call("import", "null", fds=[null.fileno()])[1][:2] == ["error", "usage"]
        assert control.call("rebuild")[1][:2] == ["error", "busy"]
        assert control.call("ping", "more")[1][:2] == ["error", "usage"]
        control.socket.send(b"\0" * 1000)
        assert control.socket.recv(100) == b"", "a packet of 1000 words ends the connection"
        assert pacsd.status()["pid"] == pacsd.process.pid


def case_who_does_not_read_stops_nobody():
    with Daemon() as pacsd:
        control = Control(pacsd.archive)
        control.socket.settimeout(1)
        try:
            while True:
                control.socket.send(b"ping\0")
        except TimeoutError:
            pass
        assert pacsd.echo()[0] == 0
        pacsd.process.terminate()
        assert pacsd.process.wait(daemon.WAIT_S) == 0
        control.socket.close()


def case_no_descriptor_is_leaked():
    with Daemon() as pacsd, Control(pacsd.archive) as control, open("/dev/null") as null:
        control.call("ping")
        before = len(os.listdir(f"/proc/{pacsd.process.pid}/fd"))
        for _ in range(50):
            control.call("import", "null", fds=[null.fileno()])
            control.call("ping", fds=[null.fileno(), null.fileno(), null.fileno()])
        # The archive may have a file open for a moment of its own.
        assert daemon.wait_for(lambda: len(os.listdir(f"/proc/{pacsd.process.pid}/fd")) <= before)


def case_many_connections():
    """As many as are served at one time, all at work; then all idle, and the oldest makes room."""
    with Daemon() as pacsd:
        read, write = os.pipe()
        many = [Control(pacsd.archive) for _ in range(32)]
        try:
            for control in many:
                socket.send_fds(control.socket, [b"import\0pipe\0"], [read])
            with Control(pacsd.archive) as beyond:
                assert beyond.answer()[1][:2] == ["error", "busy"]
            assert pacsd.echo()[0] == 0
        finally:
            os.close(read)
            os.close(write)
        assert all(control.answer()[1][0] == "error" for control in many)  # an empty file

        assert daemon.wait_for(lambda: pinged(pacsd)), "32 that say nothing keep nobody out"
        ended = 0
        for control in many:
            control.socket.setblocking(False)
            try:
                ended += control.socket.recv(1) == b""
            except BlockingIOError:
                pass
            control.socket.close()
        assert ended >= 1


def case_wrong_descriptors():
    with Daemon() as pacsd, Control(pacsd.archive) as control:
        folder = os.path.join(pacsd.archive, "packs")
        path = os.path.join(pacsd.folder, "file")
        with socket.socket() as unconnected:
            wrong = [os.open(path, os.O_WRONLY | os.O_CREAT), os.open(folder, os.O_RDONLY), os.open(path, os.O_PATH),
                     os.open("/dev/zero", os.O_RDONLY), os.eventfd(0), unconnected.fileno()]
            for fd in wrong:
                _, words = control.call("import", "wrong", fds=[fd])
                assert words[0] == "error", (os.readlink(f"/proc/self/fd/{fd}"), words)
            for fd in wrong[:5]:
                os.close(fd)
        assert control.call("ping")[1][0] == "done"


def pinged(pacsd):
    try:
        with Control(pacsd.archive) as control:
            return control.call("ping")[1][0] == "done"
    except OSError:
        return False


def case_garbage():
    """Packets of anything, from many at once, beside one who wants something."""
    generator = random.Random(10)
    with Daemon() as pacsd:
        for _ in range(300):
            with Control(pacsd.archive) as control, contextlib.suppress(ConnectionError):
                size = generator.choice((1, 2, 10, 1000, 65536))
                kind = generator.randrange(3)
                control.socket.send(bytes(size) if kind == 0 else generator.randbytes(size) if kind == 1 else
                                    b"import\0" + b"x" * (size % 1000) + b"\0" * (size % 3))
        assert daemon.wait_for(lambda: pinged(pacsd))
        assert pacsd.echo()[0] == 0
        assert all(ord(c) >= 32 for line in pacsd.log().split("\n") for c in line)


def case_folder_is_closed_to_others():
    with Daemon() as pacsd:
        for place in ("", "run", "quarantine", "packs"):
            mode = stat.S_IMODE(os.stat(os.path.join(pacsd.archive, place)).st_mode)
            assert mode & 0o007 == 0, (place, oct(mode))
        assert stat.S_IMODE(os.stat(os.path.join(pacsd.archive, "run", "pacsd.sock")).st_mode) & 0o007 == 0


def case_socket_of_a_dead_daemon_is_replaced():
    with Daemon() as pacsd:
        path = os.path.join(pacsd.archive, "run", "pacsd.sock")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        pacsd.process.kill()
        pacsd.process.wait()
        assert os.path.exists(path)
        pacsd.start()
        assert pacsd.status()["pid"] == pacsd.process.pid
        assert pacsd.stop() == 0
        assert not os.path.exists(path)
        pacsd.start()


def case_stop_does_not_wait_for_a_pipe():
    with Daemon() as pacsd, Control(pacsd.archive) as control:
        read, write = os.pipe()
        try:
            socket.send_fds(control.socket, [b"import\0pipe\0"], [read])
            assert pacsd.stop() == 0
        finally:
            os.close(read)
            os.close(write)


def case_caller_who_goes_takes_its_import_along():
    """Also when the pipe that it named has a writer who says nothing and stays."""
    with Daemon() as pacsd:
        read, write = os.pipe()
        pipe = os.readlink(f"/proc/self/fd/{read}")

        def holds_it():
            folder = f"/proc/{pacsd.process.pid}/fd"
            with contextlib.suppress(FileNotFoundError):
                return pipe in [os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)]

        try:
            with Control(pacsd.archive) as control:
                socket.send_fds(control.socket, [b"import\0pipe\0"], [read])
                assert daemon.wait_for(holds_it)
            assert daemon.wait_for(lambda: holds_it() is False)
        finally:
            os.close(read)
            os.close(write)


def case_other_users_are_refused():
    if os.geteuid() != 0:
        raise daemon.Skip("not root: cannot become another user")
    with Daemon() as pacsd:
        path = os.path.join(pacsd.archive, "run", "pacsd.sock")
        os.chmod(path, 0o666)
        folder = path
        while len(folder := os.path.dirname(folder)) > 4:
            os.chmod(folder, 0o755)
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            with Control(pacsd.archive) as control:
                os._exit(0 if control.answer()[1][:2] == ["error", "refused"] else 1)
        assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    daemon.main(globals())
