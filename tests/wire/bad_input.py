"""Bad input (bad_rows.py) by every way in: imported by pacsctl alone, imported through a pacsd, sent by C-STORE.

Each row must end as its table says, with its reason; nothing may crash, grow beyond MEMORY_MAX or leave a trace
outside of the archive; what is refused stays where it was or lies in the quarantine, whole and with its reason; and
the good image beside each row is kept. No time is judged: WAIT_S only ends what hangs.

    bad_input.py [CASE]        ROWS=part of a row's name limits the table, PEAKS=1 tells the memory
"""
import atexit
import glob
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import bad_rows
import daemon
from bad_rows import CT, EXPLICIT, REFUSED, SKIPPED, STORED
from daemon import Daemon, Skip

WAIT_S = 600
PDV_SIZE = 16000
MEMORY_MAX = 128 << 20  # of a process, sanitizers included; the longest rows have 100 MB in their headers
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=16:" + os.environ.get("ASAN_OPTIONS", "")}
ROWS = [r for r in bad_rows.ROWS if os.environ.get("ROWS", "") in r.name]
SHORT = [r for r in ROWS if not r.long]
FILES = tempfile.mkdtemp(prefix="bad-input-")
atexit.register(shutil.rmtree, FILES, True)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.digest()


def write_files():
    """By another process: what this one takes would count for all that it starts."""
    subprocess.run([sys.executable, "-B", bad_rows.__file__, FILES, os.environ.get("ROWS", "")], check=True)
    return {row.name: sha256(row.path(FILES)) for row in ROWS}


WRITTEN = write_files()


def check_files():
    """A file stays where it was and as it was, whatever became of it."""
    for row in ROWS:
        assert sha256(row.path(FILES)) == WRITTEN[row.name], row.name


def pacsctl(*words, statuses=(0,), cwd=None):
    """Its output; how much memory it took is checked."""
    out = tempfile.TemporaryFile("w+", errors="surrogateescape")
    err = tempfile.TemporaryFile("w+", errors="surrogateescape")
    process = subprocess.Popen([os.path.abspath(daemon.program("pacsctl")), *words], stdout=out, stderr=err,
                               stdin=subprocess.DEVNULL, cwd=cwd, env={**os.environ, **SANITIZER})
    signal.signal(signal.SIGALRM, lambda *_: process.kill())
    signal.alarm(WAIT_S)
    _, status, usage = os.wait4(process.pid, 0)
    signal.alarm(0)
    process.returncode = os.waitstatus_to_exitcode(status)
    out.seek(0)
    err.seek(0)
    text, errors = out.read(), err.read()
    assert process.returncode in statuses, f"{words}: exit {process.returncode}\n{text[-3000:]}\n{errors[-3000:]}"
    assert "Sanitizer" not in errors and "runtime error" not in errors, errors
    assert usage.ru_maxrss << 10 <= MEMORY_MAX, f"{words}: {usage.ru_maxrss} KiB"
    say_peak(words[2], usage.ru_maxrss << 10)
    return text


def say_peak(what, size):
    if os.environ.get("PEAKS"):
        print(f"  {what}: at most {size >> 20} MiB")


def memory_peak(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) << 10


def plain(text, what):
    """No control characters but the ends of lines, none of C1, no marks that turn the direction of writing."""
    found = re.search("[\x00-\x09\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert not found, f"{what}: {found.group(0)!r} in {text[max(0, found.start() - 80):found.end() + 20]!r}"


def check_log(log):
    """Every line of the log is one that the daemon wrote, whole, and none is what an image said."""
    plain(log, "log")
    for line in log.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} [a-z]+: ", line), repr(line)


def check_canary(*folders):
    """Whatever a shell or a path would have made of an image's text."""
    for folder in folders + (os.getcwd(), tempfile.gettempdir(), "/"):
        assert not os.path.exists(os.path.join(folder, "CANARY")), folder
        assert not os.path.exists(os.path.join(folder, "evil")), folder


# ---- what came of it ---------------------------------------------------------------------------------------------


def names_below(folder):
    return [os.path.relpath(os.path.join(top, name), folder) for top, folders, files in os.walk(folder)
            for name in folders + files]


