"""Procedural textures: any size, reproducible, unlike each other, and what they claim to be."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from diar_ops._errors import DiarError, OptionError
from diar_ops.textures import TEXTURE_KINDS, TextureSource, procedural_texture
from diar_ops.textures._procedural import fonts, words
from diar_ops.textures._procedural.canvas import Canvas
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.rng import Rng
from tests.harness import assert_close, generator
from tests.modes import global_states


def draw(kind: str, count: int = 4, size: tuple[int, int] = (96, 96)) -> Tensor:
    rng = generator(f"texture {kind}")
    return torch.stack([procedural_texture(rng, size=size, kind=kind) for _ in range(count)])


@pytest.mark.parametrize("kind", TEXTURE_KINDS)
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (90, 5), (64, 48)])
def test_any_size(kind: str, size: tuple[int, int]) -> None:
    texture = procedural_texture(generator("texture size"), size=size, kind=kind)
    assert texture.shape == (3, *size)
    assert texture.dtype == torch.float32
    assert texture.is_contiguous()
    assert (texture >= 0).all()
    assert (texture <= 1).all()


@pytest.mark.parametrize("kind", [*TEXTURE_KINDS, None])
def test_the_generator_decides(kind: str | None) -> None:
    first, second, third = (procedural_texture(generator(name), size=(48, 48), kind=kind) for name in ("a", "a", "b"))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_without_a_generator_global_states_stay() -> None:
    before = global_states()
    first, second = (procedural_texture(size=(32, 32)) for _ in range(2))
    third = TextureSource(procedural=1.0).sample(1, (32, 32))[0]
    assert global_states() == before
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_a_texture_takes_one_number_of_the_generator() -> None:
    """So the tenth texture does not depend on what the nine before it drew."""
    states = []
    for kind in ("page", "gradient"):
        rng = generator("texture count")
        procedural_texture(rng, size=(16, 16), kind=kind)
        states.append(rng.get_state())
    assert torch.equal(*states)


def test_same_in_a_fresh_process() -> None:
    """Words that are kept for the next page must not change it."""
    draw("page", 3)
    code = (
        "import torch; from diar_ops.textures import procedural_texture;"
        "rng = torch.Generator().manual_seed(7);"
        "print(procedural_texture(rng, size=(64, 64), kind='page').double().sum().item())"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    here = procedural_texture(torch.Generator().manual_seed(7), size=(64, 64), kind="page")
    assert float(out.stdout) == here.double().sum().item()


@pytest.mark.parametrize("kind", ["page", "form"])
def test_text_is_dark_on_light_or_light_on_dark(kind: str) -> None:
    grey = draw(kind, 12, (128, 128)).mean(dim=1).flatten(1)
    paper = grey.median(dim=1, keepdim=True).values
    inked = ((grey - paper).abs() > 0.15).float().mean(dim=1)
    assert (inked > 0.01).all()
    assert (inked.median() > 0.04) & (inked.median() < 0.45)


@pytest.mark.parametrize("kind", TEXTURE_KINDS)
def test_textures_of_a_kind_differ(kind: str) -> None:
    a = draw(kind, 6, (48, 48)).flatten(1)
    distance = torch.cdist(a, a) / a.shape[1] ** 0.5
    assert distance[~torch.eye(6, dtype=torch.bool)].min() > 0.02


def test_half_of_all_textures_are_text() -> None:
    rng, same = generator("texture shares"), generator("texture shares")
    counts = dict.fromkeys(TEXTURE_KINDS, 0)
    for _ in range(60):
        texture = procedural_texture(rng, size=(8, 8))
        state = same.get_state()
        for kind in TEXTURE_KINDS:
            same.set_state(state)
            if torch.equal(procedural_texture(same, size=(8, 8), kind=kind), texture):
                counts[kind] += 1
                break
    assert sum(counts.values()) == 60
    assert 22 <= counts["page"] + counts["form"] + counts["poster"] <= 50


def test_wrong_options_are_refused() -> None:
    with pytest.raises(OptionError, match="kind to be one of page, form"):
        procedural_texture(kind="pages")
    with pytest.raises(OptionError, match="size"):
        procedural_texture(size=(0, 5))


def test_missing_fonts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts.font_folder.cache_clear()
    fonts._font.cache_clear()
    monkeypatch.setattr(fonts, "_cache", {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(DiarError, match=r"font-\S+ is not installed: pip install 'diar-ops\["):
            procedural_texture(generator("texture fonts"), kind="page")
        # Materials need none.
        procedural_texture(generator("texture fonts"), kind="noise", size=(8, 8))
    finally:
        fonts.font_folder.cache_clear()
        fonts._font.cache_clear()


class TestFonts:
    FONT = fonts.FAMILIES[0].regular

    def test_every_font_is_there(self) -> None:
        for family in fonts.FAMILIES:
            for font in family:
                assert fonts.text_width(font, 20, "wide") > 10
        for font in (*fonts.DISPLAY, fonts.HANDWRITING):
            assert fonts.text_width(font, 20, "wide") > 10

    def test_text_lies_on_its_baseline(self) -> None:
        layer = Canvas((40, 60), (1.0, 1.0, 1.0)).layer((0.0, 0.0, 0.0))
        advance = fonts.put_text(layer, 20, 50, self.FONT, 24, "HH")
        rows, columns = layer.any(axis=1).nonzero()[0], layer.any(axis=0).nonzero()[0]
        assert rows[-1] in (49, 50)
        assert 20 - 1 <= columns[0] < columns[-1] <= 20 + advance + 1

    @pytest.mark.parametrize("at", [(-15, 12), (70, 30), (30, 2), (30, 200), (-400, 30), (10, -90)])
    def test_text_is_clipped_to_the_sheet(self, at: tuple[int, int]) -> None:
        large = Canvas((200, 200), (1.0, 1.0, 1.0)).layer((0.0, 0.0, 0.0))
        small = Canvas((20, 40), (1.0, 1.0, 1.0)).layer((0.0, 0.0, 0.0))
        fonts.put_text(large, at[0] + 100, at[1] + 100, self.FONT, 24, "Clip")
        fonts.put_text(small, *at, self.FONT, 24, "Clip")
        assert (small == large[100:140, 100:180]).all()

    def test_words_drawn_together_or_alone_are_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alone = {w: fonts._word(self.FONT, 12, w) for w in ("jagged", "fjord", "Öl", ",")}
        monkeypatch.setattr(fonts, "_cache", {})
        fonts.prepare(self.FONT, fonts.STEP**12, alone)
        for word, kept in alone.items():
            again = fonts._word(self.FONT, 12, word)
            assert (again.cover == kept.cover).all()
            assert again[1:] == kept[1:]

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fonts, "_cache", {})
        monkeypatch.setattr(fonts, "CACHE_LIMIT", 300)
        for _ in range(4):
            fonts.prepare(self.FONT, 12, words.words(Rng(5), 200))
            draw("page", 1)
            assert len(fonts._cache) <= 300


def test_words_look_like_running_text() -> None:
    text = words.words(Rng(1), 3000)
    assert len(words.vocabulary()) == len(set(words.vocabulary())) == 400
    assert 0.03 < sum(word.endswith(".") for word in text) / 3000 < 0.15
    assert text[0][0].isupper()
    starts = [word for end, word in pairwise(text) if end[-1] == "."]
    assert all(word[0].isupper() or word[0].isdigit() for word in starts)
    assert 3 < sum(map(len, text)) / 3000 < 7


def test_canvas_is_anti_aliased() -> None:
    """The area of a disc, from grey levels at its rim."""
    canvas = Canvas((64, 64), (0.0, 0.0, 0.0))
    canvas.ellipse((64, 64), (40.5, 40.5), (1.0, 1.0, 1.0))
    area = canvas.finish()[..., 0].sum()
    assert float(area) == pytest.approx(3.14159 * 20.25**2, rel=0.04)
    assert len({round(float(v), 2) for v in canvas.finish()[..., 0].ravel()}) > 10


def test_fractal_noise_is_centred_and_in_range() -> None:
    rng = Rng(3)
    for cells, count in ((2, 1), (3, 5), (20, 3)):
        field = torch.from_numpy(fractal_noise(rng, (128, 96), cells=cells, count=count))
        assert field.shape == (128, 96)
        assert 0.2 < float(field.std()) < 1.2
        assert field.abs().max() < 5
    colours = fractal_noise(rng, (16, 16), cells=2, channels=3)
    assert colours.shape == (16, 16, 3)
    assert_close(torch.from_numpy(colours).isfinite().all(), True)
