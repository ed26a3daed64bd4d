"""The reader gets back what was written, and refuses what it cannot read."""

import numpy as np
import pytest

from diar_ops.cycles.exr import read_exr
from diar_ops.data import ImageError
from tests.cycles.fake_blender import write_exr


@pytest.fixture
def channels():
    random = np.random.default_rng(1)
    return {f"ViewLayer.{n}": random.random((5, 7), dtype=np.float32) for n in ("B", "A", "UV.U")}


@pytest.mark.parametrize(("kind", "error"), [(1, 5e-4), (2, 0)])
def test_reads_what_was_written(tmp_path, channels, kind, error):
    write_exr(tmp_path / "a.exr", channels, kind=kind)
    read = read_exr(tmp_path / "a.exr")
    assert read.keys() == channels.keys()
    for name, value in channels.items():
        assert read[name].dtype == np.float32
        np.testing.assert_allclose(read[name], value, atol=error)


def test_missing_file(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_exr(tmp_path / "a.exr")


@pytest.mark.parametrize("keep", [0, 5, 40, 200, -1])
def test_truncated_file(tmp_path, channels, keep):
    path = tmp_path / "a.exr"
    write_exr(path, channels)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match="no uncompressed scan-line OpenEXR"):
        read_exr(path)


def test_compressed_file(tmp_path, channels):
    write_exr(tmp_path / "a.exr", channels, compression=3)
    with pytest.raises(ImageError, match="compression 3"):
        read_exr(tmp_path / "a.exr")