def check_archive(archive, rows, folder):
    """It holds, what it prints and the names that it gives are plain, every good image comes out bit for bit."""
    pacsctl("-A", archive, "verify")
    for words in (("find", "--level=instance"), ("find", "--level=patient", "--columns=PatientName,PatientID"),
                  ("find", "--level=study", "--columns=StudyDescription,AccessionNumber,StudyDate"),
                  ("find", "--level=series", "--columns=SeriesDescription,Modality"), ("conflicts",), ("stats",)):
        plain(pacsctl("-A", archive, *words), words[0])
    out = os.path.join(folder, "out")
    harm = [f"1.2.3.{row.number}" for row in rows if row.name.startswith("harm")]
    if harm:
        plain(pacsctl("-A", archive, "export", "-o", out, *harm), "export")
        plain("\n".join(names_below(out)), "names")
    goods = os.path.join(folder, "goods")
    pacsctl("-A", archive, "export", "--flat", "-o", goods, "PatientID=B10???")
    for row in rows:
        uid, data = row.good()
        with open(os.path.join(goods, uid + ".dcm"), "rb") as file:
            assert file.read().endswith(data), f"the good image beside {row.name}"
    check_canary(folder, archive, out)


def check_verdicts(lines, rows):
    by = {v["path"]: v for v in map(json.loads, lines.splitlines()) if v["verdict"] != "summary"}
    wrong = []
    for row in rows:
        path = row.path(FILES)
        verdict = by.get(path, {"verdict": "none"})
        said = verdict.get("reason", "") or verdict.get("remark", "")
        wanted, text = row.imported
        if verdict["verdict"] != wanted or text not in said or (wanted != STORED and not said):
            wrong.append(f"{row.name}: {verdict['verdict']}: {said!r} instead of {row.imported}")
        beside = by.get(os.path.join(os.path.dirname(path), "good.dcm"), {"verdict": "none"})
        if beside["verdict"] != STORED:
            wrong.append(f"the good image beside {row.name}: {beside}")
    assert not wrong, "\n".join(wrong)


def folders(rows):
    return [os.path.dirname(row.path(FILES)) for row in rows]


def import_status(rows):
    return (1,) if any(r.imported[0] == REFUSED for r in rows) else (0,)


# ---- cases -------------------------------------------------------------------------------------------------------


def import_all(archive, rows, folder):
    lines = pacsctl("-A", archive, "import", "--json", "-j2", *folders(rows), statuses=import_status(rows), cwd=folder)
    check_verdicts(lines, rows)
    check_files()
    plain(pacsctl("-A", archive, "import", *folders(SHORT), statuses=import_status(SHORT), cwd=folder), "import")


