"""Tries deploy/kubernetes/sidecar-closed/egress.nft out, in two network namespaces made for it.

One namespace is the pod, with the sidecar and an agent under their own uids; the other is the
world, with a stand-in for the API. Needs root, iproute2, util-linux and nftables; takes seconds.

    python3 tests/deploy/egress.py [--binary target/debug/weighbridge] [--self-test]

With --binary the sidecar is the real program, and the agent makes a call through it.
"""

import argparse
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

RULES = pathlib.Path("deploy/kubernetes/sidecar-closed/egress.nft")
SIDECAR, AGENT = 65532, 1000
POD_V4, API_V4 = "198.51.100.1", "198.51.100.2"
POD_V6, API_V6 = "2001:db8::1", "2001:db8::2"
# The API, another port of the world, names.
HTTPS, OTHER, NAMES = 443, 8080, 53
CALLS, TELEMETRY = 8484, 9484
WAIT = 2.0


class Forbidden(Exception):
    """This machine lets nobody make network namespaces."""


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True)


def connect(address, port):
    """How a TCP connection ends: open, or the error's name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as stream:
        stream.settimeout(WAIT)
        try:
            stream.connect((address, port))
        except OSError as error:
            return type(error).__name__
        return "open"


def ask(address, port):
    """Whether a datagram is answered: open, or the error's name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as socket_:
        socket_.settimeout(WAIT)
        try:
            socket_.connect((address, port))
            socket_.send(b"?")
            socket_.recv(16)
        except OSError as error:
            return type(error).__name__
        return "open"


def call(port):
    """The status of a call to the sidecar, and who says it answered."""
    body = '{"model":"claude-haiku-4-5","max_tokens":8,"messages":[{"role":"user","content":"x"}]}'
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("POST", "/v1/messages", body, {"content-type": "application/json"})
    response = client.getresponse()
    return f"{response.status} {response.read().decode()}"


