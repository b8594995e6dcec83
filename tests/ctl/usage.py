"""Commands, options, exit statuses, help."""
import os

from ctl import case, equal, holds, main, new_archive, pacsctl

COMMANDS = ["init", "import", "find", "export", "watch", "conflicts", "stats", "status", "verify", "rebuild"]


@case
def command_misspelt_names_the_nearest(here):
    holds('did you mean "import"', pacsctl("imprt", status=2).err)
    holds('did you mean "verify"', pacsctl("verfy", status=2).err)
    holds("--help", pacsctl("xyzzyplugh", status=2).err)


@case
def command_missing(here):
    holds("command is missing", pacsctl(status=2).err)


@case
def option_misspelt_names_the_nearest(here):
    holds("did you mean --json", pacsctl("stats", "--jsn", status=2).err)
    holds("did you mean --level", pacsctl("find", "--levl=study", status=2).err)
    holds("did you mean --version", pacsctl("--versoin", status=2).err)
    pacsctl("stats", "-Z", status=2)


@case
def option_without_its_value(here):
    pacsctl("find", "--level", status=2)
    pacsctl("-A", status=2)


@case
def help_of_every_command(here):
    top = pacsctl("--help").out
    for command in COMMANDS:
        holds(f"\n  {command} ", top)
        text = pacsctl(command, "--help").out
        holds(f"Usage: pacsctl {command}", text)
        holds("-A", text)


@case
def version(here):
    assert pacsctl("--version").out.startswith("pacsctl "), "no version"


@case
def archive_missing_says_how_to_name_one(here):
    for command in COMMANDS:
        words = {"import": ["x"], "export": ["-o", here, "PatientID=1"]}.get(command, [])
        holds("PACS_ARCHIVE", pacsctl(command, *words, status=2).err)


@case
def archive_from_the_environment_and_behind_the_command(here):
    archive = new_archive(here)
    pacsctl("stats", env={"PACS_ARCHIVE": archive})
    pacsctl("stats", "-A", archive)
    pacsctl("stats", archive=archive, env={"PACS_ARCHIVE": "/nowhere"})


@case
def archive_that_is_none(here):
    result = pacsctl("stats", archive=os.path.join(here, "nothing"), status=1)
    holds("nothing", result.err)
    equal(result.out, "")


@case
def words_where_none_are_taken(here):
    archive = new_archive(here)
    for command in ["stats", "status", "verify", "rebuild", "watch", "conflicts"]:
        holds("takes no argument", pacsctl(command, "word", archive=archive, status=2).err)


@case
def figures_of_an_empty_archive(here):
    archive = new_archive(here)
    import json
    stats = json.loads(pacsctl("stats", "--json", archive=archive).out)
    for key in ["patients", "studies", "series", "instances", "conflicts", "bytes"]:
        equal(stats[key], 0)
    status = json.loads(pacsctl("status", "--json", archive=archive).out)
    equal(status["running"], False)
    equal(status["mounts"], [])
    equal(status["quarantined"], 0)
    assert status["free_bytes"] > 0, status
    holds("not running", pacsctl("status", archive=archive).out)
    holds("patients", pacsctl("stats", archive=archive).out)
    equal(pacsctl("conflicts", "--json", archive=archive).out, "")
    equal(pacsctl("find", "--json", archive=archive).out, "")
    equal(pacsctl("watch", "--json", "--from", "0", "--no-follow", archive=archive).out, "")


main()
