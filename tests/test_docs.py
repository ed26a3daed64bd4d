"""The code blocks of the documents run as written, one after the other."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


DOCUMENTS = (
    "README.md",
    "docs/archives.md",
    "docs/conventions.md",
    "docs/data.md",
    "docs/networks.md",
    "docs/ops/aggregate.md",
    "docs/ops/geometry.md",
    "docs/ops/matching.md",
    "docs/ops/pipeline.md",
    "docs/ops/scene.md",
    "docs/pipeline.md",
    "docs/research.md",
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_blocks_run(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert blocks, f"{document} has no code block"
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), namespace)