def serve(address, port, datagrams=False):
    """Answers for ever: HTTP on TCP, the same bytes on UDP."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    if datagrams:
        while True:
            data, sender = listener.recvfrom(512)
            listener.sendto(data, sender)
    listener.listen(16)
    while True:
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(WAIT)
            try:
                if stream.recv(65536):
                    stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\napi")
            except OSError:
                pass


class Site:
    """The pod and the world, until the `with` block ends."""

    def __init__(self):
        self.pod, self.world = f"wb-pod-{os.getpid()}", f"wb-world-{os.getpid()}"
        self.started = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weighbridge-egress-"))
        self.folder.chmod(0o755)
        # A copy, because the agent may not be let into the folder of the tests.
        shutil.copy(__file__, self.folder / "egress.py")

    def __enter__(self):
        try:
            run("ip", "netns", "add", self.pod)
        except subprocess.CalledProcessError as error:
            self.__exit__()
            if "not permitted" not in error.stderr:
                raise
            raise Forbidden(error.stderr.strip()) from None
        try:
            self.connect_the_two()
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect_the_two(self):
        run("ip", "netns", "add", self.world)
        pod, world = f"wbp{os.getpid()}", f"wbw{os.getpid()}"
        run("ip", "link", "add", pod, "netns", self.pod, "type", "veth",
            "peer", world, "netns", self.world)
        for space, link, addresses in [
            (self.pod, pod, (f"{POD_V4}/24", f"{POD_V6}/64")),
            (self.world, world, (f"{API_V4}/24", f"{API_V6}/64")),
        ]:
            for address in addresses:
                # Without "nodad" an IPv6 address cannot be used for its first second.
                nodad = ["nodad"] if ":" in address else []
                run("ip", "-n", space, "addr", "add", address, "dev", link, *nodad)
            for name in ("lo", link):
                run("ip", "-n", space, "link", "set", name, "up")

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
            process.wait()
        for space in (self.pod, self.world):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
        shutil.rmtree(self.folder)

    def inside(self, space, uid, *words):
        """A command line for a namespace, as this uid and without any capability."""
        words = [str(word) for word in words]
        return ["ip", "netns", "exec", space, "setpriv", f"--reuid={uid}", f"--regid={uid}",
                "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
                *words]

    def start(self, space, uid, *words):
        self.started.append(subprocess.Popen(self.inside(space, uid, *words)))

    def self_as(self, space, uid, *words):
        """Runs a function of this file there; what it returned."""
        words = self.inside(space, uid, sys.executable, self.folder / "egress.py", "--do", *words)
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    def start_self(self, space, uid, *words):
        script = self.folder / "egress.py"
        if uid is None:
            # The world's ports below 1024 need root.
            words = [sys.executable, script, "--do", *words]
            words = ["ip", "netns", "exec", space, *[str(word) for word in words]]
            self.started.append(subprocess.Popen(words))
        else:
            self.start(space, uid, sys.executable, script, "--do", *words)

    def load(self, rules):
        path = self.folder / "egress.nft"
        path.write_text(rules)
        run("ip", "netns", "exec", self.pod, "nft", "-f", str(path))

    def start_sidecar(self, binary):
        if binary is None:
            self.start_self(self.pod, SIDECAR, "serve", "127.0.0.1", CALLS)
            self.start_self(self.pod, SIDECAR, "serve", POD_V4, TELEMETRY)
            return
        program, data = self.folder / "weighbridge", self.folder / "data"
        shutil.copy(binary, program)
        program.chmod(0o755)
        data.mkdir()
        os.chown(data, SIDECAR, SIDECAR)
        log = open(self.folder / "log", "wb")
        words = self.inside(self.pod, SIDECAR, program, "serve", "--data-dir", data,
                            "--upstream", f"http://{API_V4}:{HTTPS}",
                            "--telemetry", f"{POD_V4}:{TELEMETRY}")
        self.started.append(subprocess.Popen(words, stderr=log, env={"HOME": str(data)}))

    def wait_for(self, space, uid, address, port):
        for _ in range(100):
            if self.self_as(space, uid, "connect", address, port) == "open":
                return
            time.sleep(0.1)
        raise SystemExit(f"failed: nothing listens on {address}:{port}")


def try_rules(rules, binary):
    """What differs from what is promised; empty where all holds."""
    found, count = [], 0

    def expect(what, got, wanted):
        nonlocal count
        count += 1
        holds = got == wanted if isinstance(wanted, str) else wanted(got)
        if not holds:
            found.append(f"{what}: {got}")

    shut = lambda got: got in ("ConnectionRefusedError", "PermissionError", "TimeoutError")
    with Site() as site:
        for address in (API_V4, API_V6):
            for port in (HTTPS, OTHER, NAMES):
                site.start_self(site.world, None, "serve", address, port)
        for port in (HTTPS, NAMES):
            site.start_self(site.world, None, "serve-datagrams", API_V4, port)
        site.start_sidecar(binary)
        site.start_self(site.pod, AGENT, "serve", POD_V4, OTHER)
        tcp = lambda uid, address, port: site.self_as(site.pod, uid, "connect", address, port)
        udp = lambda uid, port: site.self_as(site.pod, uid, "ask", API_V4, port)
        # All of it is open before: else a wall would be shown that was there already.
        for address in (API_V4, API_V6):
            for port in (HTTPS, OTHER, NAMES):
                site.wait_for(site.pod, AGENT, address, port)
        site.wait_for(site.pod, AGENT, "127.0.0.1", CALLS)
        expect("before: the agent, UDP 443", udp(AGENT, HTTPS), "open")

        site.load(rules)
        site.load(rules)
        for address in (API_V4, API_V6):
            expect(f"the sidecar to {address}", tcp(SIDECAR, address, HTTPS), "open")
            expect(f"the agent to {address}", tcp(AGENT, address, HTTPS), "ConnectionRefusedError")
            expect(f"the agent to {address}, {OTHER}", tcp(AGENT, address, OTHER), shut)
            expect(f"uid 0 without capabilities to {address}", tcp(0, address, HTTPS), shut)
        expect("the agent, UDP 443 (QUIC)", udp(AGENT, HTTPS), shut)
        expect("the agent, names", udp(AGENT, NAMES), "open")
        expect("the agent, names over TCP", tcp(AGENT, API_V4, NAMES), "open")
        expect("the agent to the sidecar", tcp(AGENT, "127.0.0.1", CALLS), "open")
        answer = "200 api"
        expect("the agent's call", site.self_as(site.pod, AGENT, "call", CALLS), answer)
        world = lambda port: site.self_as(site.world, AGENT, "connect", POD_V4, port)
        expect("a scraper to the sidecar", world(TELEMETRY), "open")
        expect("a probe to the agent", world(OTHER), "open")
        for what, words in [
            ("the agent takes the rules away", ("nft", "delete", "table", "inet", "weighbridge")),
            ("the agent becomes the sidecar", ("setpriv", f"--reuid={SIDECAR}", "true")),
        ]:
            words = site.inside(site.pod, AGENT, *words)
            done = subprocess.run(words, check=False, capture_output=True)
            expect(what, "done" if done.returncode == 0 else "refused", "refused")
    return found, count


def main():
    if sys.argv[1:2] == ["--do"]:
        what, *words = sys.argv[2:]
        words = [int(word) if word.isdigit() else word for word in words]
        does = {"connect": connect, "ask": ask, "call": call, "serve": serve,
                "serve-datagrams": lambda address, port: serve(address, port, datagrams=True)}
        print(does[what](*words))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, help="the program to use as sidecar")
    parser.add_argument("--self-test", action="store_true", help="broken rules must be refused")
    arguments = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    rules = (root / RULES).read_text()
    for tool in ("ip", "nft", "setpriv"):
        if shutil.which(tool) is None:
            print(f"failed: egress rule: {tool} is not installed")
            return 1
    try:
        if arguments.self_test:
            accept = f"meta skuid {SIDECAR} accept"
            broken = {
                "another uid": rules.replace(accept, f"meta skuid {AGENT} accept"),
                "no drop": rules.replace("policy drop", "policy accept").replace("reject", "#"),
                "IPv4 only": rules.replace("meta l4proto tcp counter", "meta nfproto ipv6 accept\n"
                                           "meta l4proto tcp counter"),
            }
            for name, text in broken.items():
                assert text != rules, name
                found, _ = try_rules(text, None)
                if not found:
                    print(f"failed: egress rule, self-test: {name} was not seen")
                    return 1
                print(f"ok: egress rule, self-test: {name}: {len(found)} found, as {found[0]}")
            return 0
        found, count = try_rules(rules, arguments.binary)
    except Forbidden as error:
        print(f"skipped: no NET_ADMIN: egress rule ({error})")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"failed: egress rule: {error.cmd}: {error.stderr.strip()}")
        return 1
    for line in found:
        print(f"failed: egress rule: {line}")
    if not found:
        who = "the real sidecar" if arguments.binary else "a stand-in for the sidecar"
        print(f"ok: egress rule: {count} facts, with {who}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
