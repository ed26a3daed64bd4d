"""The wheel has everything: installed without the clone, the command cleans photos."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_installed_from_the_wheel(tmp_path: Path) -> None:
    def run(*command: object) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            list(map(str, command)), check=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        ).stdout

    build = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q")
    run(sys.executable, "-m", "pip", "wheel", *build, "-w", tmp_path, ROOT)
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    home = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", home / "python", "install", *build[::2], "--no-index", wheel)
    libraries = run(home / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # All packages of this environment, but not what its own .pth files add, such as this tree.
    (Path(libraries) / "environment.pth").write_text(sysconfig.get_path("purelib"))

    assert "site-packages" in run(home / "python", "-c", "import diar_ops; print(diar_ops.__file__)")
    photos = [ROOT / "examples" / "demo_sequence" / f"0{t}.png" for t in range(3)]
    run(home / "diar-ops", "clean", *photos, "--out", "out", "--max-size", 96, "--quiet")
    assert {"clean.png", "report.html", "homographies.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "browser" in run(home / "diar-ops", "app", "--help")
