"""Rendered sequences are rendered once, and the same whoever asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from diar_ops import OptionError
from diar_ops.textures import TextureSource
from diar_ops.training.rendered import RenderedSequences


def sequences(folder: Path | None, kind: Literal["aligned", "misaligned"]) -> RenderedSequences:
    return RenderedSequences(folder, TextureSource(), count=3, frames=2, size=(64, 64), kind=kind, seed=1)


@pytest.mark.parametrize(
    ("kind", "folder", "keys"),
    [
        ("aligned", "64x64x2-1", {"radiance", "label"}),
        ("misaligned", "views-64x64x2-1", {"radiance", "seen", "homography_frame_label"}),
    ],
)
def test_sequences_are_kept_and_do_not_depend_on_the_folder(
    tmp_path: Path, kind: Literal["aligned", "misaligned"], folder: str, keys: set[str]
) -> None:
    first = sequences(tmp_path, kind)[1]
    assert (tmp_path / folder / "000001.safetensors").is_file()
    again, fresh = sequences(tmp_path, kind)[1], sequences(None, kind)[1]
    assert first.keys() == keys
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert torch.equal(value, fresh[name])
    assert first["radiance"].dtype == torch.float16


def test_the_first_misaligned_frame_sees_exactly_the_picture() -> None:
    """Its camera is perpendicular."""
    homography = sequences(None, "misaligned")[1]["homography_frame_label"][0]
    assert torch.allclose(homography, torch.eye(3, dtype=torch.float64))


def test_a_damaged_file_is_rendered_again(tmp_path: Path) -> None:
    kept = sequences(tmp_path, "aligned")
    item, path = kept[0], kept.path(0)
    assert path is not None
    content = path.read_bytes()
    path.write_bytes(content[:100])
    assert torch.equal(kept[0]["radiance"], item["radiance"])
    assert path.read_bytes() == content


def test_a_share_may_be_behind_glass(tmp_path: Path) -> None:
    options: dict[str, Any] = {"count": 3, "frames": 2, "size": (64, 64), "seed": 1}
    kept = RenderedSequences(tmp_path, TextureSource(), glass=1.0, **options)
    item, bare = kept[0], RenderedSequences(None, TextureSource(), **options)[0]
    assert (tmp_path / "64x64x2-1-glass1" / "000000.safetensors").is_file()
    # The same picture in the same light, but for what the pane mirrors.
    assert torch.equal(item["label"], bare["label"])
    assert not torch.equal(item["radiance"], bare["radiance"])
    with pytest.raises(OptionError, match="glass, a share"):
        RenderedSequences(None, TextureSource(), glass=2.0, **options)


def test_exceptions() -> None:
    with pytest.raises(OptionError, match="count >= 1"):
        RenderedSequences(None, TextureSource(), count=0)
    with pytest.raises(OptionError, match="frames >= 1"):
        RenderedSequences(None, TextureSource(), count=1, frames=0)
    with pytest.raises(IndexError):
        sequences(None, "aligned")[3]
