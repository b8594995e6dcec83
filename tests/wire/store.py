"""C-STORE: what is sent by stock clients is kept, what is wrong is answered with the status that fits."""
import os
import shutil
import struct
import subprocess
import tempfile
import threading

import daemon
from daemon import CT, EXPLICIT, IMPLICIT, SECONDARY_CAPTURE, Daemon, run

PYDICOM = "/usr/lib/python3/dist-packages/pydicom/data/test_files"


def pydicom_files(*names):
    found = [os.path.join(PYDICOM, name) for name in names]
    missing = [f for f in found if not os.path.exists(f)]
    if missing:
        raise daemon.Skip(f"Debian's pydicom lacks {missing[0]}")
    return found


def case_files_in_many_syntaxes_by_dcmsend():
    files = pydicom_files(
        "CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm",
        "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle_32bit_2frame.dcm", "image_dfl.dcm", "liver_1frame.dcm",
        "rtplan.dcm", "rtdose.dcm", "reportsi.dcm", "test-SR.dcm", "waveform_ecg.dcm")
    sent = 0
    with Daemon() as pacsd:
        for path in files:
            status, _, errors = pacsd.store(path)
            assert status == 0, f"{path}: {errors}\n{pacsd.log()}"
            sent += 1
        assert pacsd.counted("stored", sent) and pacsd.status()["refused"] == 0, pacsd.log()


def case_stock_storescu():
    files = pydicom_files("CT_small.dcm", "MR_small.dcm")
    with Daemon() as pacsd:
        for options in ((), ("-xe",), ("-xb",), ("-xi",), ("-xs",), ("-R",)):
            status, _, errors = run(daemon.client("storescu"), *options, "127.0.0.1", str(pacsd.port), *files)
            assert status == 0, f"{options}: {errors}\n{pacsd.log()}"
        assert pacsd.counted("stored", 12), pacsd.status()


def case_gdcmscu():
    files = pydicom_files("CT_small.dcm")
    with Daemon() as pacsd:
        # Its exit status says nothing: version 3.0.21 aborts after the release, whoever receives.
        run(daemon.client("gdcmscu"), "--store", "127.0.0.1", str(pacsd.port), *files)
        assert pacsd.counted("stored", 1), pacsd.log()


def case_many_senders_at_once():
    with Daemon() as pacsd:
        wrong = []

        def send(sender):
            try:
                with pacsd.connect(contexts={1: (CT, [EXPLICIT])}, calling=f"S{sender}") as a:
                    for n in range(20):
                        uid = f"1.2.3.{sender}.{n}"
                        data = daemon.data_set(CT, uid, 30000, series=f"1.2.3.{sender}", number=n)
                        status, comment, _ = a.store(1, CT, uid, data)
                        if status:
                            wrong.append((uid, hex(status), comment))
                    a.release()
            except Exception as why:
                wrong.append((sender, repr(why)))

        threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong
        assert pacsd.counted("stored", 160), pacsd.status()


def case_unknown_syntaxes_and_classes():
    private, later = "1.2.826.0.1.9999.2", "1.2.840.10008.1.2.4.201"
    with Daemon() as pacsd:
        contexts = {1: (private, [EXPLICIT]), 3: (CT, [later]), 5: (CT, ["1.2.826.0.1.9999.3"])}
        with pacsd.connect(contexts=contexts) as a:
            data = daemon.data_set(private, "1.2.3.9.1")
            assert a.store(1, private, "1.2.3.9.1", data)[0] == 0
            fragments = struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF)
            fragments += struct.pack("<HHI", 0xFFFE, 0xE000, 0)
            fragments += struct.pack("<HHI4s", 0xFFFE, 0xE000, 4, b"\xff\x4f\xff\xd9")
            fragments += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            for context in (3, 5):
                uid = f"1.2.3.9.{context}"
                status, comment, _ = a.store(context, CT, uid, daemon.data_set(CT, uid) + fragments)
                assert status == 0, (context, hex(status), comment)
            a.release()


