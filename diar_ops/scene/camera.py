"""The distribution of cameras for :func:`photograph`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from diar_ops._checks import check_option

Range = tuple[float, float]


@dataclass(frozen=True)
class CameraRanges:
    """The distribution of :func:`photograph`; the defaults are those of a phone indoors.

    Pairs are (low, high), drawn uniformly; 0 for both switches an effect off, and
    :meth:`CameraRanges.plain` switches all off. What belongs to the camera is drawn once for a
    sequence, what its automatics and the hand do is drawn for each frame. EV is a factor of two.

    Attributes:
        exposure: Brightness of a frame, EV.
        metering: How much the camera evens out the brightness of what it sees: 0 not at all, 1
            brings the mean of every frame to ``metered``. One per sequence.
        metered: Linear mean that metering aims at.
        temperature: Red over blue, EV; 0.5 is about what a camera is off that takes light of
            5500 K for 4500 K. Brightness stays.
        tint: Green over the mean of red and blue, EV.
        vignetting: Share of the light that the corners lose. One per sequence.
        blur: Standard deviation of the lens's blur, pixels.
        motion: Length of the hand's straight shake during the exposure, pixels.
        shot_noise: Standard deviation of the noise of a just saturated pixel, as a share of it; in
            the middle of the range of a phone at ISO 400. One per sequence.
        read_noise: Standard deviation of the noise in the dark, as a share of saturation. One per
            sequence.
        knee: Highlights roll off within this distance of saturation. One per sequence.
        tone: Share of an S-curve over the picture as it is displayed. One per sequence.
        local_contrast: What is added of a pixel's brightness beyond that around it, within an
            eighth of the picture. One per sequence.
        sharpening: What is added of a pixel's difference from its neighbours. One per sequence.
        chroma_noise: Standard deviation of blotches of colour, two pixels large. One per sequence.
        quality: Of the JPEG file, 1 to 100; None leaves compression out. One per sequence.
        subsample: The file holds chroma at half resolution.
        eight_bits: Round the result to multiples of 1/255.
    """

    exposure: Range = (-0.5, 0.5)
    metering: Range = (0.0, 0.6)
    metered: float = 0.25
    temperature: Range = (-0.35, 0.35)
    tint: Range = (-0.1, 0.1)
    vignetting: Range = (0.0, 0.35)
    blur: Range = (0.2, 0.7)
    motion: Range = (0.0, 1.0)
    shot_noise: Range = (0.005, 0.03)
    read_noise: Range = (0.0005, 0.004)
    knee: Range = (0.0, 0.15)
    tone: Range = (0.0, 0.0)
    local_contrast: Range = (0.0, 0.0)
    sharpening: Range = (0.0, 0.0)
    chroma_noise: Range = (0.0, 0.0)
    quality: Range | None = (60.0, 95.0)
    subsample: bool = True
    eight_bits: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from."""
        lowest = {"exposure": -10.0, "temperature": -4.0, "tint": -4.0, "quality": 1.0}
        highest = {
            "exposure": 10.0,
            "temperature": 4.0,
            "tint": 4.0,
            "quality": 100.0,
            "vignetting": 0.9,
            "blur": 10.0,
            "motion": 20.0,
            "sharpening": 5.0,
        }
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            op = f"CameraRanges.{name}"
            if name in ("subsample", "eight_bits"):
                check_option(op, isinstance(value, bool), "True or False", value)
            elif name == "metered":
                check_option(op, 0 < value <= 1, "a level above 0, up to 1", value)
            elif name != "quality" or value is not None:
                low, top = lowest.get(name, 0.0), highest.get(name, 1.0)
                fits = isinstance(value, (tuple, list)) and len(value) == 2
                fits = fits and low <= value[0] <= value[1] <= top
                check_option(op, fits, f"a pair {low:g} <= low <= high <= {top:g}", value)

    @property
    def develops(self) -> bool:
        """Whether the photo is developed: toned, sharpened, or given blotches of colour."""
        return max(*self.tone, *self.local_contrast, *self.sharpening, *self.chroma_noise) > 0

    @classmethod
    def phone(cls) -> CameraRanges:
        """Return a phone that develops its photos: it tones, sharpens, and hides noise badly."""
        return cls(
            tone=(0.0, 0.5),
            local_contrast=(0.0, 0.35),
            sharpening=(0.0, 0.8),
            chroma_noise=(0.0, 0.015),
            quality=(70.0, 95.0),
        )

    @classmethod
    def plain(cls) -> CameraRanges:
        """Return the camera that does nothing but clip and apply the transfer function."""
        off = (0.0, 0.0)
        return cls(
            exposure=off,
            metering=off,
            temperature=off,
            tint=off,
            vignetting=off,
            blur=off,
            motion=off,
            shot_noise=off,
            read_noise=off,
            knee=off,
            quality=None,
            eight_bits=False,
        )
