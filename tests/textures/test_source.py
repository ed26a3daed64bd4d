"""Where training takes its pictures from: files, broken files, procedural ones, in workers."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from diar_ops._errors import ImageError, OptionError
from diar_ops.textures import TextureSource
from tests.harness import generator


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 60)) -> None:
    from PIL import Image

    Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of one colour each."""
    for index in range(3):
        colour = [0, 0, 0]
        colour[index] = 255
        save(tmp_path / f"{index}.png", (colour[0], colour[1], colour[2]))
    return tmp_path


def test_crops_of_files(folder: Path) -> None:
    source = TextureSource(folder, procedural=0)
    out = source.sample(60, (16, 24), generator("source"))
    assert out.shape == (60, 3, 16, 24)
    assert out.dtype == torch.float32
    # Each is one colour, and all colours come.
    assert (out.amax(dim=(2, 3)) == out.amin(dim=(2, 3))).all()
    counts = out[:, :, 0, 0].sum(dim=0)
    assert (counts > 8).all()
    assert counts.sum() == 60


def test_the_generator_decides_whatever_was_drawn_before(folder: Path) -> None:
    source = TextureSource([folder], procedural=0.5, kinds=["noise", "gradient"])
    first = source.sample(6, (16, 16), generator("source same"))
    source.sample(9, (8, 8), generator("source other"))
    assert torch.equal(source.sample(6, (16, 16), generator("source same")), first)
    fresh = TextureSource([folder], procedural=0.5, kinds=["noise", "gradient"])
    assert torch.equal(fresh.sample(6, (16, 16), generator("source same")), first)
    assert not torch.equal(fresh.sample(6, (16, 16), generator("source other")), first)


def test_a_crop_is_a_part_of_the_picture(tmp_path: Path) -> None:
    """Columns hold their number: the crop's ends tell where it was taken, and that it is even."""
    from PIL import Image

    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    source = TextureSource([tmp_path], procedural=0, area=(0.25, 1.0), aspect=1.3)
    out = source.sample(200, (20, 20), generator("source crops"))[:, 0, 10] * 255
    span = out[:, -1] - out[:, 0]
    assert (span > 0).any()
    assert (span < 0).any()  # mirrored
    steps = out.diff(dim=1)
    assert (steps - span[:, None] / 19).abs().max() < 1.1
    # 100 high at most and 1.3 times as wide at most; a quarter of that area at least.
    assert span.abs().max() <= 130
    assert span.abs().min() >= 0.5 * 100 / 1.3 * 0.9


def test_shares(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "white").mkdir()
    save(tmp_path / "white" / "w.png", (255, 255, 255))
    source = TextureSource({folder: 3.0, tmp_path / "white": 1.0}, procedural=0.25, kinds=["noise"])
    out = source.sample(400, (4, 4), generator("source shares"))
    flat = (out.amax(dim=(2, 3)) == out.amin(dim=(2, 3))).all(dim=1)
    white = (out == 1).flatten(1).all(dim=1)
    assert float((~flat).float().mean()) == pytest.approx(0.25, abs=0.07)
    assert float(white.float().mean()) == pytest.approx(0.75 / 4, abs=0.06)


def test_procedural_alone_needs_no_folder() -> None:
    out = TextureSource().sample(3, (32, 32), generator("source procedural"))
    assert out.shape == (3, 3, 32, 32)
    assert TextureSource(procedural=1.0).sample(0, (8, 8)).shape == (0, 3, 8, 8)


def test_a_broken_image_is_named_once_and_passed_over(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    source = TextureSource([folder], procedural=0)
    with pytest.warns(UserWarning, match=r"an image is left out: .*broken\.jpg") as caught:
        first = source.sample(40, (8, 8), generator("source broken"))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(source.sample(40, (8, 8), generator("source broken")), first)
    assert (first.sum(dim=1) == 1).all()


def test_no_image_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    source = TextureSource([tmp_path], procedural=0)
    with pytest.warns(UserWarning, match="left out"), pytest.raises(ImageError, match="none of the 1 images"):
        source.sample(1, (8, 8))


def test_wrong_folders_and_options_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no photos in the folder"):
        TextureSource([tmp_path / "empty"])
    with pytest.raises(ImageError, match="does not exist"):
        TextureSource([tmp_path / "nowhere"])
    for wrong in (
        {"procedural": 1.5},
        {"kinds": ["pages"]},
        {"kinds": []},
        {"area": (0.5, 0.2)},
        {"aspect": 0.5},
        {"longest": 0},
        {"folders": {folder: 0.0}},
        {"folders": []},
    ):
        with pytest.raises(OptionError, match="TextureSource: expected"):
            TextureSource(**{"folders": [folder], **wrong})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="size"):
        TextureSource([folder]).sample(1, (0, 8))


def test_pictures_are_cache_within_the_memory_given(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"{index}.png", (index, 0, 0), (300, 400))
    mib = 300 * 400 * 3 / 2**20
    source = TextureSource([tmp_path], procedural=0, cache_mib=2.5 * mib)
    source.sample(30, (8, 8), generator("source cache"))
    assert len(source._cache) == 2
    small = TextureSource([tmp_path], procedural=0, longest=40)
    small.sample(30, (8, 8), generator("source cache"))
    assert {kept.shape for kept in small._cache.values()} == {(30, 40, 3)}
    nothing = TextureSource([tmp_path], procedural=0, cache_mib=0)
    assert nothing.sample(2, (8, 8), generator("source cache")).shape == (2, 3, 8, 8)


def test_transparent_and_deep_images(tmp_path: Path) -> None:
    import cv2
    from PIL import Image

    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (TextureSource([tmp_path], procedural=0).sample(1, (8, 8)) == 1).all()
    cv2.imwrite(str(tmp_path / "clear.png"), np.full((20, 20, 3), 32896, np.uint16))
    out = TextureSource([tmp_path], procedural=0).sample(1, (8, 8))
    assert float(out.mean()) == pytest.approx(128 / 255, abs=1e-6)


def test_goes_to_worker_processes_without_its_cache(folder: Path) -> None:
    source = TextureSource([folder], procedural=0.5, kinds=["gradient"])
    first = source.sample(5, (8, 8), generator("source worker"))
    copy = pickle.loads(pickle.dumps(source))
    assert not copy._cache
    assert torch.equal(copy.sample(5, (8, 8), generator("source worker")), first)
    assert "3 files" in repr(copy)