def case_fragments_of_any_size():
    with Daemon() as pacsd:
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            for size in (2, 3, 100, 16000):
                uid = f"1.2.3.8.{size}"
                status, comment, _ = a.store(1, CT, uid, daemon.data_set(CT, uid, 600), pdv_size=size)
                assert status == 0, (size, hex(status), comment)
            # A command set in pieces, the last of them in one PDU with the data set.
            uid = "1.2.3.8.1"
            command = daemon.command_set(sop_class=CT, field=1, message=77, priority=0, data_set=0, sop_instance=uid)
            data = daemon.data_set(CT, uid, 600)
            for at in range(0, len(command) - 6, 6):
                a.pdv(1, 1, command[at:at + 6])
            rest = command[len(range(0, len(command) - 6, 6)) * 6:]
            pdvs = struct.pack(">IBB", len(rest) + 2, 1, 3) + rest + struct.pack(">IBB", len(data) + 2, 1, 2) + data
            a.socket.sendall(struct.pack(">BxI", 4, len(pdvs)) + pdvs)
            status, comment, elements = a.response()
            assert status == 0 and elements[0x0120] == struct.pack("<H", 77), (hex(status), comment)
            a.release()


def pdv(flags, data, context=1):
    return struct.pack(">IBB", len(data) + 2, context, flags) + data


def case_pdvs_of_different_lengths_in_one_pdu():
    """DCMTK 3.6.7 takes the length of each for that of the one before it."""
    with Daemon() as pacsd, pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
        for n, cuts in enumerate(([30, 331], [500, 502, 502, 777], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])):
            uid = f"1.2.3.8.2.{n}"
            command = daemon.command_set(sop_class=CT, field=1, message=n, priority=0, data_set=0, sop_instance=uid)
            data = daemon.data_set(CT, uid, 600)
            pdu = pdv(3, command)
            for begin, end in zip([0] + cuts, cuts):
                pdu += pdv(0, data[begin:end])
            pdu += pdv(2, data[cuts[-1]:])
            a.socket.sendall(struct.pack(">BxI", 4, len(pdu)) + pdu)
            status, comment, _ = a.response()
            assert status == 0, (cuts, hex(status), comment)
        a.release()


def case_lengths_in_data_are_not_taken_for_lengths():
    """What looks like a PDV of 2 GiB, at any place inside of a PDV, followed by shorter ones."""
    with Daemon() as pacsd:
        for shift in range(6):
            uid = f"1.2.3.8.3.{shift}"
            with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
                trap = bytes(2 + shift) + struct.pack(">IBB", 0x7FFFFFF0, 1, 0) * 1000
                trap += bytes(len(trap) & 1)
                command = daemon.command_set(sop_class=CT, field=1, message=1, priority=0, data_set=0, sop_instance=uid)
                command += daemon.element(0x5000, trap)
                data = daemon.data_set(CT, uid, 600)
                pdu = pdv(3, command) + pdv(0, data[:200]) + pdv(0, data[200:240]) + pdv(2, data[240:])
                a.socket.sendall(struct.pack(">BxI", 4, len(pdu)) + pdu)
                status, comment, _ = a.response()
                assert status == 0, (shift, hex(status), comment)
        assert pacsd.process.poll() is None


def case_mismatches_are_answered_a900():
    with Daemon() as pacsd:
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            status, comment, elements = a.store(1, CT, "1.2.3.7.1", daemon.data_set(CT, "1.2.3.7.2", 600))
            assert status & 0xFF00 == 0xA900 and comment, (hex(status), comment)
            assert elements[0x1000].rstrip(b"\0") == b"1.2.3.7.1" and elements[0x0002].rstrip(b"\0") == CT.encode()
            status, comment, _ = a.store(1, CT, "1.2.3.7.3", daemon.data_set(SECONDARY_CAPTURE, "1.2.3.7.3", 600))
            assert status & 0xFF00 == 0xA900 and 0 < len(comment) <= 64, (hex(status), comment)
            assert a.store(1, CT, "1.2.3.7.4", daemon.data_set(CT, "1.2.3.7.4", 600))[0] == 0
            a.release()
        assert pacsd.logged("1.2.3.7.1 from TEST at 127.0.0.1 refused with status a900H")
        assert pacsd.counted("refused", 2)


def case_what_cannot_be_understood_is_answered_c000():
    with Daemon() as pacsd:
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            for data in (b"\xff" * 3000, daemon.data_set(CT, "1.2.3.6.2", 6000)[:-100], b"\x08\x00"):
                status, comment, _ = a.store(1, CT, "1.2.3.6.2", data)
                assert status & 0xF000 == 0xC000 and comment, (hex(status), comment)
            assert a.store(1, CT, "1.2.3.6.9", daemon.data_set(CT, "1.2.3.6.9", 600))[0] == 0
            a.release()
        quarantined = os.listdir(os.path.join(pacsd.archive, "quarantine"))
        assert any(name.endswith(".reason") for name in quarantined), quarantined


