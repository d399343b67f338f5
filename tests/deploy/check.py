"""Holds deploy/ against real validators, and against what its comments and docs/deployment.md say.

    tests/deploy/run.sh [BINARY]           installs the validators and calls the following

    python3 tests/deploy/check.py --tools DIR [--binary FILE] [--self-test]

One line for each check; exit code 1 when one failed. With --self-test each check is given a broken
copy of the files instead, once for each way to break them listed below, and has to refuse it.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

import ci
import compose
import host
import kubernetes
from frame import ROOT, Failed, Site, Skipped, hold

# Each check with ways to break what it looks at: file, what stands there, what is put in its place.
SET, GATEWAY = "deploy/kubernetes/sidecar/statefulset.yaml", "deploy/kubernetes/gateway"
COMPOSE, UNIT = "deploy/compose/compose.yaml", "deploy/systemd/weighbridge.service"
CLOSED = "deploy/kubernetes/sidecar-closed"
GITHUB, JENKINS = "deploy/ci/github-actions.yml", "deploy/ci/Jenkinsfile"
CHECKS = [
    ("kubernetes, schemas", kubernetes.schemas, [
        (SET, "readOnlyRootFilesystem", "readOnlyRootFileSystem"),
        (f"{GATEWAY}/networkpolicies.yaml", "port: 8484", "prot: 8484"),
    ]),
    ("kubernetes, kustomize", kubernetes.kustomize, [
        (f"{GATEWAY}/kustomization.yaml", "services.yaml", "service.yaml"),
        (f"{CLOSED}/kustomization.yaml", "runAsUser: 0", "runAsUzer: 0"),
    ]),
    ("kubernetes, restricted", kubernetes.restricted, [
        (SET, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        (f"{GATEWAY}/statefulset.yaml", "path: /livez", "path: /readyz"),
        (f"{GATEWAY}/statefulset.yaml", "Seconds: 45", "Seconds: 30"),
    ]),
    ("kubernetes, uids", kubernetes.uids, [
        (SET, "runAsUser: 1000", "runAsUser: 65532"),
        (f"{CLOSED}/egress.nft", "skuid 65532", "skuid 65533"),
        (f"{CLOSED}/kustomization.yaml", "initContainers/0", "initContainers/-"),
    ]),
    ("kubernetes, wiring", kubernetes.wiring, [
        ("deploy/kubernetes/podmonitor.yaml", "port: telemetry", "port: metrics"),
        (f"{GATEWAY}/networkpolicies.yaml", "protocol: TCP, port: 53", "protocol: TCP, port: 443"),
        (f"{GATEWAY}/services.yaml", "name: weighbridge\n  ports", "name: weighbrige\n  ports"),
    ]),
    ("compose, schema", compose.schema, [(COMPOSE, "healthcheck:", "healthchek:")]),
    ("compose, facts", compose.facts, [
        (COMPOSE, "127.0.0.1:9090:9090\"]", "9090:9090\"]"),
        (COMPOSE, "prom/prometheus:v3.13.2", "prom/prometheus:latest"),
        (COMPOSE, "./jaeger.yaml", "./jaegr.yaml"),
    ]),
    ("compose, contents", compose.contents, [
        ("deploy/compose/grafana/datasources/weighbridge.yaml", "//jaeger", "//tempo"),
        ("deploy/compose/jaeger.yaml", "trace_storage: traces", "trace_storage: other"),
    ]),
    ("compose, Prometheus", compose.prometheus, [
        ("deploy/compose/prometheus.yml", "weighbridge:9484", "weighbridge:8485"),
        ("deploy/compose/prometheus.yml", "/etc/prometheus/alerts", "/etc/prometheus/alarms"),
    ]),
    ("ci, GitHub Actions", ci.github, [
        (GITHUB, "timeout-minutes: 30", "timeout-minute: 30"),
        (GITHUB, "inputs.prompt", "inputs.promt"),
        (GITHUB, '-p "$PROMPT"', '-p "${{ inputs.prompt }}"'),
        (GITHUB, "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0",
         "actions/checkout@v5"),
    ]),
    ("ci, GitLab CI", ci.gitlab, [("deploy/ci/gitlab-ci.yml", "when: always", "when: ever")]),
    ("ci, CircleCI", ci.circleci, [("deploy/ci/circleci.yml", "docker:\n", "dokcer:\n")]),
    ("ci, Jenkins", ci.jenkins, [
        (JENKINS, "total.trim()", "total.trim("),
        (JENKINS, "    stages {", "    stage {"),
    ]),
    ("ci, shell", ci.shell, [
        (GITHUB, '"$GITHUB_STEP_SUMMARY"', "$GITHUB_STEP_SUMMARY"),
        (JENKINS, '"$PROMPT"\n', '"$PROMPT" || true\n'),
        ("deploy/ci/circleci.yml", "--report weighbridge/cost.xml", "--report cost.xml"),
    ]),
    ("ci, for real", ci.runs, [
        (GITHUB, '"$PROMPT"\n', '"$PROMPT" || true\n'),
        (GITHUB, "mkdir -p weighbridge", "true"),
        (GITHUB, '"$PROMPT"\n', "$PROMPT\n"),
        (JENKINS, '"$PROMPT"\n', '"$PROMPT" || true\n'),
    ]),
    ("dockerfiles", host.dockerfiles, [
        ("deploy/Dockerfile", "rust:1.95.0-bookworm", "rust:latest"),
        ("deploy/ci/Dockerfile", "USER 1000:1000", "USER root"),
        (".dockerignore", "!pricing\n", ""),
        (".dockerignore", "!benches\n", ""),
        ("deploy/ci/Dockerfile", "@anthropic-ai/claude-code@2.1.330", "@anthropic-ai/claude-code"),
    ]),
    ("systemd", host.systemd, [
        (UNIT, "ProtectHome=yes", "ProtectHom=yes"),
        (UNIT, "/usr/local/bin/weighbridge serve", "/usr/bin/weighbridge serve"),
        (UNIT, "NoNewPrivileges=yes", "NoNewPrivileges=no"),
        ("deploy/systemd/weighbridge.conf", "u weighbridge", "u weighbrige"),
    ]),
    ("configurations", host.configurations, [
        ("deploy/compose/weighbridge.toml", "telemetry =", "telemetri ="),
        ("deploy/kubernetes/gateway/weighbridge.toml", "file:/etc", "/etc"),
    ]),
    ("versions", host.versions, [
        ("Cargo.toml", 'version = "0.1.0"', 'version = "0.2.0"'),
        ("tests/clients/package.json", '-code": "2.1.330"', '-code": "2.1.331"'),
    ]),
    ("yaml, tidy", host.tidy, [(COMPOSE, "volumes:\n  ledger:", "volumes:\n  ledger:\n  ledger:")]),
]


def copy(folder):
    """The files under check, to be broken."""
    for name in ("benches", "dashboards", "deploy", "pricing", "src", "tests/clients",
                 "tests/deploy"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name)
    for name in (".dockerignore", "Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, folder / name)


def self_test(check, breaks, arguments):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        copy(root)
        site = Site(root, arguments.tools, arguments.binary)
        # The whole copy does, so what is refused below is refused for what was broken.
        check(site)
        for file, old, new in breaks:
            text = (root / file).read_text()
            hold(old in text, f"self-test: {file} does not hold {old!r}")
            (root / file).write_text(text.replace(old, new))
            try:
                check(site)
            except Failed as why:
                if arguments.verbose:
                    print(f"  {file}: {new!r}: {why}")
            else:
                raise Failed(f"self-test: {file} with {new!r} was not refused")
            (root / file).write_text(text)
    return f"{len(breaks)} broken, all refused"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tools", type=pathlib.Path, required=True,
                        help="folder with venv and node_modules, as run.sh makes it")
    parser.add_argument("--binary", type=pathlib.Path, help="weighbridge, for its own check")
    parser.add_argument("--self-test", action="store_true", help="broken files must be refused")
    parser.add_argument("--verbose", action="store_true", help="with --self-test: why, one by one")
    arguments = parser.parse_args()
    arguments.tools = arguments.tools.resolve()
    arguments.binary = arguments.binary and arguments.binary.resolve()
    failed = 0
    for name, check, breaks in CHECKS:
        try:
            if arguments.self_test:
                result = self_test(check, breaks, arguments)
            else:
                result = check(Site(ROOT, arguments.tools, arguments.binary))
            print(f"ok: {name}: {result}", flush=True)
        except Skipped as why:
            print(f"skipped: {name}: {why}", flush=True)
        except (Failed, KeyError, OSError) as why:
            failed += 1
            print(f"failed: {name}: {why!r}" if isinstance(why, KeyError) else
                  f"failed: {name}: {why}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
