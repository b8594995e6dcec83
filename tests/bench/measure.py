"""How things are measured: runs and their median, CPU time of processes, caches, temporary mounts, the table.

A measurement is a list of numbers, one a run; None is what could not be measured (shown as '-').
"""
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BIN = os.environ["PACSFS_BIN"]
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
INSTANCES = int(os.environ.get("BENCH_INSTANCES", "100000"))
IMAGES = int(os.environ.get("BENCH_IMAGES", "400"))
TICKS = os.sysconf("SC_CLK_TCK")
WAIT_S = 120
COLUMNS = ("work", "ours", "(range)", "reference", "", "(range)", "ratio")


class Missing(Exception):
    """What is measured is not there: no program, no data, no right."""


# ---- programs -------------------------------------------------------------------------------------------------------

def program(name):
    path = os.path.join(BIN, name)
    if not os.path.exists(path):
        raise Missing(f"{path} is not built")
    return path


def installed(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def run(*words, **more):
    """Output of a command that has to succeed."""
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, **more)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, words[:4]))} ...: {done.stderr.strip()[-300:] or done.returncode}")
    return done.stdout


def timed(*words, **more):
    """Wall time and CPU time in seconds of a command whose output is thrown away."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    status = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **more)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if status.returncode:
        raise Missing(f"{' '.join(map(str, words[:3]))}: {status.stderr.decode(errors='replace').strip()[-300:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_seconds(pid):
    """User and system time of a process and its ended children, from /proc/PID/stat."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def memory(pid):
    """Bytes of its own memory (without mapped files, whose pages are the page cache's)."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise Missing("no RssAnon")


def wait_for(what, process=None):
    until = time.monotonic() + WAIT_S
    while not what():
        if time.monotonic() > until or (process and process.poll() is not None):
            raise Missing("it did not start")
        time.sleep(0.0005)


# ---- runs -----------------------------------------------------------------------------------------------------------

def repeat(measure, *arguments, runs=RUNS):
    """A list of values; None and one line to stderr when it cannot be measured."""
    try:
        return [measure(*arguments) for _ in range(runs)]
    except (Missing, OSError, subprocess.SubprocessError) as reason:
        print(f"  - {reason}", file=sys.stderr)
        return None


def column(runs, index):
    """One of several figures that each run yielded."""
    return [values[index] for values in runs] if runs else None


# ---- caches, folders, mounts ----------------------------------------------------------------------------------------

def can_drop_caches():
    return os.access("/proc/sys/vm/drop_caches", os.W_OK)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3\n")


def folder(prefix="pacsfs-bench-"):
    """A temporary folder; goes away when its `with` ends."""
    return tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)


class Mount:
    """A FUSE mount in the foreground, made by `command + [mount point]`, unmounted when its `with` ends."""

    def __init__(self, command, probe="."):
        self.command, self.probe = command, probe
        self.process = self.path = self.seconds = None

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="pacsfs-bench-mount-")
        before, start = os.stat(self.path).st_dev, time.monotonic()
        words = [self.path if word == "MOUNT" else word for word in self.command]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.stat(self.path).st_dev != before, self.process)
            os.stat(os.path.join(self.path, self.probe))
        except BaseException:
            self.__exit__()
            raise
        self.seconds = time.monotonic() - start
        return self

    def __exit__(self, *_):
        unmount = ["umount", self.path] if os.geteuid() == 0 else ["fusermount3", "-u", self.path]
        subprocess.run(unmount, check=False, stderr=subprocess.DEVNULL)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            subprocess.run(unmount[:1] + ["-l"] + unmount[1:], check=False, stderr=subprocess.DEVNULL)
            self.process.kill()
            self.process.wait()
        os.rmdir(self.path)


def pacsfs(archive, *options):
    return Mount([program("pacsfs"), archive, "MOUNT", "-f", *options], "README.txt")


def squashfuse(image):
    return Mount([installed("squashfuse_ll"), "-f", image, "MOUNT"])


class Server:
    """A process that was started here and is stopped when its `with` ends."""

    def __init__(self, words, cwd=None, env=None):
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd=cwd, env={**os.environ, **(env or {})})
        self.pid, self.port = self.process.pid, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


# ---- the table ------------------------------------------------------------------------------------------------------

def figure(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(runs):
    if not runs or len(runs) < 2:
        return ""
    return f"({figure(min(runs))}-{figure(max(runs))})"


def median(runs):
    return statistics.median(runs) if runs else None


class Table:
    """Rows of one part. The ratio is ours to the reference's, so turned that more than 1 is better for us."""

    def __init__(self, title):
        self.rows = []
        print(f"\n{title}", flush=True)

    def add(self, work, ours, references=(), less_is_better=False):
        """`references`: pairs of a name and a list of runs. The first stands on the line, the others below it."""
        for number, (name, runs) in enumerate(references or [("", None)]):
            a, b = median(ours), median(runs)
            ratio = "" if a is None or b is None or not a or not b else f"{(b / a if less_is_better else a / b):.2f}"
            first = number == 0
            self.rows.append((work if first else "", figure(a) if first else "", spread(ours) if first else "", name,
                              figure(b) if name else "", spread(runs), ratio))
        if sys.stderr.isatty():
            print(f"  {work}: {figure(median(ours))}", file=sys.stderr, flush=True)

    def show(self):
        rows = [COLUMNS] + self.rows
        widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
        right = (1, 4, 6)
        for row in rows:
            cells = [cell.rjust(width) if i in right else cell.ljust(width)
                     for i, (cell, width) in enumerate(zip(row, widths))]
            print("  " + "  ".join(cells).rstrip())
        sys.stdout.flush()
