"""The methods of alignment that are compared, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.alignment.configurations import CONFIGURATIONS, align_configured, configured_settings
from benchmarks.quality.alignment.keypoints import KEYPOINTS, keypoint_matcher, missing_detector
from benchmarks.quality.alignment.learned import disk_lightglue_matcher, has_kornia, loftr_matcher
from benchmarks.quality.alignment.pairwise import PAIRS, Aligner, Matcher, align_pairwise
from benchmarks.quality.alignment.paper import PAPER, find_resnet18, load_resnet18, paper_matcher
from benchmarks.quality.methods import expand_default
from diar_ops._errors import OptionError
from diar_ops.models.weights.load import SHIPPED

#: The methods of others, each also followed by :data:`PAIRS`.
PEERS = (*PAPER, *KEYPOINTS, "loftr", "disk-lightglue")
DEFAULT_ALIGNERS = (*CONFIGURATIONS, *PAPER, "sift", "sift" + PAIRS, "orb", "akaze", "loftr", "disk-lightglue")


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


def resolve_aligners(words: Sequence[str], files: AlignerFiles | None = None) -> tuple[list[Aligner], list[str]]:
    """Return the methods that names stand for.

    Args:
        words: Names of :data:`CONFIGURATIONS`; of :data:`PEERS`, with or without :data:`PAIRS`;
            ``"default"`` for :data:`DEFAULT_ALIGNERS`.
        files: Weights.

    Returns:
        The methods, each once, and one sentence for each that is left out because weights, kornia
        or a detector of OpenCV is missing.

    Raises:
        OptionError: A name is unknown, or no method is left.
        WeightsError: A file is missing, damaged, or holds something else.
    """
    files = files or AlignerFiles()
    aligners, skipped = [], []
    for word in expand_default(words, DEFAULT_ALIGNERS):
        plain = word.removesuffix(PAIRS)
        if plain not in PEERS and word not in CONFIGURATIONS:
            raise OptionError(
                f"unknown method {word}: expected one of {', '.join((*CONFIGURATIONS, *PEERS))}, "
                f"the latter {len(PEERS)} also followed by {PAIRS}"
            )
        reason = _missing(plain, files)
        if reason is not None:
            skipped.append(f"{word} is left out: {reason}")
        elif word in CONFIGURATIONS:
            aligners.append(_configured_aligner(word, files))
        else:
            aligners.append(_peer_aligner(word, plain, files))
    if not aligners:
        raise OptionError("there is no method to evaluate" + "".join(f" ({s})" for s in skipped))
    return aligners, skipped


def _missing(name: str, files: AlignerFiles) -> str | None:
    """Return a sentence on what a method needs and lacks here, None if it lacks nothing."""
    if name in KEYPOINTS:
        return missing_detector(name)
    needs_resnet = name in PAPER or (name in CONFIGURATIONS and CONFIGURATIONS[name].resnet)
    if needs_resnet and find_resnet18(files.resnet18) is None:
        return "the weights of ResNet-18 are not in torch's cache, name their file (--resnet18)"
    if name == "loftr" and files.loftr is None:
        return "it needs the file of its weights (--kornia-loftr)"
    if name == "disk-lightglue" and (files.disk is None or files.lightglue is None):
        return "it needs the files of its weights (--kornia-disk and --kornia-lightglue)"
    if name in ("loftr", "disk-lightglue") and not has_kornia():
        return "kornia, which builds it, is not installed"
    return None


def _configured_aligner(name: str, files: AlignerFiles) -> Aligner:
    configuration = CONFIGURATIONS[name]
    settings, trunk = [configured_settings(configuration)], None
    if configuration.resnet:
        path = find_resnet18(files.resnet18)
        assert path is not None
        trunk = load_resnet18(path)
        settings.append(_digest(path))
    if configuration.descriptor == "dual":
        settings.append(_digest(SHIPPED / "dual.safetensors"))
    align = align_configured(configuration, trunk)
    return Aligner(name, configuration.words, ", ".join(settings), align)


def _peer_aligner(word: str, plain: str, files: AlignerFiles) -> Aligner:
    import cv2

    words, matcher, weights = _peer_matcher(plain, files)
    all_pairs = word != plain
    mode = "all pairs, chained" if all_pairs else "each frame to the reference"
    words = f"{words}, {matcher.fit} at {matcher.threshold:g} px, {mode}"
    settings = [words, f"OpenCV {cv2.__version__}", *(_digest(path) for path in weights)]
    return Aligner(word, words, ", ".join(settings), align_pairwise(matcher, all_pairs=all_pairs))


def _peer_matcher(name: str, files: AlignerFiles) -> tuple[str, Matcher, list[Path]]:
    """Return what a peer is called in words, its matcher, and the files of its weights."""
    if name in KEYPOINTS:
        options = ", ".join(f"{k}={v:g}" for k, v in KEYPOINTS[name].options.items())
        words = f"{KEYPOINTS[name].words} ({options}), brute force, ratio test"
        return words, keypoint_matcher(KEYPOINTS[name]), []
    if name in PAPER:
        path, recipe = find_resnet18(files.resnet18), PAPER[name]
        assert path is not None
        scales = "one scale" if len(recipe.scales) == 1 else f"{len(recipe.scales)} scales"
        words = f"ResNet-18 stage 3, cosine, mutual neighbours, {scales}"
        return words, paper_matcher(load_resnet18(path), recipe), [path]
    if name == "loftr":
        assert files.loftr is not None
        return "LoFTR", loftr_matcher(files.loftr), [files.loftr]
    assert files.disk is not None
    assert files.lightglue is not None
    matcher = disk_lightglue_matcher(files.disk, files.lightglue)
    return "DISK and LightGlue", matcher, [files.disk, files.lightglue]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
