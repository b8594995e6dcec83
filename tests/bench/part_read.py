"""read: CTs of 525 KB through the mount and beside it, in order and at random, cold and warm."""
import os

import data
import tree
from measure import IMAGES, Table, folder, program, repeat, run as command


def in_order(path):
    _, size, seconds = tree.reader("read", 1, 0, tree.files(path))
    return size / seconds / 1e6


def at_random(path):
    operations, _, seconds = tree.reader("read", 8, 0, tree.shuffled(tree.files(path)))
    return operations / seconds


def run():
    table = Table(f"read ({IMAGES} CTs of 525 KB)")
    with folder() as place:
        archive = os.path.join(place, "archive")
        command(program("pacsctl"), "-A", archive, "init")
        command(program("pacsctl"), "-A", archive, "import", *data.make(place, IMAGES, data.SIDE))
        copies = tree.Copies(archive, place)
        if copies.image is None:
            print("  squashfs-tools or squashfuse is not installed")
        for text, work in (("in order, 1 process, MB/s", in_order), ("at random, 8 processes, files/s", at_random)):
            for cold in (True, False):
                runs = {who: repeat(tree.cold_or_warm, where, cold, work) for who, where in copies.each()}
                table.add(f"{text}, {'cold' if cold else 'warm'}", runs.pop("ours"), list(runs.items()))
    table.show()
