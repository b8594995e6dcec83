"""png: images a second as PNG. dcmj2pnm without its start: less the time that it takes for an image of 16 x 16."""
import io
import os
import time

import data
import tree
from measure import IMAGES, Missing, Table, folder, installed, pacsfs, program, repeat, run as command, timed

SAMPLE = 30


def ours(archive):
    with pacsfs(archive) as mount:
        operations, _, seconds = tree.reader("read", 1, 0, tree.files(os.path.join(mount.path, "png"), ".png"))
    return operations / seconds


def with_dcmj2pnm(path, tiny, place):
    """Rendered to 8 bits by the window in the file, as .png shows it."""
    out = os.path.join(place, "out.png")

    def seconds(image):
        return sum(timed(installed("dcmj2pnm"), "+on", "+Wi", "1", image, out)[1] for _ in range(10)) / 10

    difference = seconds(path) - seconds(tiny)
    return 1 / difference if difference > 0 else 0


def with_pydicom(paths):
    try:
        import numpy
        import pydicom
        from PIL import Image
        from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_voi_lut
    except ImportError as reason:
        raise Missing(f"pydicom + PIL: {reason}") from reason
    start = time.monotonic()
    for path in paths:
        image = pydicom.dcmread(path)
        shown = apply_voi_lut(apply_modality_lut(image.pixel_array, image), image)
        low, high = shown.min(), shown.max()
        grey = ((shown - low) / max(high - low, 1) * 255).astype(numpy.uint8)
        Image.fromarray(grey).save(io.BytesIO(), "PNG")
    return len(paths) / (time.monotonic() - start)


def run():
    table = Table("png (512 x 512 CT, images a second, 1 process, a fresh mount)")
    with folder() as place:
        archive = os.path.join(place, "archive")
        made = data.make(place, IMAGES, data.SIDE)
        command(program("pacsctl"), "-A", archive, "init")
        command(program("pacsctl"), "-A", archive, "import", *made)
        paths = sorted(os.path.join(made[0], name) for name in os.listdir(made[0]))[:SAMPLE]
        tiny = os.path.join(data.make(place, 1, 16)[0], "IM00000")
        table.add("PNG", repeat(ours, archive),
                  [("dcmj2pnm, CPU", repeat(with_dcmj2pnm, paths[0], tiny, place)),
                   ("pydicom + PIL", repeat(with_pydicom, paths))])
    table.show()
