"""Each check of tidy.py finds what it is for: small trees with one fault each, and the same tree without it."""
import pathlib
import shutil
import tempfile

import tidy

FAULTS = (
    ("layers", "codecs/a.c", '#include "index/index.h"\n'),
    ("layers", "codecs/base/a.c", '#include "codecs/dicom/meta.h"\n'),
    ("layers", "index/a.c", '#include "fs/view.h"\n'),
    ("layers", "fs/a.c", '#include "net/control.h"\n'),
    ("layers", "net/a.c", '#include "fs/view.h"\n'),
    ("layers", "net/a.c", '#include "control.h"\n'),
    ("libraries", "fs/views.c", "#include <fuse3/fuse_lowlevel.h>\n"),
    ("libraries", "fs/b_fuse.c", "#include <fuse3/fuse.h>\n"),
    ("libraries", "index/log/a.c", "#include <lmdb.h>\n"),
    ("libraries", "net/a.cc", "int x;\n"),
    ("libraries", "net/a.c", "#include <dcmtk/dcmnet/assoc.h>\n"),
    ("libraries", "index/a.c", "#include <archive_entry.h>\n"),
    ("calls", "net/a.c", "int f(char *a, char *b) { strcpy(a, b); }\n"),
    ("calls", "index/a.c", "int f(char *a) { return atoi (a); }\n"),
    ("words", "fs/a.c", "/* TO" "DO: later */\n"),
    ("words", "README.md", "Good enough for n" "ow.\n"),
    ("folders", "src/a.c", "int x;\n"),
    ("folders", "net/utils.c", "int x;\n"),
    ("lengths", "net/a.c", "int x;\n" * (tidy.LINES_MAX + 1)),
    ("shell", "fs/start", "#!/bin/sh\nif true; then\n"),
    ("references", "man/pacsd.8", ".Xr pacs-nowhere 5\n"),
    ("references", "README.md", "Read `fs/nowhere.c`.\n"),
    ("references", "README.md", "Read [this](man/nowhere.5).\n"),
)
CLEAN = {
    "codecs/base/a.c": '#include "codecs/base/error.h"\n#include <stdio.h>\n',
    "codecs/dicom/a.c": '#include "codecs/base/error.h"\n',
    "index/db/a.c": '#include "codecs/base/error.h"\n#include <lmdb.h>\n',
    "index/a.c": '/* strcpy(a, b) */ const char *a = "system(x)"; int error_system(int); int x = error_system(1);\n',
    "fs/pacsfs_fuse.c": '#include "index/index.h"\n#include <fuse3/fuse_lowlevel.h>\n',
    "net/a_dcmtk.cc": '#include "dcmtk/dcmnet/assoc.h"\n',
    "README.md": "Read `index/a.c` and [this](man/pacsd.8).\n",
    "man/pacsd.8": ".Xr pacsd 8\n.Xr rsync 1\n",
}
HELP = """Usage: pacsctl
  -A, --archive=DIR   the archive
Commands:
  init        makes an archive
  find        finds
"""


def findings(check, root):
    try:
        return list(tidy.CHECKS[check](root, root))
    except SystemExit as end:
        assert end.code == tidy.SKIP, end
        return []


def lay(root, files):
    for folder in tidy.FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def main():
    tried = set()
    # Below no git checkout: the folder check then goes by the files that it finds in the known folders, so the fault
    # in an unknown one needs a checkout of its own.
    for check, path, text in FAULTS:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            lay(root, CLEAN)
            assert findings(check, root) == [], (check, findings(check, root))
            lay(root, {path: text})
            if check == "folders":
                if not shutil.which("git"):
                    continue
                tidy.subprocess.run(["git", "-C", root, "init", "-q"], check=True)
                tidy.subprocess.run(["git", "-C", root, "add", "-A"], check=True)
            found = findings(check, root)
            assert found or (check == "shell" and not shutil.which("dash")), f"{check} does not find {path}: {text!r}"
            assert all(path.split("/")[0] in line for line in found), found
            tried.add(check)
    assert tidy.long_options("  -A, --archive=DIR\n a--b x---y --help-config.") == {"--archive", "--help-config"}
    assert list(tidy.config_keys("[dicom]\n# port = 11112\naccept = any\n[peer *]\nhost =\n")) == [
        ("dicom", "port", "11112"), ("dicom", "accept", "any"), ("peer *", "host", "")]
    tidy.output_of = lambda *_: HELP
    assert tidy.commands_of(None) == ["init", "find"], tidy.commands_of(None)
    print(f"{len(FAULTS)} faults in {len(tried)} checks found")


main()
