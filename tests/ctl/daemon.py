"""pacsctl beside a running pacsd: work goes through it, the lock stays its."""
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import io
import time

from ctl import BIN, case, dicom, equal, holds, main, new_archive, pacsctl, summary, verdicts, write

PACSD = os.path.join(BIN, "pacsd")
if not os.path.exists(PACSD):
    print("pacsd is not built")
    sys.exit(77)


class Daemon:
    def __init__(self, archive):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen([PACSD, "-A", archive, "--dicom", f"127.0.0.1:{port}"],
                                        stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if json.loads(pacsctl("status", "--json", archive=archive).out)["running"]:
                return
            time.sleep(0.1)
        raise AssertionError("pacsd did not come up")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@case
def import_through_the_daemon(here):
    archive = new_archive(here)
    for i in range(1, 41):
        write(here, "in", f"{i}.dcm", data=dicom(instance=i))
    write(here, "in", "README", data=b"text\n")
    write(here, "in", "bad.dcm", data=dicom(instance=99)[:-20])
    with Daemon(archive):
        result = pacsctl("import", "--json", os.path.join(here, "in"), archive=archive, status=1)
        by = verdicts(result)
        equal((len(by["stored"]), len(by["skipped"]), len(by["refused"])), (40, 1, 1))
        again = verdicts(pacsctl("import", "--json", os.path.join(here, "in", "1.dcm"), archive=archive))
        equal(list(again), ["duplicate"])
        equal(len(pacsctl("find", "--json", "--level=instance", archive=archive).lines()), 40)
    pacsctl("verify", archive=archive)


@case
def import_long_members_through_the_daemon(here):
    archive = new_archive(here)
    big = dicom(rows=40000, Columns=64, PixelData=os.urandom(40000 * 64 * 2))
    path = os.path.join(here, "t.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("a.dcm")
        info.size = len(big)
        tar.addfile(info, io.BytesIO(big))
    with Daemon(archive):
        equal(len(verdicts(pacsctl("import", "--json", path, archive=archive))["stored"]), 1)
        out = os.path.join(here, "out")
        pacsctl("export", "--flat", "-o", out, "PatientID=*", archive=archive)
        equal(open(os.path.join(out, os.listdir(out)[0]), "rb").read(), big)


@case
def import_long_member_cut_short_through_the_daemon(here):
    archive = new_archive(here)
    whole = dicom(rows=40000, Columns=64, PixelData=os.urandom(40000 * 64 * 2))
    path = os.path.join(here, "t.tar")
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a.dcm")
        info.size = len(whole) + (1 << 20)
        tar.addfile(info, io.BytesIO(whole + bytes(1 << 20)))
    with open(path, "r+b") as file:
        file.truncate(512 + len(whole))
    with Daemon(archive):
        by = verdicts(pacsctl("import", "--json", path, archive=archive, status=1))
        equal(list(by), ["refused"])
        equal(len(by["refused"]), 1)
        equal(pacsctl("find", "--json", "--level=instance", archive=archive).out, "")


@case
def rebuild_is_refused_while_the_daemon_runs(here):
    archive = new_archive(here)
    with Daemon(archive):
        holds("pacsd", pacsctl("rebuild", archive=archive, status=4).err)
    pacsctl("rebuild", archive=archive)


@case
def status_of_a_running_daemon(here):
    archive = new_archive(here)
    with Daemon(archive):
        status = json.loads(pacsctl("status", "--json", archive=archive).out)
        equal(status["running"], True)
        assert status["pacsd"]["pid"], status
        holds("running", pacsctl("status", archive=archive).out)


main()
