"""pacsctl import: archives that mean harm, a row each. What stands in front of the harm is kept, the rest is refused or
passed over with its reason; nothing is written but the archive, no verdict steers a terminal, memory is bounded."""
import io
import os
import re
import resource
import signal
import tarfile
import zipfile

import ctl
from ctl import case, dicom, equal, main, new_archive, pacsctl, verdicts, write

MEMORY_MAX = 128 << 20  # sanitizers included: it unpacks with 8 workers, each of which may hold members of 4 MiB
GOOD = {"good.dcm": dicom()}


def zipped(members, mode=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode or {}).get(name, 0o100644) << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def tarred(members, special=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind, target in special:
            info = tarfile.TarInfo(f"special-{kind.decode()}")
            info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 1
            archive.addfile(info)
    return out.getvalue()


def bomb_of_zips(depth, width):
    data = zipped({"a.dcm": dicom(instance=2, Rows=1, PixelData=bytes(16 << 20))})
    for _ in range(depth):
        data = zipped({f"{n}.zip": data for n in range(width)})
    return data


def lying_tar():
    """A member that says 8 GiB, and ends."""
    info = tarfile.TarInfo("long.dcm")
    info.size = 8 << 30
    size = 512 + -(-len(GOOD["good.dcm"]) // 512) * 512
    return tarred(GOOD)[:size] + info.tobuf() + dicom(instance=2)


LINKS = ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "good.dcm"), (tarfile.CHRTYPE, ""), (tarfile.BLKTYPE, ""),
         (tarfile.FIFOTYPE, ""))
HARM = ("a\nstored /etc/passwd 1.2.3", "\x1b[2J\x1b]0;x\x07", "$(touch CANARY)", "-rf", "\u202egnp.dcm",
        "b\r", "..", "x" * 3000)

# name: bytes, options, {verdict: how many}, what each reason must have
ROWS = {
    "tar_of_links_and_nodes": (lambda: tarred(GOOD, LINKS), (), {"stored": 1, "skipped": 5}, "link inside|no file"),
    "zip_of_links": (lambda: zipped({**GOOD, "link": b"/etc/passwd"}, {"link": 0o120777}), (),
                     {"stored": 1, "skipped": 1}, "a link inside"),
    "tar_of_names_that_climb": (lambda: tarred({"../../CANARY": GOOD["good.dcm"], "/CANARY": dicom(instance=2)}), (),
                                {"stored": 2}, ""),
    "zip_of_harmful_names": (lambda: zipped({n: dicom(instance=i) for i, n in enumerate(HARM)}), (),
                             {"stored": len(HARM)}, ""),
    "tar_of_harmful_names": (lambda: tarred({n: dicom(instance=i) for i, n in enumerate(HARM)}), (),
                             {"stored": len(HARM)}, ""),
    "zip_bomb": (lambda: zipped({**GOOD, "a.dcm": dicom(instance=2, Rows=1, PixelData=bytes(256 << 20))}), (),
                 {"stored": 1, "refused": 1}, "--max-ratio"),
    "zip_bomb_that_is_passed_over": (lambda: zipped({**GOOD, "zeros": bytes(256 << 20)}), (),
                                     {"stored": 1, "skipped": 1}, "nothing but zeros"),
    "zip_bomb_of_a_thousand_zips": (lambda: zipped({**GOOD, "bomb.zip": bomb_of_zips(2, 10)}), ("--max-depth=9",),
                                    {"stored": 1, "refused": 1}, "--max-ratio"),
    "zip_bomb_by_total": (lambda: zipped({**GOOD, "bomb.zip": bomb_of_zips(1, 10)}),
                          ("--max-ratio=1000000", "--max-total=64M"),
                          {"stored": 2, "duplicate": 2, "refused": 1}, "--max-total"),
    "tar_that_lies": (lying_tar, (), {"stored": 1, "refused": 1}, "."),
    "tar_cut": (lambda: tarred({**GOOD, "second.dcm": dicom(instance=2, rows=500)})[:-6000], (),
                {"stored": 1, "refused": 1}, "."),
    "tar_of_nothing_many_times": (lambda: tarred({f"{n}": b"" for n in range(20000)}), (),
                                  {"skipped": 20000}, "an empty file"),
    "zip_of_noise": (lambda: b"PK\3\4" + bytes(range(256)) * 40, (), {"refused": 1}, "."),
}


def peak(words, archive):
    """Exit status, output, most memory; the test itself stays small, for its size counts for what it starts."""
    reader, writer = os.pipe()
    environment = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=16:" + os.environ.get("ASAN_OPTIONS", "")}
    pid = os.posix_spawn(ctl.PACSCTL, [ctl.PACSCTL, "-A", archive, *words], environment,
                         file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)])
    os.close(writer)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(240)
    with open(reader, "rb") as file:
        out = file.read()
    _, status, usage = os.wait4(pid, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status), out, usage.ru_maxrss << 10


def in_a_child(path, make):
    """Written by another process: what it takes for that is not ours."""
    pid = os.fork()
    if pid == 0:
        try:
            write(path, data=make())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def try_row(here, name):
    make, options, wanted, reason = ROWS[name]
    archive, path = new_archive(here), os.path.join(here, "in", name)
    in_a_child(path, make)
    before = sorted(os.listdir(here))
    status, out, most = peak(["import", "--json", *options, path], archive)
    equal(status, 1 if "refused" in wanted else 0)
    assert b"Sanitizer" not in out and b"runtime error" not in out, out[-3000:]
    by = verdicts(type("Said", (), {"json": lambda _: [ctl.json.loads(line) for line in out.splitlines()]})())
    equal({verdict: len(paths) for verdict, paths in by.items()}, wanted)
    for line in map(ctl.json.loads, out.splitlines()):
        assert line["verdict"] in ("stored", "duplicate", "summary") or re.search(reason, line["reason"]), line
    assert most <= MEMORY_MAX, f"{most >> 20} MiB"
    if os.environ.get("PEAKS"):
        print(f"  {name}: at most {most >> 20} MiB")
    equal(sorted(os.listdir(here)), before)
    assert not os.path.exists("CANARY") and not os.path.exists("/CANARY")
    _, out, _ = peak(["import", *options, path], archive)
    text = out.decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text), text
    for line in text.splitlines():
        assert re.match(r"(stored|duplicate|refused|skipped) |[0-9,]+ stored, ", line), line
    pacsctl("verify", archive=archive)


for row in ROWS:
    def run(here, name=row):
        try_row(here, name)
    run.__name__ = row
    case(run)

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
main()
