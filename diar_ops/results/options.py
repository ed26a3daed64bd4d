"""The options of the whole job, each with the help of whatever offers it."""

from __future__ import annotations

from dataclasses import dataclass

from diar_ops._checks import check_device
from diar_ops._errors import OptionError
from diar_ops._options import option
from diar_ops.models.weights.load import SHIPPED_RESTORERS
from diar_ops.pipeline import AGGREGATORS, BENDS
from diar_ops.results._crop import parse_crop
from diar_ops.results.picture import FORMATS

#: What the picture may show.
CANVASES = ("reference", "all")


@dataclass(frozen=True)
class CleanOptions:
    """How photos are cleaned: each field carries the help of whatever offers it.

    Errors name fields in backquotes: the command makes flags of them, the page names of its parts.

    Attributes:
        reference: Photo whose view the picture takes: a file name, a path, a number from 0 among all
            that is given, or ``"auto"``.
        descriptor: What photos are matched by: a name of :func:`load_descriptor`, or a file.
        aggregator: How a pixel is made from the photos: ``"diar"``, ``"diar-glass"``, a name of
            :data:`AGGREGATORS`, or a file with the weights of a network that restores.
        lens: Whether to estimate the lens and to straighten the picture.
        canvas: What the picture shows: what the reference does, ``"reference"``, or all that any
            aligned photo does, ``"all"``, for a thing that was photographed in parts, seen
            frontally where the photos tell how.
        bends: Whether to look for what is not quite flat, ``"auto"``, or not, ``"none"``.
        crop: Whether the picture alone is shown, frontally and with its true proportions: ``"auto"``
            where its outline is found, ``"none"``, or its corners in the reference, ``"x,y x,y x,y x,y"``.
        device: Where to compute.
        max_size: Longest side in pixels to which photos are shrunk first; None for full size.
        frames: How many frames of a video are taken.
        seed: Of the random sampling, in 64 bits.
        ground_truth: The known original to compare with, see :func:`read_ground_truth`; None for
            that of the photos themselves, where they are one rendered sequence.
        format: What the picture is written as: ``"png"``, ``"tiff"``, ``"jpg"`` or ``"webp"``.
        keep_metadata: Whether the picture carries over what the reference's camera wrote, such as
            place and owner.
        overwrite: Whether to replace earlier results.

    Raises:
        DiarError: The device cannot be used, the size is too small, the crop is no crop, or the seed does
            not fit.
    """

    reference: str = option(
        "auto",
        "photo whose view the picture takes: a file name, a path, a number from 0 among all that is given, or auto: "
        "the best-connected, most frontal and sharpest one",
        "NAME|PATH|INDEX",
    )
    descriptor: str = option(
        "sift",
        "what photos are matched by: sift needs no weights; dual is trained and comes with the package; "
        "resnet18, resnet34 and resnet50 download theirs once; or a file of such weights",
        "sift|dual|NAME|FILE",
        offered=("sift", "dual"),
    )
    aggregator: str = option(
        "diar",
        "how a pixel is made from the photos: diar, a trained network, evens out their light and weighs them; "
        "diar-glass is one that was trained on pictures behind glass; without one: "
        f"{', '.join(AGGREGATORS)} (consensus averages the photos that agree, soft_minimum the darkest that do, "
        "against reflections; rpca, intrinsic and networks other than these work on all photos in full at once "
        "and do not tell which gave what); or a file of weights that examples/train.py wrote",
        "NAME|FILE",
        offered=(*SHIPPED_RESTORERS, *AGGREGATORS),
    )
    lens: bool = option(
        False,
        "estimate how the lens bends straight lines, too, and straighten the picture: for whole photos of one "
        "camera at one zoom that stand still in the middle of the report's animation, but not in its corners; "
        "takes up to twice the time to align",
    )
    bends: str = option(
        "none",
        "auto looks for what is not quite flat (pages that curl, covers that bulge) and lays each photo over the "
        "reference by smooth displacements, too, where that fits clearly better",
        choices=BENDS,
    )
    canvas: str = option(
        "reference",
        "what the picture shows: what the reference does, or all that any aligned photo does, frontally where the "
        "photos tell how: for a facade or a scroll that was photographed in parts",
        choices=CANVASES,
    )
    crop: str = option(
        "none",
        "auto finds the picture's outline, with `canvas` all in everything that the photos show, and shows it alone, "
        "frontally and with its true proportions, or keeps all where none is found; or the picture's four corners in "
        "the reference photo, in pixels, in quotes",
        "auto|none|'x,y x,y x,y x,y'",
    )
    device: str = option("cpu", "where to compute: cpu, cuda, ...", "DEVICE")
    max_size: int | None = option(None, "shrink photos to this longest side first (default: full resolution)", "PIXELS")
    frames: int = option(12, "how many frames of a video are taken")
    seed: int = option(0, "seed of the random sampling", "SEED")
    ground_truth: str | None = option(
        None,
        "the known original to compare with: an image, or the folder of a rendered sequence; a single folder that "
        "is one brings its own",
        "DIR|FILE",
    )
    format: str = option(
        "png",
        "what the clean picture is written as; png and tiff have 16 bits where the photos have",
        choices=tuple(FORMATS),
    )
    keep_metadata: bool = option(
        False, "carry over what the camera wrote into the reference: place, owner, camera (default: the date alone)"
    )
    overwrite: bool = option(False, "replace earlier results in the output folder")

    def __post_init__(self) -> None:
        check_device("`device`", self.device)
        if self.max_size is not None and self.max_size < 16:
            raise OptionError(f"`max_size` must be 16 pixels or more, got {self.max_size}")
        if self.frames < 1:
            raise OptionError(f"`frames` must be 1 or more, got {self.frames}")
        if self.format not in FORMATS:
            raise OptionError(f"`format` must be one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.canvas not in CANVASES:
            raise OptionError(f"`canvas` must be one of {', '.join(CANVASES)}, got {self.canvas!r}")
        parse_crop(self.crop)
        if not -(2**63) <= self.seed < 2**63:
            raise OptionError(f"`seed` must fit into 64 bits, got {self.seed}")
