"""Options are checked, and a run goes on with those that it began with."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from diar_ops import OptionError
from diar_ops.training import RestorationConfig
from diar_ops.training.restoration.augment import AugmentRanges


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"held_out": 1.0}, "RestorationConfig.held_out: expected less than 1, got 1.0"),
        ({"plain": -0.1}, "RestorationConfig.plain: expected 0 to 1"),
        ({"batch": 0}, "RestorationConfig.batch: expected at least 1"),
        ({"clip": -1}, "RestorationConfig.clip: expected at least 0"),
        ({"workers": -1}, "RestorationConfig.workers"),
        ({"bare": -1}, "RestorationConfig.bare: expected at least 0"),
        ({"lr": 0}, "RestorationConfig.lr: expected more than 0"),
        ({"minutes": 0}, "RestorationConfig.minutes: expected more than 0"),
        ({"ema": 1.0}, "RestorationConfig.ema"),
        ({"schedule": "step"}, "one of cosine, constant, got 'step'"),
        ({"precision": "int8"}, "one of float32, bfloat16, float16"),
        ({"frames": (4, 3)}, "1 <= fewest <= most"),
        ({"frames": (3,)}, "1 <= fewest <= most"),
        ({"frames": (2, 12)}, "up to 12 frames need rendered sequences of as many"),
        ({"crops": ()}, "at least 11 pixels"),
        ({"sizes": (8,)}, "at least 11 pixels"),
        ({"sizes": (64, 128), "sequences": (1, 2, 3)}, "one for each size"),
        ({"size_shares": (0.5, 0.5)}, "one share for each size"),
        ({"sequences": (0,)}, "nothing to train on"),
        ({"steps": 5, "minutes": 5}, "not both"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        RestorationConfig(**options)
    assert words in str(caught.value)


def test_sets_of_cycles_alone_may_have_more_frames() -> None:
    assert RestorationConfig(sequences=(0,), cycles=("set",), frames=(2, 50)).frames == (2, 50)


def test_every_option_has_a_line_of_help() -> None:
    for f in dataclasses.fields(RestorationConfig):
        assert len(f.metadata["help"]) > 5, f.name
        assert f.metadata["metavar"].isupper(), f.name


def test_lists_become_tuples() -> None:
    config = RestorationConfig(frames=[2, 3], crops=[64], validation=["set"])  # type: ignore[arg-type]
    assert (config.frames, config.crops, config.validation) == ((2, 3), (64,), ("set",))


def test_the_options_are_the_ranges_of_augmentation() -> None:
    ranges: AugmentRanges = RestorationConfig(plain=0.25, jitter=2.5)
    assert (ranges.plain, ranges.jitter, ranges.partial) == (0.25, 2.5, 0.3)


def test_a_run_goes_on_with_the_same_options() -> None:
    earlier = RestorationConfig(lr=1e-3, sequences=(100,)).to_json()
    RestorationConfig(lr=1e-3, sequences=(200,), minutes=5, workers=2).check_continues(earlier)
    with pytest.raises(OptionError, match=r"began with lr = 0.001, now it is 0.002; give the same"):
        RestorationConfig(lr=2e-3).check_continues(earlier)
    with pytest.raises(OptionError, match="began with cycles = nothing, now it is one two;"):
        RestorationConfig(lr=1e-3, cycles=("one", "two")).check_continues(earlier)


def test_options_of_later_versions_do_not_matter() -> None:
    earlier = RestorationConfig().to_json().replace('"jitter"', '"older"')
    RestorationConfig(jitter=0.5).check_continues(earlier)
