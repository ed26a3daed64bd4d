"""Methods are found by name, left out where something is missing, and lay frames in place."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from benchmarks.quality.alignment import paper as paper_module
from benchmarks.quality.alignment.aligners import DEFAULT_ALIGNERS, PEERS, AlignerFiles, resolve_aligners
from benchmarks.quality.alignment.configurations import CONFIGURATIONS, configured_settings
from benchmarks.quality.alignment.pairwise import PAIRS, Matcher, align_pairwise
from diar_ops import AlignOptions, OptionError, WeightsError, align_sequence, corner_error
from tests.harness import generator
from tests.quality.alignment.views import SIZE, views

DETECTORS = ["sift", "orb", *(["akaze"] if hasattr(cv2, "AKAZE_create") else [])]
EYE = torch.eye(3, dtype=torch.float64)


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_module.torch.hub, "get_dir", lambda: str(tmp_path / "no-hub"))


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a ResNet-18 that nobody trained."""
    from diar_ops import ResNetTrunk

    path = tmp_path_factory.mktemp("weights") / "trunk.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(ResNetTrunk().state_dict(), path)
    return path


@pytest.mark.parametrize("name", [*DETECTORS, *(d + PAIRS for d in DETECTORS), "ours"])
def test_frames_are_laid_where_they_belong(name: str) -> None:
    # ORB finds nothing near the border: 31 pixels on each side.
    size = SIZE if "ours" in name else (200, 240)
    frames, H = views(size=size)
    (aligner,), skipped = resolve_aligners([name])
    assert (aligner.name, skipped) == (name, [])
    result = aligner.align(frames)
    true = H[:1] @ torch.linalg.inv(H)
    assert result.success.tolist() == [True] * 3
    assert torch.equal(result.homography_reference_frame[0], EYE)
    limit = 4.0 if "orb" in name else 1.0
    assert corner_error(result.homography_reference_frame, true, size=size).max() < limit
    again = aligner.align(frames)
    assert torch.equal(again.homography_reference_frame, result.homography_reference_frame)


@pytest.mark.parametrize("name", ["sift", "ours"])
def test_what_cannot_be_aligned_is_refused_and_holds_the_identity(name: str) -> None:
    size = SIZE if "ours" in name else (200, 240)
    frames, _ = views(2, size)
    noise = torch.rand(1, 3, *size, generator=generator("noise"))
    frames = torch.cat([frames, torch.zeros(1, 3, *size), noise])
    (aligner,), _ = resolve_aligners([name])
    result = aligner.align(frames)
    assert result.success.tolist() == [True, True, False, False]
    assert torch.equal(result.homography_reference_frame[2:], EYE.expand(2, 3, 3))


def test_configurations_are_ways_to_call_align_sequence() -> None:
    for name, configuration in CONFIGURATIONS.items():
        assert name == "ours" or name.startswith("ours-")
        assert configuration.words
    settings = [configured_settings(c) for c in CONFIGURATIONS.values()]
    assert len(set(settings)) == len(settings), "each differs from all others"
    assert "scales=(1.0, 0.7071, 0.5)" in settings[0]
    assert "0x" not in settings[0], "no addresses: settings of two runs are compared"


def test_an_option_reaches_align_sequence() -> None:
    frames, _ = views(2)
    by_name = {a.name: a for a in resolve_aligners(["ours", "ours-one-scale", "ours-unrefined"])[0]}
    expected = align_sequence(frames, reference=0, options=AlignOptions(scales=(1.0,))).homography_reference_frame
    result = by_name["ours-one-scale"].align(frames).homography_reference_frame
    assert torch.equal(result, expected)
    fine = by_name["ours"].align(frames).homography_reference_frame
    assert not torch.equal(fine, by_name["ours-unrefined"].align(frames).homography_reference_frame)


def test_the_paper_needs_weights(resnet18: Path, no_cache: None) -> None:
    result, skipped = resolve_aligners(["sift", "paper", "ours-resnet18"])
    assert [a.name for a in result] == ["sift"]
    assert len(skipped) == 2
    assert "--resnet18" in skipped[0]
    files = AlignerFiles(resnet18=resnet18)
    (one, three, ours), skipped = resolve_aligners(["paper-one-scale", "paper", "ours-resnet18"], files)
    assert skipped == []
    assert one.settings != three.settings
    frames, H = views(2, (224, 224))
    for aligner in (one, three):
        found_ = aligner.align(frames)
        assert found_.success[1], "even an untrained network tells its own picture"
        true = torch.linalg.inv(H[1])
        assert corner_error(found_.homography_reference_frame[1], true, size=(224, 224)) < 30
    assert "ResNet-18" in ours.words


def test_the_paper_finds_the_download_of_torchvision(
    resnet18: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_module.torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / paper_module.CACHED).write_bytes(resnet18.read_bytes())
    result, skipped = resolve_aligners(["paper-one-scale"])
    assert [a.name for a in result] == ["paper-one-scale"]
    assert skipped == []


def test_pairs_lead_where_the_reference_is_out_of_reach() -> None:
    # Frame t is a number; neighbours match, others do not.
    def match(i: int, j: int) -> tuple[object, object]:
        points = torch.rand(40, 2, generator=generator("points"), dtype=torch.float64).numpy() * 99
        none = points[:0]
        return (points, points + (j - i)) if abs(i - j) == 1 else (none, none)

    matcher = Matcher(lambda frame: int(frame.flatten()[0]), match)
    frames = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    direct = align_pairwise(matcher, all_pairs=False)(frames)
    assert direct.success.tolist() == [True, True, False]
    chained = align_pairwise(matcher, all_pairs=True)(frames)
    assert chained.success.tolist() == [True, True, True]
    H = chained.homography_reference_frame[2]
    expected = torch.tensor([[1, 0, -2], [0, 1, -2], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(H / H[2, 2], expected)


def test_fewer_inliers_than_the_rule_are_refused() -> None:
    points = torch.rand(9, 2, generator=generator("few"), dtype=torch.float64).numpy() * 99
    matcher = Matcher(lambda frame: None, lambda i, j: (points, points))
    assert align_pairwise(matcher, all_pairs=False)(torch.zeros(2, 3, 2, 2)).success.tolist() == [True, False]


def test_names(resnet18: Path, no_cache: None, tmp_path: Path) -> None:
    assert set(DEFAULT_ALIGNERS) >= {*CONFIGURATIONS, *PEERS, "sift+pairs"}
    names = [a.name for a in resolve_aligners(DEFAULT_ALIGNERS)[0]]
    assert names == [n for n in DEFAULT_ALIGNERS if n in names]
    assert {"ours", "sift", "sift+pairs", "orb"} <= set(names)
    with pytest.raises(OptionError, match="unknown method shift: expected one of ours"):
        resolve_aligners(["shift"])
    with pytest.raises(OptionError, match=r"unknown method ours\+pairs"):
        resolve_aligners(["ours+pairs"])
    with pytest.raises(OptionError, match=r"no method to evaluate \(loftr is left out"):
        resolve_aligners(["loftr"])
    with pytest.raises(WeightsError, match="nowhere"):
        resolve_aligners(["paper"], AlignerFiles(resnet18=tmp_path / "nowhere.pth"))
    with pytest.raises(WeightsError):
        resolve_aligners(["loftr"], AlignerFiles(loftr=resnet18))
