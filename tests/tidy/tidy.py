"""What holds of the whole tree and no compiler checks.

    tidy.py CHECK ROOT BIN

A check is a function below that yields findings, one line each: a new one is a function and a row of CHECKS. Exit
status: 0 nothing found, 1 findings, 77 the check's tool is not installed. ROOT is the clone, BIN holds the built
programs. It reads files and runs `PROGRAM --help`; it changes nothing.
"""
import pathlib
import re
import shutil
import subprocess
import sys

SKIP = 77
FOLDERS = {"codecs", "index", "fs", "net", "tests", "man", ".ci"}
PROGRAMS = ("pacsd", "pacsfs", "pacsctl")
LINES_MAX = 900

# Who may include whom: the first folder of a path, and what its files may include of ours. Tests may include anything.
LAYERS = {
    "codecs/base": ("codecs/base/",),
    "codecs": ("codecs/",),
    "index": ("index/", "codecs/"),
    "fs": ("fs/", "index/", "codecs/"),
    "net": ("net/", "index/", "codecs/"),
}
# Headers of libraries, and the only files that may see them.
LIBRARIES = (
    (r"fuse", r"(fs|tests/device)/\w*fuse\.c"),
    (r"lmdb\.h", r"index/db/.*"),
    (r"dcmtk/", r"(codecs|net|tests)/.*_dcmtk\.cc"),
    (r"archive(_entry)?\.h", r"net/.*\.c"),
    (r"charls/|openjpeg|jxl/|jpeglib\.h|libdeflate", r"codecs/pixel/\w*\.c"),
)
# Calls with a safer sibling, and calls that a library has no business making.
BANNED = ("strcpy strcat sprintf vsprintf gets strtok system popen atoi atol atoll atof tmpnam tempnam mktemp alloca rand "
          "srand localtime gmtime ctime asctime abort").split()
# Split, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|not (yet )?imple" r"mented|\bfor n" r"ow\b")
VAGUE_NAMES = re.compile(r"(^|/|_)(utils?|helpers?\d*|misc|manager|common)(\.|/|_)")


