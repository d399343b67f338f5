"""Programs that run for one check: on free loopback ports, with storage that is gone afterwards."""

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_S = 60


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def running(command, ready, log):
    """Runs a command until the block ends; only this one process is ever ended."""
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait(process, ready, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(process, url, log):
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended: {tail(log)}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(url, timeout=2):
                return
        time.sleep(0.1)
    raise SystemExit(f"{process.args[0]} is not ready after {START_S} s: {tail(log)}")


def tail(log):
    with open(log, encoding="utf-8") as file:
        return "".join(file.readlines()[-5:])


@contextlib.contextmanager
def prometheus(folder, data, config="global: {scrape_interval: 15s}\n"):
    """Yields the address of a Prometheus over `data`."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={data}",
               "--storage.tsdb.retention.time=10y", f"--web.listen-address={address}"]
    with running(command, f"http://{address}/-/ready", folder / "prometheus.log"):
        yield f"http://{address}"


@contextlib.contextmanager
def alertmanager(folder, config):
    address = f"127.0.0.1:{free_port()}"
    # No gossip: a port less, and nothing leaves this process.
    command = ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}",
               f"--web.listen-address={address}", "--cluster.listen-address="]
    with running(command, f"http://{address}/-/ready", folder / "alertmanager.log"):
        yield f"http://{address}"
