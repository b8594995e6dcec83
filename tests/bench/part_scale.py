"""scale: what grows with the archive: start, memory, index, rebuild, over synthetic instances."""
import json
import os
import time

import peers
from measure import (INSTANCES, Table, folder, memory, pacsfs, program, repeat, run as command, timed)


def daemon_start(place, archive, start):
    begin = time.monotonic()
    server = start(place, archive) if archive else start(place)
    with server:
        return (time.monotonic() - begin) * 1000, memory(server.pid) / 2**20


def mount_start(archive):
    with pacsfs(archive) as mount:
        return mount.seconds * 1000


def walk_memory(archive):
    """MiB of pacsfs after every view was listed (`find` stats all: READDIRPLUS)."""
    with pacsfs(archive) as mount:
        command("find", mount.path, "-newermt", "2200-01-01")
        return memory(mount.process.pid) / 2**20


def orthanc_start():
    with folder() as place:
        return daemon_start(place, None, peers.orthanc)


def pacsd_start(place, archive):
    return daemon_start(place, archive, lambda where, which: peers.pacsd(where, archive=which))


def run():
    table = Table(f"scale ({INSTANCES} synthetic instances)")
    with folder() as place:
        archive = os.path.join(place, "archive")
        count, seconds = command(program("bench_fill"), archive, str(INSTANCES)).split()
        table.add("taken in through the interface, instances/s", [int(count) / float(seconds)])
        starts = {"pacsd": repeat(pacsd_start, place, archive), "Orthanc": repeat(orthanc_start)}
        for index, text in enumerate(("start until it listens, ms", "memory after the start, MiB")):
            values = {name: [run[index] for run in runs] if runs else None for name, runs in starts.items()}
            table.add(f"pacsd: {text}", values["pacsd"], [("Orthanc, empty", values["Orthanc"])], less_is_better=True)
        table.add("pacsfs: start until it shows, ms", repeat(mount_start, archive))
        table.add("pacsfs: memory after a walk of all views, MiB", repeat(walk_memory, archive, runs=1))
        rebuilds = repeat(timed, program("pacsctl"), "-A", archive, "rebuild", runs=2)
        wall, cpu = ([run[i] for run in rebuilds] if rebuilds else None for i in (0, 1))
        table.add("rebuild, instances/s", wall and [INSTANCES / seconds for seconds in wall])
        table.add("rebuild, instances a second of CPU", cpu and [INSTANCES / seconds for seconds in cpu])
        table.add("index, bytes an instance", [index_bytes(archive) / INSTANCES])
        table.add("packs, bytes an instance", [tree_bytes(archive) / INSTANCES])
    table.show()


def index_bytes(archive):
    return json.loads(command(program("pacsctl"), "-A", archive, "stats", "--json"))["index_bytes"]


def tree_bytes(archive):
    path = os.path.join(archive, "packs")
    return sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path))


