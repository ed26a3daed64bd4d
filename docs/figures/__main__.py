"""Make the figures of the pages anew: ``python docs/figures [PAGE ...]``.

The code blocks of a page in ``docs/ops`` are run as ``tests/test_docs.py`` runs them; each picture of the page is
then drawn, from what they have made, by the function of that name in the module here that is named as the page.
Those of the gallery are made by ``python docs/figures gallery PAINTINGS [FIGURE ...]``.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path

import draw
import torch

DOCS = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"\]\(\.\./images/ops/(\w+)\.webp\)")


def run_page(text: str) -> dict[str, object]:
    """Run all code blocks of a page and return what they have made."""
    page: dict[str, object] = {}
    for block in BLOCK.findall(text):
        exec(block, page)  # noqa: S102 - the page's own code
    return page


def make(name: str) -> None:
    """Make the figures of a page."""
    drawings = importlib.import_module(name)
    text = (DOCS / "ops" / f"{name}.md").read_text(encoding="utf-8")
    torch.manual_seed(0)
    page = run_page(text)
    for picture in PICTURE.findall(text):
        draw.save(getattr(drawings, picture)(page), DOCS / "images" / "ops" / f"{picture}.webp")


if __name__ == "__main__":
    os.chdir(DOCS.parent)
    sys.path.insert(0, str(DOCS.parent))
    if sys.argv[1:2] == ["gallery"]:
        importlib.import_module("gallery").make(Path(sys.argv[2]), DOCS / "images" / "gallery", sys.argv[3:])
    else:
        for page_name in sys.argv[1:] or ("matching", "geometry", "aggregate", "scene", "pipeline"):
            make(page_name)
