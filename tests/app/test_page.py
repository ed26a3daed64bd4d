"""The page in a real browser: what a person does with it."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from diar_ops.cli.main import main
from diar_ops.data import read_image
from tests.app.conftest import Server, open_page
from tests.conftest import ROOT
from tests.examples.full_pipeline.runs import contents

PHOTOS = [ROOT / "examples" / "demo_sequence" / f"0{t}.png" for t in range(5)]


def give(page: Page, *files: Path) -> None:
    before = page.locator(".photo").count()
    page.set_input_files("#drop input[type=file]", [str(file) for file in files])
    page.locator(".photo").nth(before + len(files) - 1).wait_for()


def ask(page: Page, **numbers: int) -> None:
    page.click("#more > button")
    for name, value in numbers.items():
        page.fill(f"#{name} input", str(value))
        page.press(f"#{name} input", "Tab")
    page.click("#more > button")


def download(page: Page, part: str, folder: Path) -> Path:
    with page.expect_download() as coming:
        page.click(f"#{part}")
    coming.value.save_as(folder / part)
    return folder / part


def wait_until(true: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.2)
    return true()


def held(server: Server) -> list[Path]:
    """Files that the server keeps of people, but not its own empty ones."""
    found = []
    for folder, _, names in os.walk(server.folder):  # passes over what is removed while it looks
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                found += [path] if path.stat().st_size else []
    return found


def test_photos_in_picture_out(browser: Browser, server: Server, tmp_path: Path) -> None:
    page = open_page(browser, server)
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    page.reload()
    page.wait_for_selector("#clean")
    give(page, *PHOTOS[:3])
    assert page.locator(".photo img").count() == 3
    assert page.locator('.photo[data-verdict="waiting"]').count() == 3
    ask(page, max_size=160)
    page.click("#clean")
    page.wait_for_selector("#slider img")
    assert page.inner_text("#status").startswith("3 of 3 photos aligned to ")
    assert page.locator('.photo[data-verdict="aligned"]').count() == 3
    page.click(".photo >> nth=0")
    assert page.locator(".photo p").first.is_visible()

    handle = page.locator("#slider .handle, #slider [role=slider], #slider .outer").first
    before = handle.bounding_box()
    assert before is not None
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 150, y, steps=5)
    page.mouse.up()
    after = handle.bounding_box()
    assert after is not None
    assert after["x"] < before["x"] - 100

    out = tmp_path / "command"
    assert main(["clean", *map(str, PHOTOS[:3]), "--out", str(out), "--max-size", "160", "--quiet"]) == 0
    expected = contents(out)
    assert download(page, "picture", tmp_path).read_bytes() == expected["clean.png"]
    assert "<html" in download(page, "report", tmp_path).read_text(encoding="utf-8")
    with zipfile.ZipFile(download(page, "archive", tmp_path)) as archive:
        got = {name: archive.read(name) for name in archive.namelist()}
    del got["report.html"], expected["report.html"]  # they say when, and how long
    assert got == expected
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {server.address.split("/")[2]}
    page.context.close()
    assert wait_until(lambda: not held(server)), held(server)


def test_a_bad_file_is_named_and_the_rest_goes_on(browser: Browser, server: Server, tmp_path: Path) -> None:
    page = open_page(browser, server)
    bad = tmp_path / "<i>bad.jpg"
    bad.write_text("no photo")
    give(page, bad)
    assert "1 of them cannot be read" in page.inner_text("#status")
    page.click('.photo[data-verdict="not read"]')
    told = page.inner_text('.photo[data-verdict="not read"] p')
    assert "holds no picture of a known format" in told
    assert str(server.folder) not in told, "nobody learns where things lie on the server"
    page.click("#clean")
    page.wait_for_selector("#status .wrong")
    assert str(server.folder) not in page.inner_text("#status")
    give(page, *PHOTOS[:2])
    ask(page, max_size=15)
    page.click("#clean")
    page.wait_for_selector("#status .wrong >> text=“Max size” must be 16 pixels or more")
    ask(page, max_size=160)
    page.click("#clean")
    page.wait_for_selector("#slider img")
    assert page.locator('.photo[data-verdict="aligned"]').count() == 2
    assert page.locator('.photo[data-verdict="not read"]').count() == 1
    page.click("#clear")
    page.wait_for_selector(".photo", state="detached")
    page.context.close()
    assert wait_until(lambda: not held(server)), held(server)


def test_too_large_a_file(browser: Browser, server: Server, tmp_path: Path) -> None:
    page = open_page(browser, server)
    large = tmp_path / "large.png"
    large.write_bytes(bytes(3_000_000))
    page.set_input_files("#drop input[type=file]", [str(large)])
    page.wait_for_selector("text=exceed the maximum allowed size")
    assert page.locator(".photo").count() == 0
    page.context.close()


def test_two_people_one_stops(browser: Browser, server: Server) -> None:
    """Neither sees the other's photos; what one stops, the other gets."""
    one, two = open_page(browser, server), open_page(browser, server)
    give(one, *PHOTOS)
    give(two, *PHOTOS[3:])
    ask(two, max_size=160)
    one.click("#clean")
    one.wait_for_selector("#status progress")
    two.click("#clean")
    one.click("#stop")
    one.wait_for_selector("#status >> text=Stopped.")
    two.wait_for_selector("#slider img")
    assert two.inner_text("#status").startswith("2 of 2 photos")
    assert one.locator(".photo").count() == 5
    assert [name.inner_text() for name in two.locator(".photo .name").all()] == ["03.png", "04.png"]
    assert one.locator("#slider img").count() == 0
    two.context.close()
    assert wait_until(lambda: len(held(server)) == 2 * 5), "what the other gave, received and kept, is still there"
    one.click("#clean")
    one.wait_for_selector("#status progress")
    one.context.close()
    assert wait_until(lambda: not held(server)), held(server)


