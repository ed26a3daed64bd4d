"""Refine a homography between two images to a fraction of a pixel, from their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from diar_ops._checks import check_option, full_precision, is_integer
from diar_ops._types import Matches, RefinedHomography
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._operator import define_operator
from diar_ops.geometry._refine.blocks import BLOCK
from diar_ops.geometry._refine.checks import batch_of, check_levels, check_pair, describer
from diar_ops.geometry._refine.gauss_newton import ImagePair, needs_antialias, refine_on_level
from diar_ops.geometry._refine.judge import judge
from diar_ops.geometry._refine.pyramid import Features, Pyramid, count_levels, level_matrix, start_estimates

#: A step shorter than this, in pixels of a level, is the last one there; on the finest level, and
#: on others, where the next one goes on.
_TOLERANCE, _COARSE_TOLERANCE = 0.01, 0.05


@full_precision
def refine_homography(
    image_src: Tensor,
    image_dst: Tensor,
    homography_dst_src: Tensor,
    valid_src: Tensor | None = None,
    valid_dst: Tensor | None = None,
    *,
    levels: int | None = None,
    max_iterations: int = 20,
    features: Features | Literal["images"] | None = None,
) -> RefinedHomography:
    """Refine homographies until the source's pixels lie over the destination's.

    Gauss-Newton on the difference of feature images, coarse to fine: the source is warped,
    described as the destination is, and moved by the homography that explains what is left. The
    default features are the :func:`local_contrast`, which exposure, shading, haze and shadows leave
    alone but for their edges. What hides the picture or glares loses its weight twice: pixels whose
    surroundings differ by more than the median, and blocks that would move farther than others.

    Accurate to some hundredths of a pixel where there is texture, from estimates that are off by
    a twentieth of the picture's side. Where the features correlate less on the finest level than
    under the initial estimate, that is returned.

    Args:
        image_src: (B, C, H, W) floating point in [0, 1]; B may be 1 and is broadcast.
        image_dst: (B, C, h, w) floating point in [0, 1]; B may be 1 and is broadcast.
        homography_dst_src: (B, 3, 3) initial estimates, dst ~ H @ src in pixels; B may be 1 and is
            broadcast.
        valid_src: Optional (B, 1, H, W) bool; False marks pixels without content.
        valid_dst: Optional (B, 1, h, w) bool. Pixels that are not finite count as invalid.
        levels: Levels of the image pyramid, each half as large as the one below; 1 for estimates
            that are right to a pixel or two. ``None``: as many as leave 48 pixels.
        max_iterations: Steps on each level, at most; fewer if they get short, which a GPU looks at
            every eighth step. 0 only judges the initial estimates.
        features: Maps images and validity to features that can be compared, of the same size, and
            to their validity. ``None``: local contrast; "images": the images as they are.

    Returns:
        :class:`RefinedHomography`; floating point in the dtype of ``homography_dst_src``. The
        homography is differentiable with respect to both images and the initial estimate.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: ``levels`` or ``max_iterations`` is outside its values.

    Source: Baker and Matthews, Lucas-Kanade 20 Years On (IJCV 2004); Malis, Improving
    vision-based control using efficient second-order minimization techniques (ICRA 2004).

    Example:
        >>> noise = torch.rand(1, 1, 70, 80, generator=torch.Generator().manual_seed(0))
        >>> picture = torch.nn.functional.avg_pool2d(noise, 5, stride=1)
        >>> image_src, image_dst = picture[..., :64, :72], picture[..., 2:66, 3:75]
        >>> refined = refine_homography(image_src, image_dst, torch.eye(3)[None])
        >>> refined.success, refined.homography[0, :2, 2].round(decimals=1)  # 3 left, 2 up
        (tensor([True]), tensor([-3., -2.]))
    """
    op = "refine_homography"
    check_pair(op, image_src, image_dst, homography_dst_src, valid_src, valid_dst)
    check_levels(op, image_src, image_dst, levels)
    check_option(op, is_integer(max_iterations) and max_iterations >= 0, "max_iterations >= 0", max_iterations)
    describer(op, features)
    arguments = (image_src, image_dst, homography_dst_src, valid_src, valid_dst, levels, max_iterations)
    if torch.compiler.is_compiling() and not callable(features):
        return _unflatten(_operator(*arguments, features))
    return _refine(*arguments, features)


def _refine(
    image_src: Tensor,
    image_dst: Tensor,
    homography_dst_src: Tensor,
    valid_src: Tensor | None,
    valid_dst: Tensor | None,
    levels: int | None,
    max_iterations: int,
    features: Features | Literal["images"] | None = None,
) -> RefinedHomography:
    """Do what :func:`refine_homography` says, with checked arguments."""
    pair = refinement_pyramid(image_src, valid_src, features), refinement_pyramid(image_dst, valid_dst, features)
    return refine_pyramids(*pair, homography_dst_src, levels, max_iterations)


def refinement_pyramid(
    image: Tensor, valid: Tensor | None, features: Features | Literal["images"] | None = None
) -> Pyramid:
    """Return what :func:`refine_homography` makes of an image, which may serve many pairs."""
    # Local contrast is that of the mean of the channels, which is warped in a third of the time.
    return Pyramid(image, valid, describer("refine_homography", features), grey=features is None)


def refine_pyramids(
    source: Pyramid, destination: Pyramid, homography_dst_src: Tensor, levels: int | None, max_iterations: int
) -> RefinedHomography:
    """Do what :func:`refine_homography` says, with images that are prepared.

    Args:
        source: The image that is warped.
        destination: The image that stays; of the same features.
        homography_dst_src: See :func:`refine_homography`.
        levels: See :func:`refine_homography`.
        max_iterations: See :func:`refine_homography`.
    """
    op = "refine_homography"
    check_pair(op, source.image, destination.image, homography_dst_src, source.valid, destination.valid)
    batch = batch_of(op, source.image, destination.image, homography_dst_src)
    initial, usable = start_estimates(homography_dst_src, batch)
    H = initial
    levels = count_levels(source, destination) if levels is None else levels
    antialias = needs_antialias(H, destination[0].size)
    iterations = torch.zeros(batch, dtype=torch.int64, device=H.device)
    for level in reversed(range(levels)):
        pair = ImagePair(source, destination, level, antialias)
        shrink = level_matrix(level, H)
        result = refine_on_level(
            pair,
            shrink @ H @ invert(shrink),
            usable,
            max_iterations=max_iterations,
            tolerance=_TOLERANCE if level == 0 else _COARSE_TOLERANCE,
        )
        iterations = iterations + result.steps
        H = invert(shrink) @ result.homography @ shrink
        H = H / H.detach().square().sum((1, 2), keepdim=True).sqrt()
    before = result.first if levels == 1 else pair.compare(initial.detach())
    judged = judge(H, result, before, pair.size, initial, usable, homography_dst_src.dtype)
    return judged._replace(iterations=iterations)


def _flatten(refined: RefinedHomography) -> tuple[Tensor, ...]:
    return *refined[:5], *refined.matches, refined.iterations


def _unflatten(tensors: Sequence[Tensor]) -> RefinedHomography:
    homography, success, agreement, scale, sigma, *matches, iterations = tensors
    return RefinedHomography(homography, success, agreement, scale, sigma, Matches(*matches), iterations)


def _kernel(*arguments: Any) -> tuple[Tensor, ...]:
    # Outputs of an operator must not share memory, which views of an expanded tensor do.
    return tuple(x.clone() for x in _flatten(_refine(*arguments)))


def _fake(image_src: Tensor, image_dst: Tensor, homography_dst_src: Tensor, *options: Any) -> tuple[Tensor, ...]:
    batch = batch_of("refine_homography", image_src, image_dst, homography_dst_src)
    blocks = (image_dst.shape[-2] // BLOCK) * (image_dst.shape[-1] // BLOCK)

    def empty(*shape: int, dtype: torch.dtype = homography_dst_src.dtype) -> Tensor:
        return homography_dst_src.new_empty((batch, *shape), dtype=dtype)

    matches = Matches(empty(blocks, 2), empty(blocks, 2), empty(blocks), empty(blocks, dtype=torch.bool))
    refined = RefinedHomography(
        homography=empty(3, 3),
        success=empty(dtype=torch.bool),
        agreement=empty(),
        residual_scale=empty(),
        corner_sigma=empty(4),
        matches=matches,
        iterations=empty(dtype=torch.int64),
    )
    return _flatten(refined)


_operator = define_operator(
    "refine_homography",
    "Tensor image_src, Tensor image_dst, Tensor homography_dst_src, Tensor? valid_src, Tensor? valid_dst, "
    "int? levels, int max_iterations, str? features",
    10,
    _kernel,
    _fake,
)


class RefineHomography(nn.Module):
    """See :func:`refine_homography`."""

    def __init__(
        self,
        *,
        levels: int | None = None,
        max_iterations: int = 20,
        features: Features | Literal["images"] | None = None,
    ) -> None:
        super().__init__()
        self.levels, self.max_iterations, self.features = levels, max_iterations, features

    def forward(
        self,
        image_src: Tensor,
        image_dst: Tensor,
        homography_dst_src: Tensor,
        valid_src: Tensor | None = None,
        valid_dst: Tensor | None = None,
    ) -> RefinedHomography:
        """See :func:`refine_homography`."""
        return refine_homography(
            image_src,
            image_dst,
            homography_dst_src,
            valid_src,
            valid_dst,
            levels=self.levels,
            max_iterations=self.max_iterations,
            features=self.features,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        return f"levels={self.levels}, max_iterations={self.max_iterations}"
