"""What Blender gets to see of a picture."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from diar_ops._seeds import generator_for
from diar_ops.cycles.texture import TextureChoice, prepare_texture
from diar_ops.data import ImageError, Photo, read_image


def photo(pixels, **more):
    return Photo(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), "a.png", **more)


def noise(height, width, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top, (height, width, 3), dtype, endpoint=True)


def test_small_pictures_stay_as_they_are():
    pixels = noise(30, 40)
    texture = prepare_texture(photo(pixels), (15, 20))
    np.testing.assert_array_equal(texture.permute(1, 2, 0), pixels)


def test_large_pictures_shrink_to_twice_the_label_by_area():
    # Cells of one colour: a filter that looked beyond its area would blur them.
    cells = noise(16, 24)
    pixels = cells.repeat(8, axis=0).repeat(8, axis=1)
    texture = prepare_texture(photo(pixels), (16, 24)).permute(1, 2, 0).int().numpy()
    assert texture.shape == (32, 48, 3)
    mean = texture.reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
    assert abs(mean.mean() - cells.mean()) < 0.5
    checker = np.indices((256, 256)).sum(0)[..., None] % 2 * np.full(3, 255)
    flat = prepare_texture(photo(checker.astype(np.uint8)), (16, 16))
    assert bool(((flat.int() - 127).abs() <= 2).all())


def test_each_side_has_its_own_limit():
    assert prepare_texture(photo(noise(20, 300)), (32, 32)).shape == (3, 20, 64)


def test_sixteen_bits_become_eight():
    pixels = noise(8, 8, np.uint16)
    texture = prepare_texture(photo(pixels), (8, 8)).permute(1, 2, 0).int().numpy()
    assert np.abs(texture - pixels / 257).max() <= 0.501


@pytest.mark.parametrize("levels", [np.uint8, np.uint16])
def test_transparent_is_white(levels):
    pixels = noise(8, 8, levels)
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, 2:5] = False
    texture = prepare_texture(photo(pixels, valid=valid), (8, 8)).permute(1, 2, 0)
    opaque = prepare_texture(photo(pixels), (8, 8)).permute(1, 2, 0)
    assert bool((texture[2:5] == 255).all())
    assert torch.equal(texture[:2], opaque[:2])
    assert torch.equal(texture[5:], opaque[5:])


def test_another_colour_profile_becomes_srgb(tmp_path):
    # Lightness and chroma as the pixels' meaning: L = 100 is white, L = 0 black.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    pixels = noise(8, 8)
    same = prepare_texture(photo(pixels, icc_profile=profile.tobytes()), (8, 8))
    assert int((same.permute(1, 2, 0).int() - torch.from_numpy(pixels).int()).abs().max()) <= 1
    # The same profile with the curves of gamma 1: mid grey means 188 of sRGB.
    data = bytearray(profile.tobytes())
    linear = _with_linear_curves(data)
    grey = np.full((8, 8, 3), 128, np.uint8)
    lighter = prepare_texture(photo(grey, icc_profile=linear), (8, 8))
    assert bool(((lighter.int() - 188).abs() <= 1).all())
    broken = prepare_texture(photo(grey, icc_profile=b"broken"), (8, 8))
    assert bool((broken == 128).all())


def _with_linear_curves(data):
    """Replace the curves of an ICC profile: the tags' table says where they lie (ICC.1, 7.3)."""
    count = int.from_bytes(data[128:132], "big")
    for tag in range(count):
        at = 132 + 12 * tag
        if bytes(data[at : at + 4]) in (b"rTRC", b"gTRC", b"bTRC"):
            start = int.from_bytes(data[at + 4 : at + 8], "big")
            data[start : start + 12] = b"curv" + bytes(8)  # no entries: the identity
            data[at + 8 : at + 12] = (12).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1", "I;16"])
def test_any_mode_is_read(tmp_path, mode):
    grey = Image.fromarray(noise(20, 30)[..., 0])
    image = (
        Image.fromarray(noise(20, 30)[..., 0].astype(np.uint16))
        if mode == "I;16"
        else (grey.convert("RGB").convert(mode) if mode != "L" else grey)
    )
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    assert prepare_texture(read_image(path), (16, 16)).shape == (3, 20, 30)


def test_exif_orientation(tmp_path):
    image = Image.fromarray(noise(20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    texture = prepare_texture(read_image(tmp_path / "a.png"), (30, 20))
    np.testing.assert_array_equal(texture.permute(1, 2, 0), np.rot90(noise(20, 30), -1))


def test_generator_is_the_documented_one():
    # sha256("1/aligned/0"), first 8 bytes, shifted: anyone can draw the same scene again.
    import hashlib

    seed = int.from_bytes(hashlib.sha256(b"1/aligned/0").digest()[:8], "big") >> 1
    assert generator_for(1, "aligned", 0).initial_seed() == seed


def test_the_choice_for_a_sequence_depends_on_nothing_else(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(5)]
    size = (16, 16)
    first = [TextureChoice(files, 1, "aligned", size).candidates(i) for i in range(12)]
    again = [TextureChoice(files, 1, "aligned", size).candidates(i) for i in (11, 3)]
    assert again == [first[11], first[3]]
    assert first != [TextureChoice(files, 2, "aligned", size).candidates(i) for i in range(12)]


@pytest.mark.parametrize("size", [(1, 40), (40, 1)])
def test_a_strip_is_passed_over(tmp_path, size):
    files = [tmp_path / "strip.png", tmp_path / "panorama.png"]
    for path, shape in zip(files, (size, (6, 60)), strict=True):
        Image.fromarray(noise(*shape)).save(path)
    choice = TextureChoice(files, 1, "aligned", (64, 64))
    used = [choice.read(i) for i in range(4)]
    assert {path for path, _, _ in used} == {files[1]}
    said = {sentence for _, _, skipped in used for sentence in skipped}
    assert said == {f"{files[0]} is too long and narrow, {size[1]} x {size[0]} pixels, for a label of 64 x 64"}
    with pytest.raises(ImageError, match=r"none of the 1 .*narrow"):
        TextureChoice(files[:1], 1, "aligned", (64, 64)).read(0)
    # Its own shape suits it.
    shape = (16, 640) if size[0] == 1 else (640, 16)
    assert TextureChoice(files[:1], 1, "aligned", shape).read(0)[2] == []


def test_seeds_do_not_depend_on_torch(pictures):
    choice = TextureChoice(sorted(pictures.iterdir()), 5, "aligned", (24, 32))
    before = torch.random.get_rng_state()
    rounds = [[choice.candidates(3 * r + k)[0].name for k in range(3)] for r in range(8)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(sorted(names) == ["0.png", "1.png", "2.png"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert [len(set(choice.candidates(k))) for k in range(9)] == [3] * 9
