#!/usr/bin/env python3
"""Render spoiled views of pictures with Blender Cycles, with the exact truth beside them.

Give a folder of pictures of any size and shape; only strips much longer than the frames are passed
over, and what is transparent becomes white. Each sequence shows one of them in random light, with
shadows, highlights and things in the way: an aligned one always from straight ahead, a misaligned
one from random cameras, except for its first frame. Beside the frames are the clean
picture, the exact homographies, masks of what spoils each pixel, and the whole scene.

Stopped or killed, the same command goes on where it was; the result does not depend on that, nor
on the engine or the number of workers. Set up Blender once with: make render-env

Examples:
  python examples/render_dataset.py paintings/ sets/aligned --kind aligned
  python examples/render_dataset.py paintings/ sets/test --sequences 100 --frames 50 --workers 8
  python examples/render_dataset.py paintings/ sets/val --part 1/2
  python examples/render_dataset.py paintings/ sets/glass --glass 1
  python examples/render_dataset.py photos/ sets/wide --size 192 320 --samples 32 --seed 7
  python examples/render_dataset.py photos/ sets/gpu --device optix --blender ~/blender/blender

written to the output folder:
  dataset.json        what the set is: settings, seed, pictures, versions
  000000/00.png ...   the frames of sequence 0
  000000/label.png    the clean picture
  000000/masks/       what covers the picture; what is in shadow, in a highlight, or clipped
  000000/sequence.json   frame ~ H @ label, cameras, lights, materials, things
  contact_sheet.jpg   the first sequences, to look at
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tqdm import tqdm

from _cli import ENGINE, argument_parser, engine_of, exit_code
from diar_ops import DiarError, OptionError
from diar_ops.cycles import (
    DEVICES,
    RenderSettings,
    dataset_statistics,
    render_dataset,
    statistics_table,
    write_contact_sheet,
)
from diar_ops.data import SequenceDataset, list_images


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__, *ENGINE)
    add = parser.add_argument
    add("images", metavar="IMAGES_DIR", help="folder of pictures")
    add("out", metavar="OUT", help="folder of the data set; an unfinished one is continued")
    add(
        "--kind",
        choices=("aligned", "misaligned"),
        default="misaligned",
        help="one still camera, or free ones (default: %(default)s)",
    )
    for name, default, metavar, words in (
        ("--sequences", 10, "N", "sequences in all; more enlarge an existing set"),
        ("--frames", 10, "T", "frames of each"),
        ("--samples", 16, "S", "light paths per pixel, before noise is removed"),
        ("--seed", 0, "K", "another seed, another set"),
    ):
        words += " (default: %(default)s)"
        add(name, type=int, default=default, metavar=metavar, help=words)
    add(
        "--size",
        type=int,
        nargs=2,
        default=(256, 256),
        metavar=("H", "W"),
        help="pixels of frames and labels (default: 256 256)",
    )
    add(
        "--glass",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the sequences behind a pane or under a gloss that mirrors a room or a street "
        "(default: %(default)s)",
    )
    add("--device", choices=DEVICES, default="cpu", help="where to render (default: %(default)s)")
    add(
        "--part",
        default="1/1",
        metavar="K/N",
        help="use only every N-th picture, from the K-th on: sets of different parts share no "
        "picture, as training, validation and test must (default: all)",
    )
    add("--blender", metavar="PATH", help="Blender 4.5+, or a Python with bpy (default: of make render-env)")
    return parser.parse_args(argv)


def select_part(files: list[Path], part: str) -> list[Path]:
    """Return the K-th of N parts of the files, for a ``part`` of "K/N"."""
    match = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", part)
    if match is None or int(match[1]) > int(match[2]):
        raise OptionError(f"--part must be K/N with K from 1 to N, such as 1/2, got {part}")
    selected = files[int(match[1]) - 1 :: int(match[2])]
    if not selected:
        raise OptionError(f"part {part} of {len(files)} pictures is empty")
    return selected


def run(options: argparse.Namespace) -> str:
    """Render, and return the closing lines."""
    settings = RenderSettings(
        kind=options.kind,
        sequences=options.sequences,
        frames=options.frames,
        size=(options.size[0], options.size[1]),
        samples=options.samples,
        seed=options.seed,
        device=options.device,
        glass=options.glass,
    )
    pictures = select_part(list_images(options.images), options.part)
    # disable=None: no bar where nobody watches, such as in a log file
    with tqdm(desc="rendering", unit="frame", disable=None, smoothing=0.02) as bar:

        def progress(done: int, total: int) -> None:
            if bar.total is None:
                # What earlier runs rendered says nothing about the time that is left.
                bar.reset(total)
                bar.initial = bar.n = done
            bar.update(done - bar.n)

        result = render_dataset(
            pictures,
            options.out,
            settings,
            engine=engine_of(options),
            blender=options.blender,
            progress=progress,
            note=lambda sentence: tqdm.write(sentence, file=sys.stderr),
        )
    out = Path(options.out)
    for index, reason in result.failed.items():
        print(f"failed: sequence {index}: {reason}", file=sys.stderr)
    if len(result.failed) == settings.sequences:
        raise DiarError("no sequence could be rendered")
    dataset = SequenceDataset(out, masks=("occluded", "flags"))
    indices = tqdm(range(len(dataset)), desc="measuring", leave=False, disable=None)
    print(statistics_table(dataset_statistics(dataset[i] for i in indices)))
    sheet = write_contact_sheet(out)
    # The set may be larger than what was asked for now.
    already = len(dataset) - len(result.finished)
    had = f" ({already} were there)" if already else ""
    if result.failed:
        raise DiarError(
            f"{len(result.failed)} of {settings.sequences} sequences failed; the same command tries them again"
        )
    return f"{len(dataset)} sequences of {settings.frames} frames{had}; see {sheet}"


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = parse_arguments(argv)
    return exit_code(
        lambda: run(options),
        less_memory="use fewer --workers",
        stopped="finished sequences stay, the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