def case_sender_that_is_cut_off_leaves_nothing():
    with Daemon() as pacsd:
        for end in (lambda a: a.socket.close(), lambda a: a.socket.sendall(b"\7\0\0\0\0\4\0\0\0\0")):
            with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
                a.command(1, data_set=True, sop_class=CT, field=1, priority=0, sop_instance="1.2.3.5.1")
                a.pdv(1, 0, daemon.data_set(CT, "1.2.3.5.1", 15000)[:12000])
                end(a)
        assert pacsd.logged("1.2.3.5.1 lost: aborted by the peer in the middle of a message"), pacsd.log()
        assert pacsd.logged("1.2.3.5.1 lost: the connection was closed in the middle of a message"), pacsd.log()
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            assert a.store(1, CT, "1.2.3.5.1", daemon.data_set(CT, "1.2.3.5.1", 15000))[0] == 0
        assert pacsd.counted("stored", 1)


def case_reserve_reached_is_answered_a700():
    """An object of exactly one PDV: the answer comes although nothing is written; no further PDV is waited for."""
    with Daemon("[archive]\nreserve = 1024G\n") as pacsd:
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            for size in (1000, 100000):
                status, comment, _ = a.store(1, CT, "1.2.3.4.1", daemon.data_set(CT, "1.2.3.4.1", size))
                assert status & 0xFF00 == 0xA700 and comment, (hex(status), comment)
            a.release()
        assert pacsd.echo()[0] == 0


def case_full_disk_is_answered_a700():
    """A real one: what does not fit is refused, what fits afterwards is stored."""
    if os.geteuid() != 0:
        raise daemon.Skip("not root: cannot mount a small file system")
    folder = tempfile.mkdtemp(prefix="pacsd-full-")
    if run("mount", "-t", "tmpfs", "-o", "size=64m", "pacsd-test", folder)[0] != 0:
        os.rmdir(folder)
        raise daemon.Skip("cannot mount a tmpfs here")
    try:
        archive = daemon.make_archive(os.path.join(folder, "archive"))
        filler = os.path.join(folder, "filler")
        with Daemon("[archive]\nreserve = 1M\n", archive=archive) as pacsd:
            with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
                assert a.store(1, CT, "1.2.3.3.1", daemon.data_set(CT, "1.2.3.3.1", 1000))[0] == 0
                with open(filler, "wb") as file:  # to the last byte
                    try:
                        while file.write(b"\1" * 65536):
                            file.flush()
                    except OSError:
                        pass
                sizes = {"1.2.3.3.2": 1000, "1.2.3.3.3": 3000000}
                objects = {uid: daemon.data_set(CT, uid, size) for uid, size in sizes.items()}
                for uid, data in objects.items():
                    status, comment, _ = a.store(1, CT, uid, data)
                    assert status & 0xFF00 == 0xA700 and comment, (hex(status), comment)
                os.unlink(filler)
                for uid, data in objects.items():
                    status, comment, _ = a.store(1, CT, uid, data)
                    assert status == 0, (uid, hex(status), comment)
                a.release()
    finally:
        subprocess.run(["umount", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def case_killed_daemon_keeps_what_it_acknowledged():
    with Daemon() as pacsd:
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            for n in range(10):
                assert a.store(1, CT, f"1.2.3.2.{n}", daemon.data_set(CT, f"1.2.3.2.{n}", 1000, number=n))[0] == 0
            pacsd.process.kill()
            pacsd.process.wait()
        pacsd.start()
        with pacsd.connect(contexts={1: (CT, [EXPLICIT])}) as a:
            assert a.store(1, CT, "1.2.3.2.10", daemon.data_set(CT, "1.2.3.2.10", 1000, number=10))[0] == 0
        find = (daemon.program("pacsctl"), "-A", pacsd.archive, "find", "--level=instance", "--json")
        status, output, errors = run(*find)
        assert status == 0 and all(f"1.2.3.2.{n}\"" in output for n in range(11)), output + errors


def case_same_again_is_a_duplicate():
    with Daemon() as pacsd:
        data = daemon.data_set(CT, "1.2.3.1.1", 1000)
        with pacsd.connect(contexts={1: (CT, [EXPLICIT]), 3: (CT, [IMPLICIT])}) as a:
            assert a.store(1, CT, "1.2.3.1.1", data)[0] == 0
            assert a.store(1, CT, "1.2.3.1.1", data)[0] == 0
            a.release()
        assert pacsd.counted("duplicates", 1), pacsd.status()


if __name__ == "__main__":
    daemon.main(globals())
