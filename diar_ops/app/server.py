"""Serve the page until Ctrl-C."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from diar_ops._errors import OptionError


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    max_upload: int = 200,
    most_photos: int = 200,
    open_browser: bool = False,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve the page for the rest of the process; when it is asked to end, all that came is removed.

    Args:
        host: Address to listen on; others than this machine reach it only if it is not 127.0.0.1.
        port: Port; 0 for any that is free.
        max_upload: Largest file that is taken, in megabytes.
        most_photos: Most photos of one page.
        open_browser: Open the page in this machine's browser.
        ready: Is called with the address when the page is there.

    Raises:
        OptionError: The port is taken, or the host is none of this machine.
    """
    with tempfile.TemporaryDirectory(prefix="diar-ops-app-", ignore_cleanup_errors=True) as folder:
        uploads, people = Path(folder) / "uploads", Path(folder) / "people"
        people.mkdir()
        # Read by Gradio when it is imported: nothing is told to anybody, and uploads lie in our folder.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        import gradio as gr

        from diar_ops.app.page import LOOK, build_page
        from diar_ops.app.session import Sessions

        gr.set_static_paths([people])  # served where they are, so that no copy is left in a cache
        sessions = Sessions(people, uploads)
        page = build_page(sessions, most_photos)
        ended = Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        options: dict[str, Any] = {"server_name": host, "server_port": port or _free_port(host)}
        try:
            try:
                _, address, _ = page.queue(api_open=False).launch(
                    **options,
                    **LOOK,
                    inbrowser=open_browser,
                    prevent_thread_lock=True,
                    quiet=True,
                    share=False,
                    ssr_mode=False,
                    max_file_size=f"{max_upload}mb",
                    footer_links=[],
                    enable_monitoring=False,
                )
            except OSError as error:
                raise OptionError(f"cannot listen at `host` {host}, `port` {port}: it is taken or not ours") from error
            ready(address)
            while not ended.wait(0.5):  # so that Ctrl-C is heard on every system
                pass
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave anything behind
            sessions.close_all()
            page.close(verbose=False)


def _free_port(host: str) -> int:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise OptionError(f"`host` must be an address of this machine, got {host}") from error
        return int(probe.getsockname()[1])
