"""Mounting: options, what is refused and how it is said, what a killed daemon leaves, faults of the stored bytes."""
import errno
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import tree
from tree import Mount, PACSFS, SERIES, case, image, load, main, read, run, series_of, soon


def mount_in_background(archive, path, *more):
    """As an administrator does it: returns when it is mounted."""
    os.makedirs(path, exist_ok=True)
    return run(PACSFS, archive, path, *more)


def unmount(path):
    run("fusermount3", "-u", path) if os.geteuid() else run("umount", path)


def daemon_of(path):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = read(f"/proc/{pid}/cmdline").split(b"\0")
        except OSError:
            continue
        if os.fsencode(path) in words and words[0].endswith(b"pacsfs"):
            return int(pid)
    raise AssertionError("no daemon")


@case
def mounting_returns_when_the_tree_is_there(here):
    series_of(here, f"{here}/a", 1)
    done = mount_in_background(f"{here}/a", f"{here}/m")
    try:
        assert done.returncode == 0, done.stderr
        assert os.path.exists(f"{here}/m/patients/{SERIES}/0001.dcm")
        again = mount_in_background(f"{here}/a", f"{here}/m")
        assert again.returncode == 4 and "mounted already" in again.stderr
    finally:
        pid = daemon_of(f"{here}/m")
        unmount(f"{here}/m")
    soon(lambda: not os.path.exists(f"/proc/{pid}"), "it ends when it is unmounted")


@case
def what_is_beside_the_images_never_shows(here):
    """Other folders of the archive, by whatever name or way they are asked for, also where others may look."""
    series_of(here, f"{here}/a", 1, patient="../../run", name="quarantine")
    image(f"{here}/q.dcm", "1.2.826.9", patient="..", name=".")
    assert load(f"{here}/a", f"{here}/q.dcm") == ["stored"]
    os.makedirs(f"{here}/a/quarantine", exist_ok=True)
    for secret in ("run/secret", "quarantine/secret.dcm", "secret"):
        with open(f"{here}/a/{secret}", "w") as file:
            file.write("secret")
    hidden = ["run", "quarantine", "packs", "index", "archive.conf", "pacsd.sock", "secret", "secret.dcm"]
    with Mount(f"{here}/a", f"{here}/m", "allow_other" if os.geteuid() == 0 else "") as mount:
        shown = set(os.listdir(mount.path))
        assert {"patients", "dicom", "uids", "ids", "new"} <= shown and not shown & set(hidden), shown
        device, inside = os.stat(mount.path).st_dev, os.path.realpath(mount.path) + "/"
        folders = [mount.path]
        for folder, below, files in os.walk(mount.path):
            folders += [os.path.join(folder, name) for name in below]
            for name in below + files:
                assert name not in ("", ".", "..") and "/" not in name, (folder, name)
        for folder in folders:
            names = os.listdir(folder) + hidden + ["..\\run", "%72un", "RUN", ".run", "run.dcm", "./run", "_.._run"]
            for path in [os.path.join(folder, name) for name in names]:
                if os.path.lexists(path):  # what calls itself so is a name of the tree, and leads nowhere else
                    assert os.path.realpath(path).startswith(inside), (path, os.path.realpath(path))
                    assert os.stat(path).st_dev == device and "secret" not in path, path


@case
def mounting_failures_reach_the_caller(here):
    os.makedirs(f"{here}/empty")
    done = mount_in_background(f"{here}/empty", f"{here}/m")
    assert done.returncode != 0 and done.stderr.startswith("pacsfs: "), done
    done = mount_in_background(f"{here}/nowhere", f"{here}/m")
    assert done.returncode != 0 and "nowhere" in done.stderr
    series_of(here, f"{here}/a", 1)
    done = run(PACSFS, f"{here}/a", f"{here}/not-there")
    assert done.returncode != 0 and "not-there" in done.stderr
    assert not os.path.ismount(f"{here}/m")