def drag(page: Page, corner: int, dx: float, dy: float) -> None:
    """Drag a corner, in shares of the photo's sides."""
    photo, dot = (page.locator(f"#corners {part}").bounding_box() for part in ("img", f"[data-corner='{corner}']"))
    assert photo is not None
    assert dot is not None
    x, y = dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx * photo["width"], y + dy * photo["height"], steps=5)
    assert page.locator("#corners .loupe").is_visible()
    page.mouse.up()
    page.wait_for_selector("#corners .loupe", state="hidden")


def test_corners_are_dragged(browser: Browser, server: Server, tmp_path: Path) -> None:
    page = open_page(browser, server)
    give(page, *PHOTOS[:3])
    page.click("#corners > button")
    assert page.locator("#corners [data-corner]").count() == 0
    page.click("#reference input")
    page.click("[role=option] >> text=00.png")
    page.wait_for_selector("#corners img")
    page.locator("#corners img").scroll_into_view_if_needed()
    # The photo shows no outline: corners begin a tenth of its sides within it.
    for corner, dx, dy in ((0, 0.1, 0.1), (1, -0.1, 0.1), (2, -0.1, -0.3), (3, 0.1, -0.35)):
        drag(page, corner, dx, dy)
    page.focus("#corners [data-corner='3']")
    for _ in range(2):  # by the keyboard as well: ten pixels each, of a photo of 256
        before = page.get_attribute("#corners [data-corner='3']", "style")
        page.keyboard.press("Shift+ArrowDown")
        page.wait_for_function(
            "old => document.querySelector('#corners [data-corner=\"3\"]').getAttribute('style') != old", arg=before
        )
    ask(page, max_size=160)
    page.click("#clean")
    page.wait_for_selector("#slider img")
    clean = read_image(download(page, "picture", tmp_path))
    height, width = clean.size
    assert height / width == pytest.approx(2 / 3, abs=0.2)
    page.context.close()


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_sticks_out(browser: Browser, server: Server, width: int) -> None:
    page = open_page(browser, server)
    page.set_viewport_size({"width": width, "height": 900})
    give(page, *PHOTOS[:2])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
