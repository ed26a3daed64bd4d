"""The paper's recipe: ResNet-18's third stage, cosine similarity, mutual neighbours, RANSAC."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality.alignment.pairwise import Matcher, Points
from diar_ops._errors import WeightsError
from diar_ops._types import FeatureMap
from diar_ops.matching import dense_descriptors, image_pyramid, level_features, match_pyramid
from diar_ops.models import load_pretrained
from diar_ops.models.resnet import ResNetTrunk

STAGE = 3


class Recipe(NamedTuple):
    """A variant of the recipe.

    Attributes:
        scales: Of the pyramid.
        threshold: Largest reprojection error of an inlier, in pixels; cells are 16 apart.
    """

    scales: tuple[float, ...]
    threshold: float


#: With the threshold, of half a cell and a whole one, that lays frames closer.
PAPER: dict[str, Recipe] = {"paper": Recipe((1.0, 0.7071, 0.5), 16.0), "paper-one-scale": Recipe((1.0,), 8.0)}
#: torchvision's file in the folder where torch keeps its downloads.
CACHED = "resnet18-f37072fd.pth"


def find_resnet18(path: Path | None) -> Path | None:
    """Return the weights file: the one that was named, or torchvision's download, or none."""
    if path is not None:
        return path
    cached = Path(torch.hub.get_dir()) / "checkpoints" / CACHED
    return cached if cached.is_file() else None


def load_resnet18(path: Path) -> ResNetTrunk:
    """Return the trunk that a weights file holds.

    Raises:
        WeightsError: It holds none, or another one.
    """
    trunk = load_pretrained(path)
    if not isinstance(trunk, ResNetTrunk) or trunk.architecture != "resnet18":
        raise WeightsError(f"{path} must hold the weights of a ResNet-18")
    return trunk


def paper_matcher(trunk: ResNetTrunk, recipe: Recipe) -> Matcher:
    """Return the matcher of a recipe."""

    def describe(frame: Tensor) -> list[FeatureMap]:
        with torch.no_grad():
            return [
                level_features(dense_descriptors(level.image, trunk, stages=STAGE), scale=level.scale)
                for level in image_pyramid(frame[None], scales=recipe.scales)
            ]

    def match(levels_i: list[FeatureMap], levels_j: list[FeatureMap]) -> tuple[Points, Points]:
        matches = match_pyramid(levels_i, levels_j)
        valid = matches.valid[0]
        points_i, points_j = (p[0, valid].numpy() for p in (matches.points0, matches.points1))
        return points_i.astype(np.float64), points_j.astype(np.float64)

    return Matcher(describe, match, threshold=recipe.threshold, fit="RANSAC")
