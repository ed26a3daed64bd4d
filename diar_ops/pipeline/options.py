"""The options of :func:`align_sequence`, their defaults and units."""

from __future__ import annotations

from dataclasses import dataclass

from diar_ops._checks import check_option

#: Longest sides below this many pixels leave no room for a descriptor's window.
_LEAST_SIZE = 32


@dataclass(frozen=True)
class AlignOptions:
    """How frames are matched and refined; checked when it is made.

    Attributes:
        scales: Scales of the pyramid levels that are matched.
        matching_size: Longest side of the larger copies that are matched, in pixels; the first
            attempt takes copies of half the size.
        max_matches: Matches kept per pair, the best ones.
        threshold: Inlier threshold of the pairs' homographies, in pixels of the copies.
        refinement_size: Longest side of the copies that are refined, in pixels. Larger is more
            exact and slower.
        joint: Whether all frames are adjusted jointly. Without it, each frame rests on the one
            that it was refined against alone.

    Raises:
        OptionError: A size is below 32, there is no scale, or a number is not positive.
    """

    scales: tuple[float, ...] = (1.0, 0.7071, 0.5)
    matching_size: int = 512
    max_matches: int = 3000
    threshold: float = 4.0
    refinement_size: int = 1024
    joint: bool = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        for size in ("matching_size", "refinement_size"):
            value = getattr(self, size)
            check_option(name, value >= _LEAST_SIZE, f"{size} >= {_LEAST_SIZE}", value)
        check_option(name, len(self.scales) > 0, "at least one scale", self.scales)
        check_option(name, self.max_matches > 0, "max_matches > 0", self.max_matches)
        check_option(name, self.threshold > 0, "threshold > 0", self.threshold)
