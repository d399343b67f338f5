"""What the checks have in common."""

import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# listen.drain_timeout; what stops the program has to wait longer.
DRAIN_SECONDS = 30


class Failed(Exception):
    """What is wrong, in words for a person."""


class Skipped(Exception):
    """Why a check could not be made on this machine."""


class Site:
    """The files under check, and the validators."""

    def __init__(self, root, tools, binary):
        self.root, self.tools, self.binary = root, tools, binary

    def read(self, name):
        return (self.root / name).read_text()

    def yaml(self, name):
        return list(yaml.safe_load_all(self.read(name)))

    def yaml_files(self, under):
        found = (self.root / under).rglob("*.y*ml")
        return sorted(str(path.relative_to(self.root)) for path in found)

    def run(self, *words, stdin=None):
        """What a validator says; Failed with it where it is not content."""
        words = [str(word) for word in words]
        done = subprocess.run(words, cwd=self.root, input=stdin, capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()
            # The folder of the copy says nothing to anybody.
            raise Failed("; ".join(said[:6]).replace(f"{self.root}/", "") or f"{words[0]} failed")
        return done.stdout

    def python_tool(self, name, *words, stdin=None):
        return self.run(self.tools / "venv/bin" / name, *words, stdin=stdin)


def hold(condition, what):
    if not condition:
        raise Failed(what)
