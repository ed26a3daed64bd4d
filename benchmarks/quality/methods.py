"""The methods that are compared, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._errors import OptionError, WeightsError
from diar_ops.aggregate import exposure_gain
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.geometry import warp_homography
from diar_ops.models import load_pretrained
from diar_ops.models.weights.load import SHIPPED, SHIPPED_RESTORERS
from diar_ops.models.weights.registry import RESTORERS
from diar_ops.pipeline import AGGREGATORS, settle_frames

#: Maps frames (1, T, 3, H, W) and valid, (1, T, 1, H, W) or None for all, to (1, 3, H, W).
Restore: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]


#: The methods without weights are the aggregators that the pipeline knows.
CLASSICAL = AGGREGATORS
#: Behind the name of a classical method: frames are brought to a common exposure first.
EXPOSURE = "+exposure"
#: Behind the name of a network: frames are laid over their common picture first.
SETTLED = "+settled"
#: Those of the paper as it has them, all with a common exposure, and the package's own network.
DEFAULT_METHODS = ("mean", "median", "rpca", "intrinsic", *(name + EXPOSURE for name in CLASSICAL), "diar")
#: Stands for all of :data:`DEFAULT_METHODS`.
DEFAULT = "default"


class Method(NamedTuple):
    """One way to make a picture of aligned frames.

    Attributes:
        name: As results call it.
        restore: Maps frames (1, T, 3, H, W) in [0, 1] and valid, (1, T, 1, H, W) bool or None for
            all, to the picture (1, 3, H, W); values beyond [0, 1] are clipped by whoever calls.
        digest: SHA-256 of the weights; None without any.
    """

    name: str
    restore: Restore
    digest: str | None = None


def resolve_methods(words: Sequence[str]) -> list[Method]:
    """Return the methods that names stand for, each once.

    Args:
        words: Names of :data:`CLASSICAL`, with or without :data:`EXPOSURE`; names of networks that
            come with the package; paths of files of :func:`save_pretrained`. A file is called by
            its name without ending, by ``NAME=PATH`` as one likes. Those of networks may have
            :data:`SETTLED` behind them. :data:`DEFAULT` stands for :data:`DEFAULT_METHODS`.

    Raises:
        OptionError: A name is unknown, or two files are called the same.
        WeightsError: A file is missing, damaged, or no such network.
    """
    methods: dict[str, Method] = {}
    for word in expand_default(words, DEFAULT_METHODS):
        plain = word.removesuffix(EXPOSURE)
        if plain in CLASSICAL:
            method = Method(word, _restore_classical(plain, exposure=plain != word))
        else:
            method = _network(word)
        if method.name in methods:
            raise OptionError(f"two methods are called {method.name}; call one of them otherwise: NAME={word}")
        methods[method.name] = method
    return list(methods.values())


def expand_default(words: Sequence[str], default: Sequence[str]) -> list[str]:
    """Return words, each once, with ``default`` for each :data:`DEFAULT`."""
    return list(dict.fromkeys(w for word in words for w in (default if word == DEFAULT else (word,))))


def _restore_classical(name: str, *, exposure: bool) -> Restore:
    def restore(frames: Tensor, valid: Tensor | None) -> Tensor:
        result = CLASSICAL[name](compensate_exposure(frames, valid) if exposure else frames, valid)
        picture: Tensor = result[0] if isinstance(result, tuple) else result  # behind it are weights
        return picture

    return restore


def _network(word: str) -> Method:
    requested, word = word, word.removesuffix(SETTLED)
    shipped = SHIPPED / f"{word}.safetensors"
    name, _, named = word.rpartition("=")
    if shipped.is_file():
        path, name = shipped, word
    elif Path(word).suffix or Path(word).is_file():
        # A path may hold "=" itself.
        path = Path(word) if Path(word).is_file() or not name else Path(named)
        name = name if path != Path(word) else path.stem
    else:
        names = ", ".join((*CLASSICAL, *SHIPPED_RESTORERS, DEFAULT))
        raise OptionError(
            f"unknown method {requested}: expected one of {names}, a classical one followed by "
            f"{EXPOSURE}, or the path of a weights file; networks may be followed by {SETTLED}"
        )
    if name.removesuffix(EXPOSURE) in CLASSICAL or (name in SHIPPED_RESTORERS and path != shipped):
        raise OptionError(f"{path} cannot be called {name}, which is another method: NAME={path}")
    network = load_pretrained(path)
    if type(network) not in {known.network for known in RESTORERS.values()}:
        raise WeightsError(f"{path} holds a {type(network).__name__}, expected one of {', '.join(RESTORERS)}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    restore = _restore_by(network)
    if requested != word:
        return Method(name + SETTLED, partial(_settle_first, restore), digest)
    return Method(name, restore, digest)


def _settle_first(restore: Restore, frames: Tensor, valid: Tensor | None) -> Tensor:
    """Restore frames that are first warped to their common picture, where they are off it."""
    H = settle_frames(frames, valid)[0]
    moves = (torch.eye(3).to(H) != H).flatten(1).any(1)[:, None, None, None]
    mask = torch.ones_like(frames[0, :, :1], dtype=torch.bool) if valid is None else valid[0]
    warped = warp_homography(frames[0], H.to(frames.dtype), mask, mode="bicubic")
    settled = torch.where(moves, warped.image.clamp(0, 1), frames[0])
    return restore(settled[None], torch.where(moves, warped.valid, mask)[None])


def _restore_by(network: nn.Module) -> Restore:
    def restore(frames: Tensor, valid: Tensor | None) -> Tensor:
        with torch.no_grad():
            image: Tensor = network(frames, valid).image
        return image

    return restore


#: Exposure is compared on copies whose sides are this many times shorter.
SHRINK = 4


def compensate_exposure(frames: Tensor, valid: Tensor | None = None) -> Tensor:
    """Multiply each frame and channel by one factor in linear light (:func:`exposure_gain`).

    Args:
        frames: (B, T, 3, H, W) sRGB in [0, 1], aligned.
        valid: Optional (B, T, 1, H, W) bool.

    Returns:
        (B, T, 3, H, W) sRGB, not clipped where a factor exceeds 1.
    """
    H, W = frames.shape[-2:]
    small = (max(1, round(H / SHRINK)), max(1, round(W / SHRINK)))
    copies, mask = _shrink(frames, small), None
    if valid is not None:
        # A pixel of the copy counts where all of its pixels do.
        mask = _shrink(valid.to(frames.dtype), small) > 0.999
    gain = exposure_gain(srgb_to_linear(copies), mask)[..., None, None]
    return linear_to_srgb(srgb_to_linear(frames) * gain)


def _shrink(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    small = F.interpolate(pictures.flatten(0, 1), size, mode="area")
    return torch.unflatten(small, 0, pictures.shape[:2])
