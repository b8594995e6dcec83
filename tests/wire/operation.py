"""pacsd under its administrator: options, configuration, signals, what it says when it cannot start."""
import os
import signal
import socket
import tempfile
import time

import daemon
from daemon import CT, EXPLICIT, Daemon, program, run


def start_fails(pacsd, *parts):
    """pacsd with another configuration or option does not start, and says why."""
    status, _, errors = run(*pacsd.command(), env=pacsd.env)
    assert status not in (0, None) and status > 0, (status, errors)
    for part in parts:
        assert part in errors, f"{part!r} is not in:\n{errors}"
    return status


def offline(config="", options=()):
    pacsd = Daemon(config, options)
    daemon.make_archive(pacsd.archive)
    return pacsd


def case_options_that_are_wrong_say_so():
    status, _, errors = run(program("pacsd"), "--dicm", "x")
    assert status == 2 and "did you mean --dicom?" in errors, errors
    status, _, errors = run(program("pacsd"), env={"PACS_ARCHIVE": ""})
    assert status == 2 and "PACS_ARCHIVE" in errors, errors
    status, _, errors = run(program("pacsd"), "-A", "/tmp", "more")
    assert status == 2 and '"more"' in errors, errors
    status, _, errors = run(program("pacsd"), "-A", "/tmp", "--aet", "A TITLE OF TOO MANY")
    assert status == 2 and "AE title" in errors, errors
    status, output, _ = run(program("pacsd"), "--version")
    assert status == 0 and output.startswith("pacsd "), output


def case_help_config_is_a_configuration():
    """What --help-config prints can be read as it is: every default is valid."""
    status, output, _ = run(program("pacsd"), "--help-config")
    assert status == 0 and "max_associations" in output
    text = output[:output.index("[peer NAME]")].replace("127.0.0.1:11112", "127.0.0.1:0")
    with Daemon(text) as pacsd:
        assert pacsd.echo()[0] == 0


def case_errors_of_the_configuration_name_the_line():
    for text, parts in {
        "[server]\naet = OURS\nacept = any\n": ("pacs.conf:3", "acept", "accept"),
        "[server]\n\nmax_pdu = 10\n": ("pacs.conf:3", "max_pdu"),
        "[server]\naccept = some\n": ("pacs.conf:2", "any, known"),
        "[sever]\naet = X\n": ("pacs.conf:", "sever", "server"),
        "[server]\naet = A TITLE OF TOO MANY CHARACTERS\n": ("pacs.conf:2", "AE title"),
        "[peer x]\naet = X\naddress = modality.example\n": ("pacs.conf:3", "modality.example"),
        "[peer x]\naet = X\naddress = 10.0.0.0/33\n": ("pacs.conf:3", "10.0.0.0/33"),
        "[peer x]\nissuer = Y\n": ("[peer x] has no aet",),
    }.items():
        start_fails(offline(text), *parts)
    pacsd = offline()
    os.unlink(pacsd.config_path)
    start_fails(pacsd, "pacs.conf")


def case_address_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        start_fails(offline(options=["--dicom", f"127.0.0.1:{port}"]), f"port {port} is taken", "ss -ltnp")


def case_addresses_that_are_none():
    for text in ("11112", "::1:11112", "127.0.0.1:99999", "127.0.0.1:http", "[::1:11112", ":11112"):
        status = start_fails(offline(options=["--dicom", text]))
        assert status == 2, (text, status)


