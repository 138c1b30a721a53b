"""The set-up scripts, with stand-ins for the system's package tools."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
NO_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\necho 3.11\n'
RECORD = '#!/bin/sh\necho "$0 $*" | sed "s|.*/||" >>"{log}"\nexit {code}\n'


@pytest.fixture
def machine(tmp_path):
    """A clone without .venv on a machine whose tools are stand-ins."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    press = tmp_path / "clone" / "book" / "press"
    press.mkdir(parents=True)
    for name in ("setup.sh", "tex.sh", "apt.sh", "debian-packages.txt"):
        shutil.copy(ROOT / "book" / "press" / name, press)
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, press.parents[1])

    class Machine:
        log = tmp_path / "log"

        def tool(self, name, script):
            path = bin_folder / name
            path.write_text(script.format(log=self.log, code=0))
            path.chmod(0o755)
            return str(path)

        def run(self, script, **variables):
            return subprocess.run(
                ["bash", str(press / script)],
                env={**os.environ, "PATH": f"{bin_folder}:/usr/bin:/bin"}
                | variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )

    made = Machine()
    made.tool("id", "#!/bin/sh\necho 0\n")
    made.tool("apt-get", RECORD)
    made.tool("dpkg-query", "#!/bin/sh\nexit 1\n")
    made.log.write_text("")
    return made


def test_python_without_venv_gets_the_package_of_its_version(machine):
    python = machine.tool("mypython", NO_VENV)
    machine.run("setup.sh", PYTHON=python)
    assert "install -y --no-install-recommends python3.11-venv" in (
        machine.log.read_text()
    )


def test_without_rights_the_command_is_named(machine):
    python = machine.tool("mypython", NO_VENV)
    machine.tool("id", "#!/bin/sh\necho 1000\n")
    machine.tool("sudo", "#!/bin/sh\nexit 1\n")
    done = machine.run("setup.sh", PYTHON=python)
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends python3.11-venv" in (
        done.stderr
    )
    assert machine.log.read_text() == ""


def test_sudo_is_used_where_it_asks_nothing(machine):
    python = machine.tool("mypython", NO_VENV)
    machine.tool("id", "#!/bin/sh\necho 1000\n")
    machine.tool("sudo", '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n')
    machine.run("setup.sh", PYTHON=python)
    assert "python3.11-venv" in machine.log.read_text()


def test_wrong_interpreter_is_named(machine):
    python = machine.tool("mypython", OLD_PYTHON)
    done = machine.run("setup.sh", PYTHON=python)
    assert done.returncode == 1
    assert f"{python} is not a Python from 3.11 to 3.14" in done.stderr


def test_missing_tex_is_installed_or_explained(machine):
    done = machine.run("tex.sh")
    log = machine.log.read_text()
    assert "update" in log
    assert "texlive-luatex" in log
    assert "poppler-utils" in log
    assert done.returncode == 1  # the stand-in installed nothing
    assert "brew install" in done.stderr


def test_tex_that_is_here_is_left_alone(machine):
    for name in ("lualatex", "latexmk", "makeindex", "pdftocairo", "kpsewhich"):
        machine.tool(name, "#!/bin/sh\n")
    machine.tool("dpkg-query", "#!/bin/sh\necho install ok installed\n")
    assert machine.run("tex.sh").returncode == 0
    assert machine.log.read_text() == ""


def test_every_target_is_explained():
    text = (ROOT / "Makefile").read_text()
    wanted = "test run adopt export sync lint notebooks bench data clean"
    for target in wanted.split():
        assert f"\n{target}:" in text
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True
    )
    assert all(f"make {target} " in done.stdout for target in wanted.split())
