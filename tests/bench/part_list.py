"""list: whole trees listed, cold and warm, through the mount and beside it. Seconds of the whole command."""
import os
import tempfile

import tree
from measure import INSTANCES, Table, folder, installed, program, repeat, run as command, timed

COMMANDS = (
    ("ls -lR", lambda path: ("ls", "-lR", path)),
    ("find -type f", lambda path: ("find", path, "-type", "f")),
    ("du -s", lambda path: ("du", "-s", path)),
    ("rsync -an", lambda path: (installed("rsync"), "-an", path + "/", EMPTY)),
)
EMPTY = os.path.join(tempfile.gettempdir(), "pacsfs-bench-not-there/")
STAT_S = 2


def run():
    table = Table(f"list ({INSTANCES} files of 2 KB in dicom/, seconds; stat: a second)")
    with folder() as place:
        archive = os.path.join(place, "archive")
        command(program("bench_fill"), archive, str(INSTANCES))
        copies = tree.Copies(archive, place)
        for name, words in COMMANDS:
            for cold in (True, False):
                runs = {who: repeat(tree.cold_or_warm, where, cold, lambda path, w=words: timed(*w(path))[0])
                        for who, where in copies.each()}
                table.add(f"{name}, {'cold' if cold else 'warm'}", runs.pop("ours"), list(runs.items()),
                          less_is_better=True)
        runs = {who: repeat(tree.cold_or_warm, where, False, stats) for who, where in copies.each()}
        table.add("stat, 8 processes, warm", runs.pop("ours"), list(runs.items()))
    table.show()


def stats(path):
    paths = tree.shuffled(tree.files(path))[:20000]
    operations, _, seconds = tree.reader("stat", 8, STAT_S, paths)
    return operations / seconds
