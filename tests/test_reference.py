"""The site misses nothing: the reference holds every public name, the pages of the ops a figure for every op."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from types import ModuleType

import pytest

import diar_ops
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "ops").glob("*.md"))


def load(path: str) -> ModuleType:
    """Return a module of the site, which no package holds."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), DOCS / f"{path}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_in_the_reference() -> None:
    room = load("_ext/room")
    listed: list[str] = []
    for page in (DOCS / "reference").glob("*.rst"):
        for module in re.findall(r"^\.\. room:: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            listed += [name for name in room.public_names(importlib.import_module(module)) if name in diar_ops.__all__]
    public = (ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").split()
    assert sorted(listed) == sorted(public)  # each once


def test_every_op_has_a_section_with_a_figure() -> None:
    shown: set[str] = set()
    for page in PAGES:
        _, *sections = re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for section in sections:
            assert "](../images/ops/" in section, f"{page.name}: {section.splitlines()[0]} has no figure"
            shown.update(re.findall(r"`(\w+)`", section.splitlines()[0]))
    functions = {name for name in diar_ops.__all__ if inspect.isfunction(getattr(diar_ops, name))}
    assert functions - shown == set()


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != "index"], ids=lambda page: page.stem)
def test_every_figure_is_drawn_and_there(page, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [str(DOCS / "figures"), *sys.path])
    drawings = load(f"figures/{page.stem}")
    pictures = re.findall(r"\]\(\.\./images/ops/(\w+)\.webp\)", page.read_text(encoding="utf-8"))
    assert pictures
    for picture in pictures:
        assert callable(getattr(drawings, picture)), f"docs/figures/{page.stem}.py draws no {picture}"
        assert (DOCS / "images" / "ops" / f"{picture}.webp").is_file(), "python docs/figures makes it"
