"""A small finished run to render reports of, and a reader of the page."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from diar_ops import Alignment, HomographyEstimate, Matches, PairMatches, Reason, Reconstruction
from diar_ops._pixels import image_size
from diar_ops.results._run import FinishedRun
from tests.harness import generator

SIZE = (48, 64)
VOID = {"meta", "img", "input", "br", "link", "image", "path", "circle"}


class Page(HTMLParser):
    """Checks that tags nest and collects what a reader and a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.stack == [], "tags left open"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.words.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


def sequence(count: int = 3, *, failed: dict[int, Reason] | None = None, verified: bool = True) -> dict[str, Any]:
    """A reference and shifted copies of it; frames of two sizes and depths."""
    failed = failed or {}
    random = generator("report sequence")
    height, width = SIZE
    success = torch.tensor([i not in failed for i in range(count)])
    reason = torch.tensor([int(failed.get(i, Reason.OK)) for i in range(count)])
    homography = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    for i in range(1, count):
        if success[i]:
            homography[i, 0, 2] = 2.0 * i
    frames = [
        torch.randint(0, 256, (3, height, width), generator=random).to(torch.uint8)
        if i % 2 == 0
        else torch.randint(0, 65536, (3, height + 8, width), generator=random).to(torch.uint16)
        for i in range(count)
    ]
    index = torch.combinations(torch.arange(count)) if count > 1 else torch.empty(0, 2).long()
    points0 = torch.rand(len(index), 20, 2, generator=random, dtype=torch.float64) * 40
    ok = success[index].all(dim=1) & verified
    homography_j_i = torch.linalg.inv(homography[index[:, 1]]) @ homography[index[:, 0]]
    shift = homography_j_i[:, None, :2, 2]
    points1 = points0 + shift + torch.tensor([0.3, 0.4], dtype=torch.float64)
    valid = torch.ones(len(index), 20, dtype=torch.bool)
    estimate = HomographyEstimate(
        homography_j_i,
        valid & ok[:, None],
        ok,
        torch.zeros(len(index), dtype=torch.int64),
        torch.zeros(len(index), dtype=torch.int64),
    )
    matches = Matches(points0, points1, torch.ones(len(index), 20), valid)
    weights = success.float()[:, None, None, None].expand(count, 1, height, width) / success.sum()
    return {
        "frames": frames,
        "names": [f"photo_{i}.jpg" for i in range(count)],
        "alignment": Alignment(
            homography,
            success,
            reason,
            torch.where(success, 40, 0),
            success.double(),
            0,
            SIZE,
            torch.linspace(0.1, 0.5, 5).repeat(count, 1).where(success[:, None], torch.nan),
            PairMatches(index, matches, estimate),
        ),
        "reconstruction": Reconstruction(
            torch.rand(3, height, width, generator=random),
            success.sum().expand(1, height, width),
            weights,
            torch.ones(count, 3),
        ),
    }


def run_of_one_frame(frame: Tensor, homography_reference_frame: list[list[float]], gain: float = 1.0) -> FinishedRun:
    """A run whose reference has the size of its only frame."""
    run = sequence(1)
    size = image_size(frame)
    H = torch.tensor([homography_reference_frame], dtype=torch.float64)
    alignment = run["alignment"]._replace(homography_reference_frame=H, size=size)
    reconstruction = run["reconstruction"]._replace(gain=torch.full((1, 3), gain))
    return FinishedRun([frame], run["names"], alignment, reconstruction)


def decoded(uri: str) -> Any:
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    image: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image[..., ::-1] / 255
