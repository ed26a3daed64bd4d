"""The ground truth of rendered frames is exact to a small part of a pixel."""

import numpy as np
import pytest
import torch

from diar_ops.cycles import RenderSettings
from diar_ops.data import read_image, read_sequence
from tests.cycles.exact import SIZES, STORED, registration_errors, render_exact

#: Pixels; what registration itself cannot tell is below half of it.
LIMIT = 0.05
HALF = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)


def worst(label, frame, H):
    errors = registration_errors(label, frame, H)
    assert len(errors) >= 5
    return np.linalg.norm(errors, axis=1).max()


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("frame", [0, 1])
def test_stored_renders_lie_on_the_label(name, frame):
    sequence = read_sequence(STORED / name)
    label = read_image(sequence.label).pixels
    assert sequence.label_size == SIZES[name]
    pixels = read_image(sequence.frames[frame].path).pixels
    assert worst(label, pixels, sequence.frames[frame].homography_frame_label) < LIMIT


@pytest.mark.parametrize("name", SIZES)
def test_half_a_pixel_would_be_noticed(name):
    # What those get who take the corner of the first pixel for its centre, in both pictures or
    # in one.
    sequence = read_sequence(STORED / name)
    label, frame = read_image(sequence.label).pixels, sequence.frames[1]
    pixels, H = read_image(frame.path).pixels, frame.homography_frame_label
    assert worst(label, pixels, HALF @ H @ torch.linalg.inv(HALF)) > 2 * LIMIT
    assert worst(label, pixels, HALF @ H) > 10 * LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("picture_size", [(150, 150), (90, 210)])
@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_fresh_renders_lie_on_the_label(blender_process, painted, tmp_path, size, picture_size):
    picture = painted(picture_size)
    settings = RenderSettings(size=size, frames=4, seed=3)
    render_exact(picture, tmp_path / "out", settings, 0, blender_process)
    sequence = read_sequence(tmp_path / "out")
    label = read_image(sequence.label).pixels
    errors = [registration_errors(label, read_image(f.path).pixels, f.homography_frame_label) for f in sequence.frames]
    assert sum(len(e) for e in errors) >= 12
    assert np.linalg.norm(np.concatenate(errors), axis=1).max() < LIMIT