@case
def mounting_slips_name_the_nearest(here):
    series_of(here, f"{here}/a", 1)
    for words, expected in ((["-o", "shwo=dcm"], "'show'"), (["-o", "allow_othr"], "'allow_other'"),
                            (["--forground"], "--foreground"), (["-o", "view=patient"], "'patients'"),
                            (["-o", "show=dmc"], "dcm, png and json"), (["-o", "umask=9"], "octal"),
                            (["-o", "uid=x"], "number")):
        done = mount_in_background(f"{here}/a", f"{here}/m", *words)
        assert done.returncode == 2 and expected in done.stderr, (words, done)
    assert not os.path.ismount(f"{here}/m")
    assert run(PACSFS, "--help").returncode == 0 and run(PACSFS, "--version").stdout.startswith("pacsfs ")


@case
def mounting_show_view_umask(here):
    series_of(here, f"{here}/a", 2)
    with Mount(f"{here}/a", f"{here}/m", "show=dcm:png,umask=022,uid=12,gid=34") as mount:
        assert sorted(os.listdir(f"{mount.path}/patients/{SERIES}")) == ["0001.dcm", "0001.png", "0002.dcm", "0002.png"]
        st = os.stat(f"{mount.path}/patients/{SERIES}/0001.dcm")
        assert stat.S_IMODE(st.st_mode) == 0o444 and (st.st_uid, st.st_gid) == (12, 34)
        assert stat.S_IMODE(os.stat(f"{mount.path}/patients").st_mode) == 0o555
    with Mount(f"{here}/a", f"{here}/m", "show=dcm,json") as mount:
        assert "0001.png" not in os.listdir(f"{mount.path}/patients/{SERIES}")
        assert "series.json" in os.listdir(f"{mount.path}/patients/{SERIES}")
        assert stat.S_IMODE(os.stat(f"{mount.path}/patients/{SERIES}/0001.dcm").st_mode) == 0o440
    with Mount(f"{here}/a", f"{here}/m", "view=dicom") as mount:
        assert os.listdir(mount.path) == ["Doe_John_4711"]
        assert os.listdir(f"{mount.path}/{SERIES}") == ["0001.dcm", "0002.dcm"]
        assert os.stat(f"{mount.path}/{SERIES}/0001.dcm").st_nlink == 1


@case
def mounting_is_read_only(here):
    series_of(here, f"{here}/a", 1)
    with Mount(f"{here}/a", f"{here}/m", "rw,dev,suid") as mount:
        file = f"{mount.path}/patients/{SERIES}/0001.dcm"
        for attempt in (lambda: os.mkdir(f"{mount.path}/x"), lambda: os.unlink(file), lambda: open(file, "r+b"),
                        lambda: open(f"{mount.path}/new.dcm", "wb"), lambda: os.chmod(file, 0o777),
                        lambda: os.rename(file, file + "x"), lambda: os.symlink("a", f"{mount.path}/y"),
                        lambda: os.utime(file)):
            try:
                attempt()
                raise AssertionError("it was written")
            except OSError as error:
                assert error.errno == errno.EROFS, error


@case
def mounting_detaches_what_a_killed_daemon_left(here):
    series_of(here, f"{here}/a", 1)
    assert mount_in_background(f"{here}/a", f"{here}/m").returncode == 0
    try:
        for _ in range(2):
            os.listdir(f"{here}/m/patients")
            pid = daemon_of(f"{here}/m")
            os.kill(pid, signal.SIGKILL)
            soon(lambda: not os.path.exists(f"/proc/{pid}") or b"Z" in read(f"/proc/{pid}/stat"), "it dies")
            done = mount_in_background(f"{here}/a", f"{here}/m")
            assert done.returncode == 0, done
            assert os.listdir(f"{here}/m/dicom/{SERIES}") == ["0001.dcm"]
        count = sum(f" {here}/m " in line for line in open("/proc/self/mountinfo"))
        assert count == 1, count
    finally:
        unmount(f"{here}/m")


@case
def mounting_by_the_helper_of_mount(here):
    helper = shutil.which("mount.fuse3", path="/sbin:/usr/sbin")
    assert helper, "fuse3 is not installed"
    series_of(here, f"{here}/a", 1)
    os.makedirs(f"{here}/m")
    done = run(helper, f"{PACSFS}#{here}/a", f"{here}/m", "-o", "rw,dev,suid,exec,x-systemd.automount,nofail", env={})
    try:
        assert done.returncode == 0, done
        assert os.path.exists(f"{here}/m/README.txt")
    finally:
        unmount(f"{here}/m")


