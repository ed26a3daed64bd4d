"""Files of weights fill kornia's networks, and their points are where this library has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.quality.alignment import aligners as aligners_module
from benchmarks.quality.alignment.aligners import AlignerFiles, resolve_aligners
from benchmarks.quality.alignment.learned import disk_lightglue_matcher, loftr_matcher
from diar_ops import WeightsError
from tests.quality.alignment.views import texture

feature = pytest.importorskip("kornia.feature")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> AlignerFiles:
    """Weights that nobody trained, wrapped and named as the published files are."""
    folder = tmp_path_factory.mktemp("kornia")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loftr = feature.LoFTR(pretrained=None).state_dict()
        disk = feature.DISK().state_dict()
        lightglue = feature.LightGlue(None, input_dim=128, weights=None).state_dict()
    torch.save({"state_dict": {f"matcher.{k}": v for k, v in loftr.items()}}, folder / "l.ckpt")
    torch.save({"extractor": disk}, folder / "d.pth")
    old = {}
    for key, value in lightglue.items():
        parts = key.split(".")
        if parts[0] == "transformers":
            parts = [parts[2], parts[1], *parts[3:]]
        old[".".join(parts)] = value
    torch.save(old, folder / "g.pth")
    return AlignerFiles(None, folder / "l.ckpt", folder / "d.pth", folder / "g.pth")


def test_loftr(files: AlignerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    from kornia.feature.loftr import loftr

    # Random weights match nothing with confidence.
    monkeypatch.setitem(loftr.default_cfg["match_coarse"], "thr", 0.0)
    assert files.loftr is not None
    matcher = loftr_matcher(files.loftr)
    image = matcher.describe(texture())
    assert image.shape == (1, 1, 96, 128)
    points, others = matcher.match(image, image)
    assert len(points) == len(others) > 8
    # Cells lie on every eighth pixel of a frame whose pixel centres are at halves.
    assert ((points + 0.5) % 8 == 0).all()
    assert abs(points - others).max() < 140


def test_disk_and_lightglue(files: AlignerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(feature.LightGlue.default_conf, "filter_threshold", 0.0)
    assert files.disk is not None
    assert files.lightglue is not None
    matcher = disk_lightglue_matcher(files.disk, files.lightglue)
    described = matcher.describe(texture((90, 120)))
    keypoints = described["keypoints"][0]
    assert len(keypoints) > 8
    assert (keypoints >= 0).all()
    assert (keypoints < torch.tensor([120, 90])).all()
    points, others = matcher.match(described, described)
    assert len(points) == len(others) > 0
    assert {tuple(p) for p in points} <= {tuple(p) for p in keypoints.tolist()}


def test_they_are_methods_where_their_files_are_named(files: AlignerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    (loftr, glue), skipped = resolve_aligners(["loftr", "disk-lightglue"], files)
    assert (loftr.name, glue.name, skipped) == ("loftr", "disk-lightglue", [])
    result = loftr.align(texture((64, 64)).expand(2, 3, 64, 64))
    assert result.success.tolist() == [True, False], "untrained, it knows nothing"
    _, skipped = resolve_aligners(["sift", "loftr", "disk-lightglue"], AlignerFiles(disk=files.disk))
    assert ["--kornia-loftr" in skipped[0], "--kornia-lightglue" in skipped[1]] == [True, True]
    monkeypatch.setattr(aligners_module, "has_kornia", lambda: False)
    (only,), (sentence,) = resolve_aligners(["sift", "loftr"], files)
    assert only.name == "sift"
    assert "kornia, which builds it, is not installed" in sentence


def test_other_files_are_one_sentence(files: AlignerFiles, tmp_path: Path) -> None:
    assert files.disk is not None
    with pytest.raises(WeightsError, match="does not hold the weights of kornia's LoFTR"):
        loftr_matcher(files.disk)
    with pytest.raises(WeightsError, match="cannot read the weights of LoFTR"):
        loftr_matcher(tmp_path / "nowhere.ckpt")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="damaged or no weights file"):
        disk_lightglue_matcher(broken, broken)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        loftr_matcher(tmp_path / "list.pth")
