"""An item depends on seed, step and place alone, and its parts fit together."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from diar_ops import OptionError, psnr
from diar_ops.data import ImageError
from diar_ops.textures import TextureSource
from diar_ops.training.rendered import RenderedSequences
from diar_ops.training.restoration.augment import AugmentRanges
from diar_ops.training.restoration.dataset import CyclesSource, RenderedSource, TrainingSequences
from diar_ops.training.sampler import StepSampler
from tests.sequences import write_dataset
from tests.training.restoration.tiny import LightSource

PLAIN = AugmentRanges(plain=1, albedo=0, permute=0, exact=1, misaligned=0, partial=0)
# With threads around, forking warns from Python 3.12 on; the loader forks all the same.
WORKERS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def stream(**options: Any) -> TrainingSequences:
    sources = options.pop("sources", [(LightSource(), 1.0)])
    return TrainingSequences(sources, **{"frames": (2, 5), "crops": (16, 24), "whole": 8, **options})


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_parts_of_an_item() -> None:
    data = stream(bare=2)
    for step, position in ((0, 0), (7, 3)):
        item = data[step, position]
        T, c = data.step_shape(step)
        shapes = {
            "frames": (T, 3, c, c),
            "valid": (T, 1, c, c),
            "label": (3, c, c),
            "whole_frames": (T, 3, 8, 8),
            "whole_valid": (T, 1, 8, 8),
            "whole_label": (3, 8, 8),
            "window": (4,),
            "bare_light": (2, T, 3, 8, 8),
        }
        assert {name: tuple(value.shape) for name, value in item.items()} == shapes
        for name, value in item.items():
            assert value.dtype == (torch.bool if "valid" in name else torch.float32), name
            assert value.is_contiguous(), name
            assert value.isfinite().all(), name
            if name != "bare_light":  # log factors
                assert value.min() >= 0, name
                assert value.max() <= 1, name
        assert (item["frames"][~item["valid"].expand_as(item["frames"])] == 0).all()


def test_items_depend_on_seed_step_and_position_alone() -> None:
    data, again = stream(seed=3), stream(seed=3)
    later = [again[(9, 1)], again[(4, 2)]]
    assert_same(data[(4, 2)], later[1])
    assert_same(data[(9, 1)], later[0])
    for other in (data[(4, 1)], data[(5, 2)], stream(seed=4)[(4, 2)]):
        assert not torch.equal(other["whole_label"], later[1]["whole_label"])


def test_bare_light_changes_nothing_else() -> None:
    without, with_it = stream(), stream(bare=2)
    item, same, other = without[(4, 2)], with_it[(4, 2)], with_it[(4, 1)]
    assert item.pop("bare_light").numel() == 0
    assert not torch.equal(same.pop("bare_light"), other["bare_light"])
    assert_same(item, same)


def test_steps_have_shapes_of_their_own() -> None:
    shapes = [stream(frames=(2, 6)).step_shape(step) for step in range(300)]
    assert set(shapes) == {(T, c) for T in range(2, 7) for c in (16, 24)}
    counts = [sum(n == T for T, _ in shapes) for n in range(2, 7)]
    assert counts[-1] > 1.5 * counts[0]
    even = [stream(frames=(2, 6), favour=0).step_shape(step)[0] for step in range(300)]
    assert even.count(2) > counts[0]


def test_the_window_is_where_the_crop_is() -> None:
    data = stream(ranges=PLAIN, crops=(16,), whole=32)
    tops = set()
    for place in range(8):
        item = data[(0, place)]
        top, left, bottom, right = (item["window"] * 32).round().int().tolist()
        assert (bottom - top, right - left) == (16, 16)
        for whole, part in (("whole_frames", "frames"), ("whole_label", "label")):
            assert torch.equal(item[whole][..., top:bottom, left:right], item[part])
        tops.add(top)
    assert len(tops) > 3


def test_crops_are_no_larger_than_pictures() -> None:
    item = stream(crops=(100,))[(0, 0)]
    assert item["label"].shape == (3, 32, 32)
    assert item["window"].tolist() == [0, 0, 1, 1]


def test_frames_come_in_any_order() -> None:
    data = stream(frames=(6, 6), ranges=PLAIN)
    brightness = torch.stack([data[(0, k)]["whole_frames"].mean(dim=(1, 2, 3)) for k in range(6)])
    assert len({tuple(row.argsort().tolist()) for row in brightness}) > 3
    steps = brightness.sort(dim=1).values.diff(dim=1)
    assert (steps > 0).all()


def test_sources_are_mixed_at_their_shares() -> None:
    dark = LightSource()
    black = torch.zeros(3, 32, 32)
    bright_read = dark.read
    dark.read = lambda index, frames: bright_read(index, frames)._replace(label=black)  # type: ignore
    data = stream(sources=[(LightSource(), 3.0), (dark, 1.0), (LightSource(frames=1), 0.0)])
    labels = [bool(data[(step, 0)]["label"].any()) for step in range(100)]
    assert 60 < sum(labels) < 90
    assert data.sequences == 12


@WORKERS
# Where only one core may be used, torch advises against two workers.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_and_starts_change_nothing() -> None:
    data = stream()

    def batches(start: int, count: int, workers: int) -> list[dict[str, Tensor]]:
        loader = DataLoader(data, batch_sampler=StepSampler(start, 3), num_workers=workers)
        return list(islice(loader, count))

    straight = batches(0, 4, 0)
    assert len({tuple(batch["frames"].shape) for batch in straight}) > 1
    for one, other in zip(straight, batches(0, 4, 2), strict=True):
        assert_same(one, other)
    for one, other in zip(straight[2:], batches(2, 2, 1), strict=True):
        assert_same(one, other)


def test_rendered_sequences_are_held_out_from_the_front(tmp_path: Path) -> None:
    kept = RenderedSequences(tmp_path, TextureSource(), count=3, frames=2, size=(24, 24), seed=5)
    source = RenderedSource(kept, first=1)
    assert (len(source), source.frames, source.side) == (2, 2, 24)
    selected, item = source.read(1, [1, 0]), kept[2]
    assert selected.is_light
    assert torch.equal(selected.pictures, item["radiance"].flip(0))
    assert torch.equal(selected.label, item["label"].float() / 255)
    with pytest.raises(OptionError, match="one sequence or more"):
        RenderedSource(kept, first=3)
    # As it is, light of a rendered sequence looks like its label.
    data = stream(sources=[(source, 1.0)], frames=(2, 2), ranges=PLAIN, crops=(24,))
    item = data[(0, 0)]
    assert psnr(item["frames"], item["label"].expand(2, -1, -1, -1)).max() > 8


def test_cycles_sets_are_aligned(tmp_path: Path) -> None:
    aligned = write_dataset(tmp_path / "aligned", kind="aligned")
    source = CyclesSource(aligned, frames=4)
    assert (len(source), source.side) == (3, 48)
    selected = source.read(2, [3, 1])
    assert not selected.is_light
    assert selected.pictures.shape == (2, 3, 48, 64)
    item = stream(sources=[(source, 1.0)], frames=(3, 4), ranges=PLAIN, crops=(48,))[(1, 0)]
    # Nothing spoils these sequences.
    assert psnr(item["frames"], item["label"].expand_as(item["frames"])).min() > 50
    with pytest.raises(ImageError, match="has 4 frames, 5 are needed"):
        CyclesSource(aligned, frames=5)
    with pytest.raises(ImageError, match="is a misaligned sequence; networks learn from aligned"):
        CyclesSource(write_dataset(tmp_path / "free"), frames=4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": (0, 3)}, "1 <= fewest"),
        ({"frames": (2, 7)}, "most <= 6, as there are"),
        ({"sources": []}, "a share above 0"),
        ({"crops": ()}, "sides of crops"),
        ({"whole": 0}, "whole >= 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        stream(**options)


def test_frames_of_another_picture_stray_in(tmp_path: Path) -> None:
    kept = RenderedSequences(tmp_path, TextureSource(), count=4, frames=6, size=(24, 24), seed=6)
    source = RenderedSource(kept)
    own = {
        index: stream(sources=[(source, 1.0)], frames=(6, 6), ranges=PLAIN, crops=(24,))[index] for index in [(0, 0)]
    }
    mixed = stream(sources=[(source, 1.0)], frames=(6, 6), ranges=replace(PLAIN, foreign=1.0), crops=(24,))[(0, 0)]
    strange = (mixed["frames"] != own[(0, 0)]["frames"]).flatten(1).any(1)
    assert torch.equal(mixed["label"], own[(0, 0)]["label"])
    assert 1 <= int(strange.sum()) <= 2
