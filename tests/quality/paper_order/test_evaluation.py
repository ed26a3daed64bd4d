"""From pictures to the tables of the outcome."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmarks.quality.paper_order.conditions import CONDITIONS, load_spoiled, pixel_slices
from benchmarks.quality.paper_order.evaluation import (
    ORDER,
    SHORT,
    evaluate_networks,
    plan_sequences,
    score_slices,
    trained_steps,
)
from benchmarks.quality.paper_order.plan import NETWORKS
from benchmarks.quality.paper_order.rendered_sets import RenderedSet, render_set
from benchmarks.quality.paper_order.report import report_order
from benchmarks.quality.record import read_results
from diar_ops._errors import OptionError
from diar_ops._files import write_image
from diar_ops.data import SequenceDataset, list_images
from diar_ops.engines import LocalEngine
from diar_ops.metrics import psnr
from diar_ops.models import DIAR, DeepResidualSets, DeepResidualSetsConfig, DIARConfig, save_pretrained
from diar_ops.scene.flags import FrameFlag
from tests.harness import generator
from tests.sequences import write_dataset

CHOSEN = RenderedSet("tiny", 1, SHORT, 24)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    for i in range(2):
        write_image(folder / f"{i}.png", torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(i)))
    return render_set(folder, CHOSEN, list_images(folder))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for seed in range(2):
        for name in NETWORKS:
            torch.manual_seed(seed)
            sets = name == "deep-residual-sets"
            network = (
                DeepResidualSets(DeepResidualSetsConfig(channels=(4, 4, 8)))
                if sets
                else DIAR(DIARConfig(channels=(4, 4, 8)))
            )
            files[f"{name}-{seed}"] = folder / f"{name}-{seed}.safetensors"
            save_pretrained(network, files[f"{name}-{seed}"], metadata={"steps": "7"})
    return files


def test_a_rendered_set_is_like_those_of_cycles(rendered: Path) -> None:
    dataset = SequenceDataset(rendered, masks=("occluded", "flags"))
    assert len(dataset) == 2
    documents = [dataset.sequence(i) for i in range(2)]
    assert {d.document["texture"]["file"] for d in documents} == {"0.png", "1.png"}
    assert all(d.aligned for d in documents)
    item = dataset[0]
    assert item["frames"].shape == (SHORT, 3, 24, 24)
    assert 0 < item["occluded"].double().mean() < 0.9
    assert (item["flags"] & int(FrameFlag.SHADOW) > 0).any()
    # A clipped pixel is one that the mask calls clipped.
    clipped = item["frames"].amax(1, keepdim=True) >= 254 / 255
    assert torch.equal(clipped, item["flags"] & int(FrameFlag.SATURATED) > 0)


def test_a_set_is_completed_not_rendered_again(rendered: Path) -> None:
    before = [(p, p.stat().st_mtime_ns) for p in sorted(rendered.rglob("*"))]
    seen: list[tuple[int, int]] = []
    render_set(rendered.parent, CHOSEN, list_images(rendered.parent), progress=lambda *now: seen.append(now))
    assert before == [(p, p.stat().st_mtime_ns) for p in sorted(rendered.rglob("*"))]
    assert seen == [(1, 2), (2, 2)]


def test_conditions_do_what_they_say(rendered: Path) -> None:
    folders = SequenceDataset(rendered).folders
    plain = load_spoiled(*folders, SHORT, CONDITIONS[""])
    other = load_spoiled(folders[1], folders[0], SHORT, CONDITIONS[""])
    for name, count in (("foreign-1", 1), ("foreign-3", 3)):
        spoiled = load_spoiled(*folders, SHORT, CONDITIONS[name])
        changed = (spoiled.frames != plain.frames).flatten(2).any(-1)[0]
        assert int(changed.sum()) == count
        assert not changed[0]
        assert torch.equal(spoiled.frames[0, changed], other.frames[0, changed])
    jittered = load_spoiled(*folders, SHORT, CONDITIONS["jitter-3"])
    assert jittered.valid is not None
    assert (jittered.frames != plain.frames).flatten(2).any(-1).all()


def test_slices_part_the_picture(rendered: Path) -> None:
    slices = pixel_slices(SequenceDataset(rendered).folders[0], SHORT)
    for one, other in (("covered", "uncovered"), ("shadow", "lit")):
        assert (slices[one] ^ slices[other]).all()


def test_a_slice_is_scored_by_its_pixels_and_the_gain_of_all() -> None:
    dice = generator("slices")
    label = torch.rand(1, 3, 16, 16, generator=dice) * 0.5
    picture = label.clone()
    left = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    left[..., :8] = True
    picture[..., :8] += 0.1 * torch.rand(1, 3, 16, 8, generator=dice)
    scores = score_slices(picture, label, {"covered": left, "uncovered": ~left, "shadow": left & ~left})
    assert scores["psnr_covered"] < scores["psnr_uncovered"]
    assert math.isnan(scores["psnr_shadow"])
    assert math.isnan(scores["psnr_lit"])
    whole = score_slices(picture, label, {"lit": left | ~left})["psnr_lit"]
    assert whole > float(psnr(picture, label))


def test_misaligned_sets_and_single_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="misaligned"):
        plan_sequences([write_dataset(tmp_path / "a", 2)], ["softmax-2-0"])
    with pytest.raises(OptionError, match="same picture"):
        plan_sequences([write_dataset(tmp_path / "b", 1, kind="aligned")], ["softmax-2-0"])


def test_from_weights_to_the_outcome(tmp_path: Path, rendered: Path, weights: dict[str, Path]) -> None:
    assert trained_steps(weights["softmax-2-0"]) == 7
    rows = evaluate_networks(tmp_path, [rendered], weights, LocalEngine(0))
    assert len(rows) == 2 * len(CONDITIONS) * len(weights)
    assert all(math.isnan(row.values["psnr_lit"]) == ("+" in row.set) for row in rows)
    stored = read_results(tmp_path, ORDER)
    text = report_order(stored.rows, stored.pictures)
    # The same weights stand behind all networks with attention.
    assert text.count("| weights | psnr_gain | +0.00 [+0.00, +0.00] | +0.00, +0.00 | equal |") == len(CONDITIONS)
    assert "### tiny+foreign-3, 10 frames, 2 sequences" in text
    assert "| tiny | psnr_gain |" in text.partition("### How much more")[2]


def test_the_report_tells_how_differences_grew() -> None:
    curves = {
        f"{name}-{seed}": {"step": [500.0, 1000.0], "rendered_psnr_gain": [20.0 + seed, 21.0 + seed + gain]}
        for name, gain in (("softmax-all", 0.3), ("embedded-mean", 0.1))
        for seed in range(2)
    }
    text = report_order([], {}, curves)
    assert "| step | weights |" in text
    assert "| 500 | +0.00 |" in text
    assert "| 1000 | +0.20 |" in text
