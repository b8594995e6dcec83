"""ingest: images a second and the receiver's CPU an image, with stock peers and without Nagle's algorithm."""
import os
import time

import data
from measure import IMAGES, Table, column, cpu_seconds, folder, repeat
from peers import NODELAY, RECEIVERS, send, slow_sync

SMALL = 16  # 16 x 16 pixels: an object of about 2 KB


def one_run(start, folders, count, env, slow):
    """(images a second, milliseconds of the receiver's CPU an image)"""
    with folder() as place, start(place, env={**(env or {}), **(slow_sync() if slow else {})}) as server:
        before = cpu_seconds(server.pid)
        begin = time.monotonic()
        send(server.port, folders, env)
        seconds = time.monotonic() - begin
        time.sleep(0.2)  # what a receiver does after its answers is its work too
        return count / seconds, (cpu_seconds(server.pid) - before) * 1000 / count


def measure(table, text, folders, env, for_references=None, slow=False):
    runs = {}
    for name, start in RECEIVERS:
        sent = for_references if for_references and name != "pacsd" else folders
        runs[name] = repeat(one_run, start, sent, sum(len(os.listdir(path)) for path in sent), env, slow)
    references = [name for name, _ in RECEIVERS[1:]]
    for index, unit in enumerate(("images/s",) if slow else ("images/s", "receiver's CPU, ms/image")):
        table.add(f"{text}: {unit}", column(runs["pacsd"], index),
                  [(name, column(runs[name], index)) for name in references], less_is_better=index == 1)


def run():
    table = Table("ingest (storescu sends; pacsd durable, storescp not synced, Orthanc as installed)")
    with folder() as place:
        each = max(IMAGES // 4, 8)
        large = data.make(place, each, data.SIDE, parts=4)
        small = data.make(place, 4 * each, SMALL, parts=8)
        few = os.path.join(place, "few")
        few_large = data.make(few, each // 2, data.SIDE, parts=4)
        few_small = data.make(few, each // 2, SMALL, parts=8)
        # Stock, the references take about 44 ms an image: fewer of them tell as much.
        settings = (("stock", None, False), ("no Nagle", NODELAY, False), ("5 ms a sync", NODELAY, True))
        for setting, env, slow in settings:
            for size, sent, fewer, most in (("525 KB CT", large, few_large, 4), ("2 KB objects", small, few_small, 8)):
                for number in (1, most):
                    text = f"{size}, {number} association{'s' if number > 1 else ''}, {setting}"
                    measure(table, text, sent[:number], env, None if env else fewer[:number], slow)
    table.show()
