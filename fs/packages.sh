# The Debian packages of pacsfs, in one place. Read (with `.`) by fs/quickstart and tests/run; not run by itself.
# shellcheck shell=sh disable=SC2034 # the lists are used by those two

# To build. libsndfile1-dev and libtiff-dev are what the description of DCMTK for pkg-config asks for.
packages_build="gcc g++ libc6-dev cmake ninja-build pkgconf libfuse3-dev liblmdb-dev libzstd-dev libxxhash-dev
    libinih-dev libpopt-dev libutf8proc-dev libarchive-dev libssl-dev zlib1g-dev libdcmtk-dev libsndfile1-dev
    libtiff-dev libcharls-dev libopenjp2-7-dev libjpeg62-turbo-dev libjxl-dev libdeflate-dev"
# To run: fusermount3 and mount.fuse, the time zones, and DCMTK's senders to send something.
packages_run="fuse3 mount tzdata dcmtk"
# To test: other DICOM implementations, what backs up and reads trees, and what checks pages and scripts.
packages_test="python3 python3-pydicom python3-numpy python3-xxhash python3-zstandard libgdcm-tools libopenjp2-tools
    openjph-tools libjxl-tools libjpeg-turbo-progs rsync mandoc shellcheck"

# need_packages NAME... installs those that are not there. Where that cannot be done it names them and ends the script.
# PACSFS_PACKAGES=installed says that they are there under other names (another distribution).
need_packages() {
    [ "${PACSFS_PACKAGES:-}" != installed ] || return 0
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
        {
            echo "There is no apt here to install packages with. Needed are, by their names in Debian 12:"
            printf '    %s\n' "$@"
            echo "When your system has them under its own names, set PACSFS_PACKAGES=installed and run this again."
        } >&2
        exit 1
    fi
    packages_missing=
    for package in "$@"; do
        # shellcheck disable=SC2016 # the field is dpkg's, not the shell's
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            packages_missing="$packages_missing $package"
    done
    [ -n "$packages_missing" ] || return 0
    echo "Installing:$packages_missing"
    if [ "$(id -u)" -eq 0 ]; then
        packages_sudo=
    elif command -v sudo >/dev/null 2>&1; then
        packages_sudo=sudo
    else
        echo "You are not root and there is no sudo. Have root run: apt-get install$packages_missing" >&2
        exit 1
    fi
    # An update that fails in part (one source of several) need not be in the way: the installation tells.
    $packages_sudo apt-get update -q || echo "apt-get update failed; trying with the lists that are there" >&2
    # shellcheck disable=SC2086 # words are meant
    $packages_sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        $packages_missing || {
        echo "Not everything could be installed. Needed are:$packages_missing" >&2
        exit 1
    }
}