def case_privileged_port_names_the_remedy():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        first = int(file.read())
    if first <= 104:
        raise daemon.Skip("this machine lets anyone have port 104")
    pacsd = offline(options=["--dicom", "127.0.0.1:104"])
    if os.geteuid() == 0:
        pacsd.wrap = [daemon.client("setpriv"), "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    start_fails(pacsd, "port 104", "setcap", "AmbientCapabilities", "ip_unprivileged_port_start")


def case_second_daemon_on_an_archive_is_refused():
    with Daemon() as pacsd:
        second = Daemon(archive=pacsd.archive)
        assert start_fails(second) == 4  # busy
        assert pacsd.echo()[0] == 0


def case_no_archive():
    pacsd = Daemon()
    start_fails(pacsd, pacsd.archive)


def case_archive_from_environment_and_its_own_configuration():
    pacsd = offline()
    with open(os.path.join(pacsd.archive, "pacs.conf"), "w") as file:
        file.write("[server]\naet = INSIDE\ncheck_called = yes\n[archive]\nreserve = 1M\n")
    pacsd.env["PACS_ARCHIVE"] = pacsd.archive
    pacsd.command = lambda: [program("pacsd"), "--dicom", "127.0.0.1:0"]
    with pacsd:
        assert pacsd.echo("ME", "INSIDE")[0] == 0
        assert pacsd.echo("ME", "PACSFS")[0] != 0


def case_sighup_rereads():
    with Daemon("[server]\naccept = known\n[peer a]\naet = FIRST\n") as pacsd:
        assert pacsd.echo("FIRST")[0] == 0 and pacsd.echo("SECOND")[0] != 0
        pacsd.configure("[server]\naccept = known\n[peer b]\naet = SECOND\n")
        pacsd.process.send_signal(signal.SIGHUP)
        assert pacsd.logged("configuration read again")
        assert pacsd.echo("FIRST")[0] != 0 and pacsd.echo("SECOND")[0] == 0
        pacsd.configure("[server]\naccept = nobody\n")
        pacsd.process.send_signal(signal.SIGHUP)
        assert pacsd.logged("the configuration stays as it was: ") and "pacs.conf:2" in pacsd.log()
        assert pacsd.echo("FIRST")[0] != 0 and pacsd.echo("SECOND")[0] == 0


def case_sigterm_drains():
    with Daemon("[server]\ndrain = 60 s\n") as pacsd:
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            pacsd.process.terminate()
            assert pacsd.logged("stopping")
            refused = daemon.wait_for(lambda: pacsd.echo()[0] != 0)
            assert refused, "no new association while it drains"
            data = daemon.data_set(CT, "1.2.3.4.5", 20000)
            assert a.store(1, CT, "1.2.3.4.5", data)[0] == 0, "those that are there are served"
            assert pacsd.process.poll() is None
            a.release()
        assert pacsd.process.wait(daemon.WAIT_S) == 0
        assert not os.path.exists(os.path.join(pacsd.archive, "run", "pacsd.ports"))


def case_drain_ends_with_an_abort():
    with Daemon("[server]\ndrain = 200 ms\n") as pacsd:
        with pacsd.connect() as a:
            pacsd.process.terminate()
            kind, _ = a.read_pdu()
            assert kind == 7, f"PDU type {kind} instead of A-ABORT"
        assert pacsd.process.wait(daemon.WAIT_S) == 0


def case_second_signal_ends_the_drain():
    with Daemon("[server]\ndrain = 1 h\n") as pacsd:
        with pacsd.connect() as a:
            pacsd.process.send_signal(signal.SIGINT)
            assert pacsd.logged("stopping")
            pacsd.process.send_signal(signal.SIGINT)
            assert a.read_pdu()[0] == 7
        assert pacsd.process.wait(daemon.WAIT_S) == 0


def case_systemd_is_told():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(daemon.WAIT_S)
            with Daemon(env={"NOTIFY_SOCKET": path}) as pacsd:
                assert manager.recv(100) == b"READY=1"
                pacsd.process.send_signal(signal.SIGHUP)
                assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert manager.recv(100) == b"READY=1"
                assert pacsd.stop() == 0
                assert manager.recv(100) == b"STOPPING=1"


def case_open_to_all_is_warned_of():
    with Daemon(options=["--dicom", "0.0.0.0:0"]) as pacsd:
        assert "any machine that reaches us may store" in pacsd.log()
    with Daemon() as pacsd:
        assert "any machine that reaches us may store" not in pacsd.log()
    with Daemon("[server]\naccept = known\n", ["--dicom", "0.0.0.0:0"]) as pacsd:
        assert "any machine that reaches us may store" not in pacsd.log()


def case_log_lines_cannot_be_forged():
    """Titles, UIDs, versions, classes, data sets: whatever a peer says is one line of printable characters."""
    evil = "A\nB\x1b[1m\x9b\x7f\t\r"
    with Daemon("[server]\nlog_level = debug\n") as pacsd:
        with pacsd.connect(calling="A\nB\x1b[1m", called="C\r\x07D") as a:
            assert a.answer == 2
        with pacsd.connect(contexts={1: (evil, [evil]), 3: (CT, [evil, EXPLICIT])}, wait=False) as a:
            a.socket.sendall(a.request.replace(b"TEST_1", b"\x1b[2J\n\x9b"))
            a.answer, a.body = a.read_pdu()
            a.take_contexts()
            for uid in (evil, "1.2.3\x1b[2J"):
                data = daemon.data_set(CT, uid, 100, study=evil, series=evil, id=evil, name=evil)
                a.store(3, CT, uid, data)
                a.store(3, evil, uid, data)
            a.command(3, data_set=True, sop_class=evil, field=0x20, priority=0)
            a.pdv(3, 2, b"")
            a.response()
            a.pdv(3, 2, evil.encode())  # a violation
        assert pacsd.logged("A\\x0aB\\x1b[1m")
        assert pacsd.logged("violates the protocol")
        with open(pacsd.log_path, "rb") as file:
            lines = file.read().split(b"\n")
        for line in lines:
            assert all(32 <= c < 127 or c >= 0xA0 for c in line.decode("utf-8").encode("latin-1", "ignore")), line
            assert not line or line[:2] == b"20", line


def looked_up(answering, during):
    """Whether names were asked for at a name server of ours while `during()` ran."""
    asked = []
    answering.settimeout(0.2)

    def drain():
        try:
            while True:
                asked.append(answering.recv(600))
        except TimeoutError:
            pass

    during()
    drain()
    return asked


def case_callers_are_not_looked_up():
    """pacsd lives where the only name server is one that never answers: a look-up would hang, and is seen."""
    if os.geteuid() != 0 or run("unshare", "-m", "true")[0] != 0:
        raise daemon.Skip("cannot make a mount namespace here")
    if not os.path.exists("/etc/resolv.conf") or not os.path.exists("/etc/nsswitch.conf"):
        raise daemon.Skip("no resolver to be replaced")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind(("127.0.0.9", 53))
        except OSError as why:
            raise daemon.Skip(f"no name server at 127.0.0.9: {why}")
        with open(os.path.join(folder, "resolv.conf"), "w") as file:
            file.write("nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
        with open(os.path.join(folder, "nsswitch.conf"), "w") as file:
            file.write("passwd: files\ngroup: files\nhosts: dns\n")
        wrap = ["unshare", "-m", "sh", "-c",
                f"mount --bind {folder}/resolv.conf /etc/resolv.conf && "
                f"mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf && exec \"$@\"", "sh"]
        seen = looked_up(server, lambda: run(*wrap, "getent", "hosts", "127.0.0.77"))
        if not seen:
            raise daemon.Skip("a look-up is not seen here")

        def call():
            with Daemon(wrap=wrap) as pacsd:
                with pacsd.connect(source="127.0.0.77") as a:
                    assert a.answer == 2
                    a.release()
                assert pacsd.echo()[0] == 0
                assert pacsd.logged("127.0.0.77 released")
        assert not looked_up(server, call)


if __name__ == "__main__":
    daemon.main(globals())
