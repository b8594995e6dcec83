"""pacsctl watch: what arrives, and when a series has settled."""
import json
import os
import select
import signal
import subprocess
import time

from ctl import PACSCTL, ROOT_UID, case, dicom, equal, holds, main, new_archive, pacsctl, write

WAIT_S = 60


class Watch:
    def __init__(self, archive, *options):
        self.process = subprocess.Popen([PACSCTL, "-A", archive, "watch", "--json", *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], WAIT_S)
        assert ready, "nothing came"
        return json.loads(self.process.stdout.readline())

    def end(self, number):
        self.process.send_signal(number)
        self.process.communicate(timeout=WAIT_S)
        return self.process.returncode


def put(here, archive, *files):
    for i, data in enumerate(files):
        pacsctl("import", "-q", write(here, f"f{i}.dcm", data=data), archive=archive)


def told(archive, *options):
    return pacsctl("watch", "--json", "--no-follow", *options, archive=archive).json()


@case
def watch_from_the_beginning(here):
    archive = new_archive(here, "--quiet=1 ms")
    put(here, archive, dicom(instance=1), dicom(instance=2), dicom(series=2))
    events = told(archive, "--from=0")
    arrivals = [e for e in events if e["event"] == "stored"]
    equal([e["instance"] for e in arrivals], [f"{ROOT_UID}.1.1.1", f"{ROOT_UID}.1.1.2", f"{ROOT_UID}.1.2.1"])
    equal([e["study"] for e in arrivals], [f"{ROOT_UID}.1"] * 3)
    assert all(e["path"].startswith("patients/") and e["path"].endswith(".dcm") for e in arrivals)
    assert [e["lsn"] for e in arrivals] == sorted({e["lsn"] for e in arrivals})
    settled = [e for e in events if e["event"] == "settled"]
    equal({e["series"] for e in settled}, {f"{ROOT_UID}.1.1", f"{ROOT_UID}.1.2"})
    times = [e["time"] for e in events]
    equal(times, sorted(times))


@case
def watch_settled_says_where_to_begin_again(here):
    archive = new_archive(here, "--quiet=1 ms")
    put(here, archive, *[dicom(series=i) for i in range(1, 5)])
    events = told(archive, "--from=0")
    for i, event in enumerate(events):
        if event["event"] == "settled":
            equal(event["lsn"], max(e["lsn"] for e in events[:i]))
            rest = told(archive, f"--from={event['lsn'] + 1}")
            assert all(later in rest for later in events[i + 1:])


@case
def watch_from_an_lsn_is_the_rest(here):
    archive = new_archive(here, "--quiet=1 ms")
    put(here, archive, *[dicom(series=1 + i % 2, instance=i) for i in range(1, 6)])
    everything = told(archive, "--from=0")
    for i, event in enumerate(everything):
        if event["event"] == "stored":
            equal(told(archive, f"--from={event['lsn']}")[-(len(everything) - i):], everything[i:])
            equal(told(archive, f"--from={event['lsn'] + 1}"), everything[i + 1:])
    last = max(e["lsn"] for e in everything if "lsn" in e)
    assert all(e["event"] == "settled" for e in told(archive, f"--from={last + 1}"))
    equal(told(archive), [])


@case
def watch_not_settled_before_its_time(here):
    archive = new_archive(here, "--quiet=1 h")
    put(here, archive, dicom())
    equal([e["event"] for e in told(archive, "--from=0")], ["stored"])


@case
def watch_follows_and_ends_on_signals(here):
    archive = new_archive(here, "--quiet=200 ms")
    for number in (signal.SIGINT, signal.SIGTERM):
        watch = Watch(archive, "--from=0")
        put(here, archive, dicom(instance=number))
        events = []
        while not events or events[-1]["event"] != "settled" or not any(
                e.get("instance") == f"{ROOT_UID}.1.1.{int(number)}" for e in events):
            events.append(watch.line())
        equal(events[-1]["series"], f"{ROOT_UID}.1.1")
        equal(watch.end(number), 0)


@case
def watch_from_now_tells_only_what_comes(here):
    archive = new_archive(here, "--quiet=1 ms")
    put(here, archive, dicom(instance=1))
    watch = Watch(archive)
    time.sleep(0.5)
    put(here, archive, dicom(instance=2))
    event = watch.line()
    while event["event"] == "settled":
        event = watch.line()
    equal(event["instance"], f"{ROOT_UID}.1.1.2")
    equal(watch.line()["event"], "settled")
    equal(watch.end(signal.SIGTERM), 0)


@case
def watch_ends_when_its_reader_goes(here):
    archive = new_archive(here)
    watch = Watch(archive)
    watch.process.stdout.close()
    deadline = time.monotonic() + WAIT_S
    instance = 0
    while watch.process.poll() is None and time.monotonic() < deadline:
        instance += 1
        put(here, archive, dicom(instance=instance))
    watch.process.stderr.close()
    equal(watch.process.wait(), 0)


@case
def watch_tells_versions_and_variants(here):
    archive = new_archive(here)
    put(here, archive, dicom(), dicom(StudyDescription="Other"))
    events = [e["event"] for e in told(archive, "--from=0")]
    equal(events[0], "stored")
    assert events[1] in ("version", "conflict"), events


@case
def watch_variant_unsettles_nothing(here):
    archive = new_archive(here, "--quiet=1 ms")
    put(here, archive, dicom())
    put(here, archive, b"\1" * 128 + dicom()[128:])
    equal([e["event"] for e in told(archive, "--from=0")], ["stored", "settled", "variant"])


@case
def watch_for_people(here):
    archive = new_archive(here, "--quiet=1 ms")
    put(here, archive, dicom())
    lines = pacsctl("watch", "--from=0", "--no-follow", archive=archive).lines()
    holds("stored", lines[0])
    holds("patients/", lines[0])
    holds("settled", lines[1])


main()
