"""pacsctl init."""
import os

from ctl import case, dicom, equal, holds, main, new_archive, pacsctl, write


@case
def init_says_what_it_made_and_what_is_next(here):
    archive = os.path.join(here, "archive")
    out = pacsctl("init", archive).out
    holds(archive, out)
    holds("import", out)
    holds("pacsfs", out)
    for name in ["archive.conf", "packs", "index", "quarantine", "run"]:
        assert os.path.exists(os.path.join(archive, name)), name


@case
def init_uuid_is_kept(here):
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    out = pacsctl("init", "--uuid", uuid, os.path.join(here, "a")).out
    holds(uuid, out)
    holds(uuid, open(os.path.join(here, "a", "archive.conf")).read())


@case
def init_uuid_that_is_none(here):
    for text in ["", "6ba7b810", "6ba7b810-9dad-11d1-80b4-00c04fd430cx", "6ba7b810-9dad-11d1-80b4-00c04fd430c8-00"]:
        pacsctl("init", f"--uuid={text}", os.path.join(here, "a"), status=2)
        assert not os.path.exists(os.path.join(here, "a"))


@case
def init_by_A_and_by_environment(here):
    pacsctl("init", archive=os.path.join(here, "a"))
    pacsctl("init", env={"PACS_ARCHIVE": os.path.join(here, "b")})
    for name in "ab":
        assert os.path.exists(os.path.join(here, name, "archive.conf"))


@case
def init_templates_that_do_not_hold(here):
    for option in ["--patient-name={nme}", "--study-name={date", "--series-name={number:x}", "--instance-name={bogus}",
                   "--patients=sideways", "--timezone=Mars/Olympus", "--quiet=soon", "--quiet=0"]:
        pacsctl("init", option, os.path.join(here, "a"), status=2)
        assert not os.path.exists(os.path.join(here, "a", "archive.conf")), option


@case
def init_where_something_is(here):
    write(here, "full", "file", data=b"x")
    pacsctl("init", os.path.join(here, "full"), status=1)
    archive = new_archive(here)
    pacsctl("init", archive, status=1)
    equal(open(os.path.join(here, "full", "file"), "rb").read(), b"x")


@case
def init_two_archives_at_once(here):
    pacsctl("init", os.path.join(here, "a"), os.path.join(here, "b"), status=2)


@case
def init_templates_make_the_names(here):
    archive = new_archive(here, "--patients=initial", "--patient-name={id}", "--study-name={accession}",
                          "--series-name={modality}{number}", "--instance-name=I{instance:06}", "--timezone=UTC")
    path = write(here, "one.dcm", data=dicom())
    pacsctl("import", path, archive=archive)
    hit = pacsctl("find", "--level=instance", "--json", archive=archive).json()[0]
    holds("/4711/A1/CT1/I000001", hit["path"])


main()
