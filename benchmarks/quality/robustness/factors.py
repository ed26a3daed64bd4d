"""What grows, level by level, while all else stays as it is."""

from __future__ import annotations

from typing import NamedTuple


class Factor(NamedTuple):
    """Something that grows while all else stays as it is.

    Attributes:
        words: What is measured, without its unit.
        unit: How people write it.
        scale: Levels in this unit are so many times the numbers that rows hold.
        levels: What is asked for, beginning with none of it.
        what: How it is done, in one sentence.
    """

    words: str
    unit: str
    scale: float
    levels: tuple[float, ...]
    what: str

    def format(self, level: float, digits: int = 0) -> str:
        """Return a level with its unit."""
        return f"{level * self.scale:.{digits}f}{self.unit}"


FACTORS = {
    "occluded": Factor(
        "pixels covered",
        " %",
        100,
        (0.0, 0.15, 0.3, 0.45, 0.6, 0.75),
        "Three things in front of every frame grow; they throw no shadows.",
    ),
    "saturated": Factor(
        "pixels saturated",
        " %",
        100,
        (0.0, 0.15, 0.3, 0.45, 0.6, 0.75),
        "In every frame the glass before the picture mirrors a window, each time somewhere else, "
        "which grows; saturated is what has a channel of 254 of 255 or more.",
    ),
    "shadow": Factor(
        "light lost in shadows",
        " %",
        100,
        (0.0, 0.25, 0.5, 0.75, 1.0),
        "Two things beside the view of every frame let through less and less of the light; what "
        "is lost is measured where they take more than 40 % of it when they let none through.",
    ),
    "noise": Factor(
        "noise",
        " %",
        100,
        (0.0, 0.03, 0.06, 0.12, 0.25, 0.5),
        "The sensor's noise grows: asked for is its standard deviation at saturation, measured "
        "the root mean square of what it changes in the stored photo, as a share of white.",
    ),
    "tilt": Factor(
        "tilt",
        "°",
        1,
        (0.0, 20.0, 40.0, 55.0, 70.0),
        "All cameras but the first tilt away from the picture's normal, each its own way.",
    ),
    "foreign": Factor(
        "photos of another picture",
        " %",
        100,
        (0.0, 0.125, 0.25, 0.375, 0.5),
        "More and more frames, never the first, show another picture, all the same one; for the "
        "exact alignment that lies over the label, corner on corner.",
    ),
}
