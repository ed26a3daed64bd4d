"""The page as a process of its own, and the machine's Chromium to open it with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import ROOT


class Server(NamedTuple):
    address: str
    folder: Path  # where it keeps what pages give it


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The command ``diar-ops app``; it must end well, and leave nothing."""
    folder = tmp_path_factory.mktemp("server")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    code = "import sys; from diar_ops.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "app", "--port", "0", "--no-browser", "--max-upload", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words, process.communicate()[1]
        yield Server(next(word for word in words if word.startswith("http")), folder)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()  # or leaving the block would wait for it for ever
    assert process.returncode == 130
    assert err.endswith("stopped; what the pages held is removed\n")
    assert "Traceback" not in err
    assert not list(folder.glob("diar-ops-*"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's Chromium; without one these tests skip, but not in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "there is no Chromium on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def open_page(browser: Browser, server: Server) -> Page:
    """A page of a person of its own, with its requests and errors noted."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(server.address)
    page.wait_for_selector("#clean")
    return page