@case
def mounting_works_for_an_ordinary_user(here):
    if os.geteuid() != 0 or not os.stat("/dev/fuse").st_mode & stat.S_IWOTH:
        return  # then all other cases show it; or this machine lets nobody but root mount
    series_of(here, f"{here}/a", 1)
    os.chmod(here, 0o755)
    os.makedirs(f"{here}/m")
    run("chown", "-R", "65534:65534", f"{here}/a", f"{here}/m", check=True)
    with tempfile.TemporaryDirectory(prefix="pacsfs-bin-") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(PACSFS, folder)
        conf = "/etc/fuse.conf"
        allowed = os.path.exists(conf) and any(line.strip() == "user_allow_other" for line in open(conf))
        as_nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        if not allowed:
            done = run(f"{folder}/pacsfs", f"{here}/a", f"{here}/m", "-o", "allow_other", **as_nobody)
            assert done.returncode != 0 and "user_allow_other" in done.stderr and conf in done.stderr, done
        done = run(f"{folder}/pacsfs", f"{here}/a", f"{here}/m", **as_nobody)
        assert done.returncode == 0, done
        try:
            listed = run("ls", "-l", f"{here}/m/patients/{SERIES}", **as_nobody)
            assert listed.returncode == 0 and "0001.dcm" in listed.stdout, listed
        finally:
            done = run("fusermount3", "-u", f"{here}/m", **as_nobody)
            # os.path.ismount() asks the mount, which answers its owner alone
            if f" {here}/m " in open("/proc/self/mountinfo").read():
                run("umount", "-l", f"{here}/m")
        # Without an mtab (a bare root) fusermount3 refuses what a user wants to unmount.
        assert done.returncode == 0 or not os.path.exists("/etc/mtab"), done


@case
def mounting_xattr_on_demand(here):
    series_of(here, f"{here}/a", 1)
    with Mount(f"{here}/a", f"{here}/m", "xattr") as mount:
        file = f"{mount.path}/patients/{SERIES}/0001.dcm"
        assert os.getxattr(file, "user.dicom.StudyInstanceUID") == b"1.2.826.1"
        assert len(os.getxattr(file, "user.pacs.sha256")) == 64
        assert b"import" in os.getxattr(file, "user.pacs.origin")
        assert "user.dicom.Modality" in os.listxattr(file)
        try:
            os.getxattr(file, "user.nothing")
            raise AssertionError("there is none")
        except OSError as error:
            assert error.errno == errno.ENODATA
    with Mount(f"{here}/a", f"{here}/m") as mount:
        try:
            os.getxattr(f"{mount.path}/patients/{SERIES}/0001.dcm", "user.pacs.sha256")
            raise AssertionError("not asked for")
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP


@case
def mounting_damage_is_one_file_and_one_line(here):
    content = series_of(here, f"{here}/a", 6, size=256)
    pack = f"{here}/a/packs/00000001.pack"
    data = bytearray(read(pack))
    data[len(data) // 2] ^= 0x55
    with open(pack, "wb") as file:
        file.write(data)
    with Mount(f"{here}/a", f"{here}/m") as mount:
        bad = []
        for name, expected in content.items():
            for _ in range(3):
                try:
                    assert read(f"{mount.path}/dicom/{SERIES}/{name}") == expected
                except OSError as error:
                    assert error.errno == errno.EIO
                    bad.append(name)
        assert len(set(bad)) == 1, bad
        lines = [line for line in mount.errors().splitlines() if "cannot read" in line]
        assert len(lines) == 1 and "pack" in lines[0] and "1.2.826.1.1." in lines[0], lines


@case
def mounting_stops_while_readers_hold_on(here):
    series_of(here, f"{here}/a", 2)
    mount = Mount(f"{here}/a", f"{here}/m")
    read(f"{mount.path}/README.txt")
    with open(f"{mount.path}/patients/{SERIES}/0001.dcm", "rb") as held:
        held.read(10)
        mount.process.send_signal(signal.SIGINT)
        assert mount.process.wait(60) == 0, mount.errors()
    assert not os.path.ismount(mount.path)


if __name__ == "__main__":
    main()