def case_imported_by_pacsctl_alone():
    folder = tempfile.mkdtemp(prefix="bad-input-")
    try:
        archive = daemon.make_archive(os.path.join(folder, "archive"))
        import_all(archive, ROWS, folder)
        check_archive(archive, ROWS, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def case_imported_through_pacsd():
    with Daemon(env=SANITIZER) as pacsd:
        import_all(pacsd.archive, SHORT, pacsd.folder)
        assert memory_peak(pacsd.process) <= MEMORY_MAX, memory_peak(pacsd.process)
        pacsd.stop()
        check_log(pacsd.log())
        check_archive(pacsd.archive, SHORT, pacsd.folder)


class Sender:
    """One association after another: a new one where the last was aborted."""

    def __init__(self, pacsd):
        self.pacsd, self.association = pacsd, None

    def store(self, uid, data, syntax):
        """`data`: a file. Status and Error Comment."""
        if not self.association:
            self.association = self.pacsd.connect(contexts={1: (CT, [EXPLICIT]), 3: (CT, [bad_rows.DEFLATED])})
            self.association.socket.settimeout(WAIT_S)
        context = 3 if syntax == bad_rows.DEFLATED else 1
        a = self.association
        a.command(context, data_set=True, sop_class=CT, field=1, priority=0, sop_instance=uid)
        part, last = data.read(PDV_SIZE), False
        while not last:
            following = data.read(PDV_SIZE)
            last = not following
            a.pdv(context, 2 if last else 0, part)
            part = following
        return a.response()[:2]

    def store_row(self, row):
        path, offset = row.sent_path(FILES)
        with open(path, "rb") as file:
            file.seek(offset)
            return self.store(row.uid, file, row.syntax)


def quarantined(archive):
    return {os.path.basename(p)[:-7] for p in glob.glob(os.path.join(archive, "quarantine", "*.reason"))}


def check_quarantine(archive, before, row, comment):
    """The data set as it came, and one line that says why."""
    new = quarantined(archive) - before
    assert len(new) == 1, f"{row.name}: {len(new)} in the quarantine"
    path = os.path.join(archive, "quarantine", new.pop())
    with open(path + ".reason", errors="strict") as file:
        reason = file.read()
    plain(reason, row.name)
    assert reason.endswith("\n") and reason.count("\n") == 1 and "TEST at 127.0.0.1" in reason, reason
    assert comment[:20] in reason, (comment, reason)
    sent, offset = row.sent_path(FILES)
    size, kept = os.path.getsize(sent) - offset, os.path.getsize(path + ".dcm")
    assert kept > size, f"{row.name}: {kept} of {size} bytes kept"
    with open(path + ".dcm", "rb") as file, open(sent, "rb") as whole:
        file.seek(kept - size)
        whole.seek(offset)
        while part := whole.read(1 << 20):
            assert file.read(len(part)) == part, f"{row.name}: other bytes in the quarantine"


def case_sent_by_c_store():
    rows = [r for r in ROWS if r.sent is not None]
    wrong = []
    with Daemon(env=SANITIZER) as pacsd:
        sender = Sender(pacsd)
        for row in rows:
            before = quarantined(pacsd.archive)
            status, comment = sender.store_row(row)
            wanted, text = row.sent
            if (status & 0xFF00) != wanted or text not in comment or (status and not comment):
                wrong.append(f"{row.name}: {status:04x}: {comment!r} instead of {wanted:04x} {text!r}")
            plain(comment, row.name)
            if status & 0xFF00 in (bad_rows.UNDERSTAND, bad_rows.MISMATCH):
                check_quarantine(pacsd.archive, before, row, comment)
            say_peak(row.name, memory_peak(pacsd.process))
            assert memory_peak(pacsd.process) <= MEMORY_MAX, f"{row.name}: {memory_peak(pacsd.process)} bytes"
            uid, data = row.good()
            status, comment = sender.store(uid, io.BytesIO(data), EXPLICIT)
            if status:
                wrong.append(f"the good image behind {row.name}: {status:04x} {comment}")
        assert not wrong, "\n".join(wrong)
        assert pacsd.echo()[0] == 0
        sender.association.release()
        pacsd.stop()
        check_log(pacsd.log())
        check_archive(pacsd.archive, rows, pacsd.folder)


def case_callers_with_harmful_titles():
    with Daemon(env=SANITIZER) as pacsd:
        for title in ("a\nb: error: x", "\x1b[2J\x1b]0;x", "$(touch CANARY)", "../../x", "%s%n%s%n", "\r\n\r\n",
                      "'; x; '", "\u0085\u009b31m"):
            with pacsd.connect(calling=title, called=title[::-1]) as a:
                assert a.answer in (2, 3), a.answer
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}, calling="a\n\x1b[31m`id`") as a:
            for uid in ("../../CANARY", "1.2\n3", "$(touch CANARY)", "/CANARY", "x" * 64, " "):
                status, comment, _ = a.store(1, CT, uid, bad_rows.image(1)[:-9])
                assert status & 0xF000, (uid, status)
                plain(comment, uid)
        names = os.listdir(os.path.join(pacsd.archive, "quarantine"))
        assert len(names) == 12 and all(re.fullmatch(r"[0-9._-]+\.(dcm|reason)", n) for n in names), names
        check_canary(pacsd.folder, pacsd.archive)
        assert pacsd.echo()[0] == 0
        pacsd.stop()
        check_log(pacsd.log())


def case_shown_in_the_tree():
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tree"))
    import tree
    if not tree.fuse_is_usable():
        raise Skip("/dev/fuse cannot be used")
    rows = [r for r in SHORT if r.imported[0] == STORED]
    folder = tempfile.mkdtemp(prefix="bad-input-")
    try:
        archive = daemon.make_archive(os.path.join(folder, "archive"))
        pacsctl("-A", archive, "import", "--json", *folders(rows))
        names = read = 0
        with tree.Mount(archive, os.path.join(folder, "m")) as mount:
            for top, below, files in os.walk(mount.path):
                for name in below + files:
                    plain(name, "name")
                    assert name not in (".", "..") and "\n" not in name and len(os.fsencode(name)) <= 255, name
                    names += 1
                for name in files:
                    path = os.path.join(top, name)
                    if name.endswith(".json"):
                        with open(path, "rb") as file:
                            json.loads(file.read())
                        read += 1
        assert names > len(rows) and read >= len(rows), (names, read)
        check_canary(folder, archive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    daemon.main(globals())