def sources(root, *suffixes, folders=sorted(FOLDERS)):
    """Files of ours with these suffixes, as (path relative to the root, text)."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def pages(root):
    return sorted(path for path in (root / "man").iterdir() if re.fullmatch(r".*\.[1-9]", path.name))


def without_comments(text):
    """C with comments and literals blanked, line numbers kept."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def includes(text):
    """(line number, "<" or '"', header) of every include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def layer_of(path):
    return "codecs/base" if path.startswith("codecs/base/") else path.split("/")[0]


def check_layers(root, _bin):
    for path, text in sources(root, ".c", ".h", ".cc"):
        allowed = LAYERS.get(layer_of(path))
        for number, quote, header in includes(text):
            ours = header.split("/")[0] in FOLDERS
            if quote == '"' and allowed and "/" not in header:
                yield f'{path}:{number}: write the whole path of "{header}"'
            elif ours and allowed and not header.startswith(allowed):
                yield f'{path}:{number}: "{header}" is not below {layer_of(path)} (fs, net -> index -> codecs -> codecs/base)'


def check_libraries(root, _bin):
    fuse = set()
    for path, text in sources(root, ".c", ".h", ".cc"):
        for number, _quote, header in includes(text):
            for wanted, where in LIBRARIES:
                if re.match(wanted, header) and not re.fullmatch(where, path):
                    yield f"{path}:{number}: <{header}> belongs into {where} alone"
            if re.match("fuse", header) and not path.startswith("tests/"):
                fuse.add(path)
        if path.endswith(".cc") and not path.endswith("_dcmtk.cc"):
            yield f"{path}: C++ stands in *_dcmtk.cc only"
    if len(fuse) > 1:
        yield f"{' '.join(sorted(fuse))}: one file knows libfuse"


def check_calls(root, _bin):
    banned = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path, text in sources(root, ".c", ".h", ".cc", folders=("codecs", "index", "fs", "net")):
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            for match in banned.finditer(line):
                yield f"{path}:{number}: {match.group(1)}() is not used here"


def check_words(root, _bin):
    suffixes = (".c", ".h", ".cc", ".py", ".sh", ".txt", ".json", ".in", "") + tuple(f".{n}" for n in range(1, 10))
    found = list(sources(root, *suffixes))
    found += [(path.name, path.read_text(encoding="utf-8")) for path in sorted(root.glob("*")) if path.suffix in (".md", ".txt")]
    for path, text in found:
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: unfinished: {line.strip()}"


def check_folders(root, _bin):
    listing = subprocess.run(["git", "-C", root, "ls-files"], capture_output=True, text=True) if shutil.which("git") else None
    if listing and listing.returncode == 0:
        paths = listing.stdout.splitlines()
    else:
        paths = [path for path, _ in sources(root, ".c", ".h", ".cc", ".py", ".sh")]
    for folder in sorted({path.split("/")[0] for path in paths if "/" in path} - FOLDERS):
        yield f"{folder}/: not one of {' '.join(sorted(FOLDERS))}"
    for path in paths:
        if VAGUE_NAMES.search(path):
            yield f"{path}: a name that says what is in it, please"


def check_lengths(root, _bin):
    for path, text in sources(root, ".c", ".h", ".cc", folders=("codecs", "index", "fs", "net")):
        lines = text.count("\n")
        if lines > LINES_MAX:
            yield f"{path}: {lines} lines; over {LINES_MAX} a file holds two subjects"


def check_format(root, _bin):
    tool = next((name for name in ("clang-format-14", "clang-format") if shutil.which(name)), None)
    if not tool or " 14." not in subprocess.run([tool, "--version"], capture_output=True, text=True).stdout:
        print("clang-format 14 is not installed")
        sys.exit(SKIP)
    paths = [path for path, _ in sources(root, ".c", ".h", ".cc")]
    result = subprocess.run([tool, "--dry-run", "--Werror", *paths], cwd=root, capture_output=True, text=True)
    if result.returncode:
        for path in sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", result.stderr, re.M))) or [result.stderr]:
            yield f"{path}: run {tool} -i on it"


def check_shell(root, _bin):
    scripts = [path for path in (root / folder for folder in FOLDERS)]
    scripts = sorted(path for folder in scripts for path in folder.rglob("*")
                     if path.is_file() and (path.suffix == ".sh" or path.read_bytes()[:10] == b"#!/bin/sh\n"))
    for path in scripts:
        shell = shutil.which("dash") or "sh"
        result = subprocess.run([shell, "-n", path], capture_output=True, text=True)
        if result.returncode:
            yield f"{path.relative_to(root)}: {result.stderr.strip()}"
    if not shutil.which("shellcheck"):
        print("shellcheck is not installed")
        sys.exit(SKIP)
    result = subprocess.run(["shellcheck", "-x", "-s", "sh", "-f", "gcc", *scripts], cwd=root, capture_output=True, text=True)
    yield from result.stdout.splitlines()


def check_pages(root, _bin):
    if not shutil.which("mandoc"):
        print("mandoc is not installed")
        sys.exit(SKIP)
    for path in pages(root):
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True)
        yield from (result.stdout + result.stderr).splitlines()
    for name in ("pacsd.8", "pacsfs.8", "pacsctl.1", "pacs.conf.5", "pacs-pack.5", "pacs-index.5", "pacs-tree.7"):
        if not (root / "man" / name).is_file():
            yield f"man/{name} is missing"


def check_references(root, _bin):
    """Every .Xr to a page of ours, and every path in the README, leads somewhere."""
    there = {path.name for path in pages(root)}
    for path in pages(root):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for name, section in re.findall(r"\bXr (pacs\S*) (\d)", line):
                if f"{name}.{section}" not in there:
                    yield f"man/{path.name}:{number}: there is no {name}({section})"
    for number, line in enumerate((root / "README.md").read_text(encoding="utf-8").splitlines(), 1):
        for path in set(re.findall(r"`((?:codecs|index|fs|net|tests|man)/[\w./-]+)`|\]\(([\w./-]+)\)", line)):
            if not any(name and (root / name).exists() for name in path):
                yield f"README.md:{number}: there is no {path[0] or path[1]}"


def page_text(root, name):
    """A page as a reader sees it, without overstriking; falls back to its source without mandoc."""
    path = root / "man" / name
    if not path.is_file():
        return ""
    if not shutil.which("mandoc"):
        return re.sub(r"\bFl -", "--", path.read_text(encoding="utf-8"))
    rendered = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200", path], capture_output=True, text=True).stdout
    return re.sub(r".\x08", "", rendered)


def page_of(root, program):
    return next((path.name for path in pages(root) if re.fullmatch(re.escape(program) + r"\.\d", path.name)), "")


def output_of(bin_folder, program, *arguments):
    if not (bin_folder / program).exists():
        raise SystemExit(f"{program} is not built")
    result = subprocess.run([bin_folder / program, *arguments], capture_output=True, text=True, timeout=60)
    if result.returncode != 0 or not result.stdout:
        raise SystemExit(f"{program} {' '.join(arguments)}: exit status {result.returncode}, {result.stderr.strip()}")
    return result.stdout


def long_options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def commands_of(bin_folder):
    """Names that `pacsctl --help` lists under `Commands:`, one an indented line."""
    section = re.search(r"^commands:\s*\n((?:[ \t]+\S.*\n|\n)+)", output_of(bin_folder, "pacsctl", "--help"), re.M | re.I)
    return re.findall(r"^ {1,4}([a-z][a-z-]*)\b", section.group(1), re.M) if section else []


def helps_of(bin_folder, program):
    text = output_of(bin_folder, program, "--help")
    if program == "pacsctl":
        text += "".join(output_of(bin_folder, program, command, "--help") for command in commands_of(bin_folder))
    return text


def check_options(root, bin_folder):
    for program in PROGRAMS:
        page = page_of(root, program)
        told, written = long_options(helps_of(bin_folder, program)), long_options(page_text(root, page))
        entries = {"-" + name for name in re.findall(r"\bFl (-[a-z][a-z0-9-]*)", (root / "man" / page).read_text())}
        if not told:
            yield f"{program} --help names no long option"
        for option in sorted(told - written):
            yield f"{program} --help names {option}, {page} does not"
        for option in sorted(entries - told):
            yield f"{page} names {option}, {program} --help does not"
    mount_words = output_of(bin_folder, "pacsfs", "--help").split("Options behind -o:")[-1]
    for word in re.findall(r"^ +([a-z_]+)[= ]", mount_words, re.M):
        if not re.search(rf"^ +{word}\b", page_text(root, "pacsfs.8"), re.M):
            yield f"pacsfs.8 has no entry for -o {word}"


def config_keys(text):
    """(section, key, default) of `pacsd --help-config`: sections in brackets, then `key = default` lines."""
    section = ""
    for line in text.splitlines():
        head = re.match(r"\s*\[([^]]*)\]", line)
        row = re.match(r"\s*[#;]?\s*([a-z][a-z0-9_]*)\s*=\s*(.*?)\s*$", line)
        if head:
            section = head.group(1)
        elif row:
            yield section, row.group(1), row.group(2)


def check_keys(root, bin_folder):
    text, rows = page_text(root, "pacs.conf.5"), list(config_keys(output_of(bin_folder, "pacsd", "--help-config")))
    if not rows:
        yield "pacsd --help-config names no key"
    for section, key, default in rows:
        if not re.search(rf"(?<![\w]){re.escape(key)}(?![\w])", text):
            yield f"pacs.conf.5 lacks {key} of [{section}]"
        elif default and not re.search(rf"(?<![\w]){re.escape(key)}(?![\w])[^\n]*{re.escape(default)}", text):
            yield f"pacs.conf.5 does not give the default of {key} of [{section}], {default}, beside the key"
        if section and f"[{section.split()[0]}" not in text:
            yield f"pacs.conf.5 lacks the section [{section}]"


def check_commands(root, bin_folder):
    text, names = page_text(root, "pacsctl.1"), commands_of(bin_folder)
    if len(names) < 5:
        yield f"pacsctl --help lists {len(names)} commands"
    for name in names:
        if not re.search(rf"^ +{re.escape(name)}\b", text, re.M):
            yield f"pacsctl.1 has no entry for {name}"


CHECKS = {name[len("check_"):]: function for name, function in list(globals().items()) if name.startswith("check_")}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in CHECKS:
        sys.exit(__doc__ + "\nChecks: " + " ".join(CHECKS))
    findings = list(CHECKS[sys.argv[1]](pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])))
    print("\n".join(findings) if findings else f"{sys.argv[1]}: nothing found")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
