"""Rows survive their file exactly; what is no such file is one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.quality.reconstruction import RECONSTRUCTION
from benchmarks.quality.rows import read_rows, write_rows
from diar_ops import OutputError
from tests.quality.score_rows import row

HEAD = ",".join(RECONSTRUCTION.columns)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [row(1, 'odd, "name"', 20.123456), row(0, "mean", math.inf), row(0, "mean", 1.0, 10)]
    write_rows(tmp_path / "a.csv", rows, RECONSTRUCTION)
    write_rows(tmp_path / "b.csv", reversed(rows), RECONSTRUCTION)
    assert read_rows(tmp_path / "a.csv", RECONSTRUCTION) == sorted(rows, key=lambda r: r.key)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert rows[1].key == ("set", "000000", 3, "mean")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with"),
        ("a,b\n", "must begin with"),
        (HEAD + "\nset,s,3,mean,1,2\n", "line 2 is not a result"),
        (HEAD + "\nset,s,x,mean,1,2,3,4\n", "line 2 is not a result"),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=words):
        read_rows(tmp_path / "a.csv", RECONSTRUCTION)
