"""The methods of alignment that are compared, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.alignment.configurations import (
    CONFIGURATIONS,
    align_configured,
    configured_settings,
)
from benchmarks.quality.alignment.keypoints import KEYPOINTS, keypoint_matcher, missing_detector
from benchmarks.quality.alignment.learned import disk_lightglue_matcher, has_kornia, loftr_matcher
from benchmarks.quality.alignment.pairwise import PAIRS, Aligner, Matcher, align_pairwise
from benchmarks.quality.alignment.paper import PAPER, find_resnet18, load_resnet18, paper_matcher
from benchmarks.quality.methods import expand_default
from diar_ops._errors import OptionError
from diar_ops.models.weights.load import SHIPPED

#: The methods of others, each also followed by :data:`PAIRS`.
PEERS = (*PAPER, *KEYPOINTS, "loftr", "disk-lightglue")
DEFAULT_ALIGNERS = (
    *CONFIGURATIONS,
    *PAPER,
    "sift",
    "sift" + PAIRS,
    "orb",
    "akaze",
    "loftr",
    "disk-lightglue",
)


@dataclass(frozen=True)
class AlignerFiles:
    """Weights that the package does not hold; a method without its own is left out.

    Attributes:
        resnet18: torchvision's ResNet-18; None: the file that torchvision downloaded, if it did.
        loftr: LoFTR as kornia publishes it, such as ``loftr_outdoor.ckpt``.
        disk: DISK, ``depth-save.pth``.
        lightglue: LightGlue for DISK, ``disk_lightglue.pth``.
    """

    resnet18: Path | None = None
    loftr: Path | None = None
    disk: Path | None = None
    lightglue: Path | None = None


def find_aligners(
    words: Sequence[str], files: AlignerFiles | None = None
) -> tuple[list[Aligner], list[str]]:
    """Return the methods that a person means.

    Args:
        words: Names of :data:`CONFIGURATIONS`; of :data:`PEERS`, with or without :data:`PAIRS`;
            ``"default"`` for :data:`DEFAULT_ALIGNERS`.
        files: Weights.

    Returns:
        The methods, each once, and one sentence for each that is left out because weights, kornia
        or a detector of OpenCV are not there.

    Raises:
        OptionError: A name is unknown, or no method is left.
        WeightsError: A file is missing, damaged, or holds something else.
    """
    files = files or AlignerFiles()
    found, skipped = [], []
    for word in expand_default(words, DEFAULT_ALIGNERS):
        plain = word.removesuffix(PAIRS)
        if plain not in PEERS and word not in CONFIGURATIONS:
            raise OptionError(
                f"unknown method {word}: expected one of {', '.join((*CONFIGURATIONS, *PEERS))}, "
                f"the latter {len(PEERS)} also followed by {PAIRS}"
            )
        lack = _lacking(plain, files)
        if lack is not None:
            skipped.append(f"{word} is left out: {lack}")
        elif word in CONFIGURATIONS:
            found.append(_ours(word, files))
        else:
            found.append(_peer(word, plain, files))
    if not found:
        raise OptionError("there is no method to evaluate" + "".join(f" ({s})" for s in skipped))
    return found, skipped


def _lacking(name: str, files: AlignerFiles) -> str | None:
    """Return what a method lacks here, in words."""
    if name in KEYPOINTS:
        return missing_detector(name)
    if (name in PAPER or _needs_resnet(name)) and find_resnet18(files.resnet18) is None:
        return "the weights of ResNet-18 are not in torch's cache, name their file (--resnet18)"
    if name == "loftr" and files.loftr is None:
        return "it needs the file of its weights (--kornia-loftr)"
    if name == "disk-lightglue" and (files.disk is None or files.lightglue is None):
        return "it needs the files of its weights (--kornia-disk and --kornia-lightglue)"
    if name in ("loftr", "disk-lightglue") and not has_kornia():
        return "kornia, which builds it, is not installed"
    return None


def _needs_resnet(name: str) -> bool:
    return name in CONFIGURATIONS and CONFIGURATIONS[name].resnet


def _ours(name: str, files: AlignerFiles) -> Aligner:
    configuration = CONFIGURATIONS[name]
    settings, trunk = configured_settings(configuration), None
    if configuration.resnet:
        path = _resnet(files)
        trunk, settings = load_resnet18(path), f"{settings}, {_digest(path)}"
    if configuration.descriptor == "dual":
        settings = f"{settings}, {_digest(SHIPPED / 'dual.safetensors')}"
    return Aligner(name, configuration.words, settings, align_configured(configuration, trunk))


def _peer(word: str, plain: str, files: AlignerFiles) -> Aligner:
    import cv2

    words, matcher, weights = _PEERS[plain](plain, files)
    all_pairs = word != plain
    mode = "all pairs, chained" if all_pairs else "each frame to the reference"
    words = f"{words}, {matcher.fit} at {matcher.threshold:g} px, {mode}"
    settings = [words, f"OpenCV {cv2.__version__}", *(_digest(path) for path in weights)]
    return Aligner(word, words, ", ".join(settings), align_pairwise(matcher, all_pairs=all_pairs))


#: What a peer is called in words, its matcher, and the files of its weights.
_Made = tuple[str, Matcher, list[Path]]


def _make_keypoints(name: str, files: AlignerFiles) -> _Made:
    options = ", ".join(f"{k}={v:g}" for k, v in KEYPOINTS[name].options.items())
    words = f"{KEYPOINTS[name].words} ({options}), brute force, ratio test"
    return words, keypoint_matcher(KEYPOINTS[name]), []


def _make_paper(name: str, files: AlignerFiles) -> _Made:
    path, recipe = _resnet(files), PAPER[name]
    over = "one scale" if len(recipe.scales) == 1 else f"{len(recipe.scales)} scales"
    words = f"ResNet-18 stage 3, cosine, mutual neighbours, {over}"
    return words, paper_matcher(load_resnet18(path), recipe), [path]


def _make_loftr(name: str, files: AlignerFiles) -> _Made:
    assert files.loftr is not None
    return "LoFTR", loftr_matcher(files.loftr), [files.loftr]


def _make_disk(name: str, files: AlignerFiles) -> _Made:
    assert files.disk is not None
    assert files.lightglue is not None
    matcher = disk_lightglue_matcher(files.disk, files.lightglue)
    return "DISK and LightGlue", matcher, [files.disk, files.lightglue]


_PEERS: dict[str, Callable[[str, AlignerFiles], _Made]] = {
    **dict.fromkeys(PAPER, _make_paper),
    **dict.fromkeys(KEYPOINTS, _make_keypoints),
    "loftr": _make_loftr,
    "disk-lightglue": _make_disk,
}


def _resnet(files: AlignerFiles) -> Path:
    path = find_resnet18(files.resnet18)
    assert path is not None
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
