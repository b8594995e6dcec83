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
    with Daemon() as pacsd:
        with pacsd.connect(calling="A\nB\x1b[1m") as a:
            assert a.answer == 2
        assert pacsd.logged("A\\x0aB\\x1b[1m")


if __name__ == "__main__":
    daemon.main(globals())
