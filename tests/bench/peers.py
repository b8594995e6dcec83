"""pacsd, and beside it storescp of DCMTK and Orthanc of Debian, each with a storage and a port of its own."""
import json
import os
import socket
import subprocess

from measure import Server, installed, program, run, wait_for

NODELAY = {"TCP_NODELAY": "1"}  # DCMTK's name for it; its own default leaves Nagle on


def slow_sync():
    """For a server's environment: each of its syncs takes 5 ms more."""
    return {"LD_PRELOAD": program("bench_slow.so")}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def pacsd(folder, env=None, archive=None):
    archive = archive or os.path.join(folder, "archive")
    if not os.path.exists(archive):
        run(program("pacsctl"), "-A", archive, "init")
    ports = os.path.join(archive, "run", "pacsd.ports")
    if os.path.exists(ports):
        os.unlink(ports)
    config = os.path.join(folder, "pacs.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write("[archive]\nreserve = 1M\n")
    server = Server([program("pacsd"), "-A", archive, "-c", config, "--dicom", "127.0.0.1:0"], env=env)
    wait_for(lambda: os.path.exists(ports) and os.path.getsize(ports), server.process)
    with open(ports, encoding="ascii") as file:
        server.port = int(file.read().split()[0].rsplit(":", 1)[1])
    return server


def storescp(folder, env=None):
    storage = os.path.join(folder, "storescp")
    os.makedirs(storage)
    port = free_port()
    server = Server([installed("storescp"), "--bit-preserving", "--fork", "-od", storage, str(port)], env=env)
    server.port = port
    wait_for(lambda: answers(port), server.process)
    return server


def orthanc(folder, env=None):
    storage, config = os.path.join(folder, "orthanc"), os.path.join(folder, "orthanc.json")
    os.makedirs(storage)
    port = free_port()
    with open(config, "w", encoding="ascii") as file:
        json.dump({"Name": "bench", "StorageDirectory": storage, "IndexDirectory": storage, "DicomPort": port,
                   "DicomServerEnabled": True, "HttpServerEnabled": False, "DicomAlwaysAllowStore": True,
                   "DicomCheckCalledAet": False, "Plugins": [], "DicomModalities": {}}, file)
    server = Server([installed("Orthanc"), config], cwd=folder, env=env)
    server.port = port
    wait_for(lambda: answers(port), server.process)
    return server


def send(port, folders, env=None):
    """Sends each folder over an association of its own, all at once; raises where a sender fails."""
    sender = installed("storescu")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([sender, "-R", "-aec", "PACSFS", "127.0.0.1", str(port), "+sd", path], **quiet,
                                env={**os.environ, **(env or {})}) for path in folders]
    status = [process.wait() for process in started]
    if any(status):
        raise OSError(f"storescu failed: {status}")


RECEIVERS = (("pacsd", pacsd), ("storescp", storescp), ("Orthanc", orthanc))
