"""The small data set that is bundled with the tests, and what its seed means."""

import json
from pathlib import Path

import pytest

from diar_ops.cycles import RenderSettings
from diar_ops.cycles.sequence import draw_scene
from diar_ops.data import SequenceDataset, read_flags, read_mask, read_sequence
from diar_ops.scene import SceneRanges, frame_shares, scene_to_document

SAMPLE = Path(__file__).resolve().parent / "sample"


@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
class TestSample:
    def test_is_a_dataset(self, kind):
        item = SequenceDataset(SAMPLE / kind, masks=("occluded", "flags"))[0]
        assert item["frames"].shape == (4, 3, 96, 128)
        assert item["flags"].shape == (4, 1, 96, 128)

    def test_shares_are_those_of_the_masks(self, kind):
        sequence = read_sequence(SAMPLE / kind / "000000")
        for frame, entry in zip(sequence.frames, sequence.document["frames"], strict=True):
            shares = frame_shares(
                frame.homography_frame_label,
                read_mask(frame.occluded),
                read_flags(frame.flags),
                label_size=sequence.label_size,
            )
            assert shares._asdict() == pytest.approx(entry["shares"], abs=1e-4)

    def test_the_seed_gives_the_same_scene_on_every_machine(self, kind):
        # Whoever changes what a seed means spoils published sets: render the sample again with
        #   python examples/render_dataset.py PICTURES tests/cycles/sample/KIND --kind KIND
        #     --sequences 1 --frames 4 --size 96 128 --seed 4
        # and say so in the CHANGELOG.
        settings = json.loads((SAMPLE / kind / "dataset.json").read_text(encoding="utf-8"))
        stored = read_sequence(SAMPLE / kind / "000000").document
        ranges = {
            name: tuple(value) if isinstance(value, list) else value for name, value in settings["ranges"].items()
        }
        drawn = draw_scene(
            0,
            RenderSettings(
                kind=kind, sequences=1, frames=4, size=(96, 128), seed=settings["seed"], ranges=SceneRanges(**ranges)
            ),
            tuple(stored["texture"]["size"]),
        )
        again = json.loads(json.dumps(scene_to_document(drawn)))
        for name in ("size", "picture", "wall"):
            assert again[name] == _nearly(stored[name])
        for new, old in zip(again["frames"], stored["frames"], strict=True):
            assert new == _nearly({name: old[name] for name in new})


def _nearly(value):
    """The same to eight digits: the last ones may differ between machines."""
    if isinstance(value, dict):
        return {name: _nearly(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_nearly(part) for part in value]
    return pytest.approx(value, rel=1e-8, abs=1e-9) if isinstance(value, float) else value
