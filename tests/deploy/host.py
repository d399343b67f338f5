"""Images, the systemd unit, configurations, and figures that stand in two places."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib

from frame import DRAIN_SECONDS, Skipped, hold
from kubernetes import KUSTOMIZATIONS

# In tenths, as systemd-analyze takes it: 0 is all shut, 100 all open.
EXPOSURE_MAX = 11


def dockerfiles(site):
    names = ["deploy/Dockerfile", "deploy/ci/Dockerfile"]
    site.python_tool("hadolint", *names)
    for name in names:
        users = re.findall(r"^USER (\S+)$", site.read(name), re.MULTILINE)
        hold(re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), f"{name}: ends as {users[-1]}")
    return f"hadolint; {context(site)}"


def context(site):
    """What .dockerignore lets through is enough for cargo."""
    sent = [line[1:] for line in site.read(".dockerignore").splitlines() if line.startswith("!")]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in sent:
            source = site.root / name
            hold(source.exists(), f".dockerignore: no {name}")
            (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
        hold((root / "src").exists(), ".dockerignore: src is left out")
        for path in (root / "src").rglob("*.rs"):
            if "tests" in path.relative_to(root).with_suffix("").parts:
                continue
            # Tests may read fixtures; they are not built here.
            code = path.read_text().split("#[cfg(test)]")[0]
            for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', code):
                hold((path.parent / name).exists(), f".dockerignore: {path.name} needs {name}")
        if shutil.which("cargo") is None:
            return "no cargo to read the context"
        # Cargo looks for the files of every target before it sees that it shall build none.
        words = ["cargo", "build", "--locked", "--offline", "--bin", "none"]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
        refused = "failed to parse manifest" in done.stderr
        hold(not refused, f".dockerignore: {' '.join(done.stderr.split())}")
    return "cargo reads the context"

def systemd(site):
    if shutil.which("systemd-analyze") is None:
        raise Skipped("no systemd-analyze")
    unit = "deploy/systemd/weighbridge.service"
    with tempfile.TemporaryDirectory() as folder:
        # A machine with systemd's own units, and programs where the unit looks for them.
        machine = pathlib.Path(folder)
        shutil.copytree("/lib/systemd/system", machine / "lib/systemd/system", symlinks=True)
        place = machine / "etc/systemd/system"
        place.mkdir(parents=True)
        shutil.copy(site.root / unit, place)
        for program in ("usr/local/bin/weighbridge", "bin/kill"):
            (machine / program).parent.mkdir(parents=True, exist_ok=True)
            (machine / program).write_text("#!/bin/sh\n")
            (machine / program).chmod(0o755)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=one",
                               f"--root={machine}", "weighbridge.service"],
                              capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).replace(str(machine), "").strip()
        hold(done.returncode == 0 and not said, said or "systemd-analyze verify failed")
        site.run("systemd-sysusers", f"--root={machine}",
                 site.root / "deploy/systemd/weighbridge.conf")
        users = (machine / "etc/passwd").read_text()
        user = re.search(r"^User=(\S+)$", site.read(unit), re.MULTILINE)[1]
        hold(re.search(rf"^{user}:", users, re.MULTILINE), f"weighbridge.conf makes no {user}")
    said = site.run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                    f"--threshold={EXPOSURE_MAX}", unit)
    level = re.search(r"Overall exposure level \D*([\d.]+)", said)[1]
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", site.read(unit), re.MULTILINE)[1]
    hold(int(stop) > DRAIN_SECONDS, f"TimeoutStopSec={stop}s")
    return f"verify is silent, exposure level {level}"


def configurations(site):
    if site.binary is None:
        raise Skipped("no --binary")
    names = [path for path in (site.root / "deploy").rglob("*.toml")]
    for path in names:
        said = site.run(site.binary, "check", "--config", path)
        settings = dict(re.findall(r"^(\S+)  +(\S+)", said, re.MULTILINE))
        drain = settings["listen.drain_timeout"]
        hold(drain == f"{DRAIN_SECONDS}s", f"{path.name}: drains for {drain}")
        telemetry = tomllib.loads(path.read_text()).get("listen", {}).get("telemetry")
        hold(telemetry in (None, "0.0.0.0:9484"), f"{path.name}: {telemetry}")
    return f"{len(names)} files by weighbridge check"


def versions(site):
    """Numbers that stand in two places."""
    manifest = tomllib.loads(site.read("Cargo.toml"))["package"]
    rust = manifest["rust-version"]
    hold(f"FROM rust:{rust}." in site.read("deploy/Dockerfile"), f"Dockerfile: not Rust {rust}")
    ours = manifest["version"]
    for name in ("compose/compose.yaml", "ci/Dockerfile", "Dockerfile"):
        tag = r"\bweighbridge(?:-egress)?:(\d[\d.]*\d)"
        found = set(re.findall(tag, site.read(f"deploy/{name}")))
        hold(found == {ours}, f"deploy/{name}: {found}, this is {ours}")
    for name in KUSTOMIZATIONS:
        [document] = site.yaml(f"deploy/kubernetes/{name}/kustomization.yaml")
        for image in document["images"]:
            ok = not image["name"].startswith("weighbridge") or image["newTag"] == ours
            hold(ok, f"{name}: {image['newTag']}, this is {ours}")
    client = re.search(r'claude-code": "([\d.]+)"', site.read("tests/clients/package.json"))[1]
    hold(f"claude-code@{client} " in site.read("deploy/ci/Dockerfile"), f"not Claude Code {client}")
    return f"Weighbridge {ours}, Rust {rust}, Claude Code {client}"


def tidy(site):
    rules = ("{extends: default, rules: {document-start: disable, line-length: {max: 104}, "
             "truthy: {check-keys: false}, indentation: {indent-sequences: whatever}, "
             "comments: {min-spaces-from-content: 1}}}")
    site.python_tool("yamllint", "--strict", "-d", rules, "deploy")
    return f"{len(site.yaml_files('deploy'))} files by yamllint"
