"""Runs the parts that are named, all by default. A part that cannot be measured says why and the next one follows."""
import importlib
import os
import platform
import sys
import traceback

import measure

PARTS = ("ingest", "stored", "list", "read", "png", "scale")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "?")
    return (f"{os.cpu_count()} x {model}, Linux {platform.release()}; load {os.getloadavg()[0]:.2f}; "
            f"{measure.RUNS} runs, medians; ratio: more than 1 is better than the reference")


def main(names):
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"{unknown[0]}: no such part; there are {' '.join(PARTS)}", file=sys.stderr)
        return 2
    print(machine())
    if not measure.can_drop_caches():
        print("not root: caches cannot be dropped, and what is cold shows as '-'")
    for name in names or PARTS:
        try:
            importlib.import_module("part_" + name).run()
        except measure.Missing as reason:
            print(f"  {name}: {reason}")
        except Exception:  # the other parts are worth having
            traceback.print_exc()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
