"""The code blocks of the documents run as written, one after the other."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


DOCUMENTS = (
    "docs/archives.md",
    "docs/conventions.md",
    "docs/data.md",
    "docs/networks.md",
    "docs/pipeline.md",
    "README.md",
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_blocks_run(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert blocks, f"{document} has no code block"
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), namespace)
