#!/usr/bin/env python3
"""Compare methods on rendered sequences: reconstruction, alignment, and both together.

Give folders of sets that examples/render_dataset.py rendered. One command measures three parts and
writes one report of them (--parts: only some):

reconstruction: how close to the label, from how many frames? The frames are laid over the label by
their exact homographies; --jitter and --misalign spoil this on purpose. Methods are mean, median,
rpca (robust PCA), intrinsic (Weiss), consensus and soft_minimum (the darkest that agree), each also
as NAME+exposure: of frames that are first brought to a common exposure; diar, the network that comes
with the package; and the files of other networks; networks also as NAME+settled: of frames that are
first laid over their common picture.

self-aligned: the same, but align_sequence lays the frames over frame 0.

alignment: how far off is each frame, laid over frame 0 of its sequence? Aligners are ours
(align_sequence with its defaults) and its ablations ours-dual, ours-one-scale, ours-not-joint,
ours-unrefined and ours-resnet18; the paper's recipe, paper and paper-one-scale; sift, orb and
akaze; loftr and disk-lightglue by kornia. Of these peers NAME matches each frame with frame 0,
NAME+pairs all pairs of frames, of which the most reliable lead to frame 0. An aligner is left out,
with a sentence, where its weights or a detector are missing: name ResNet-18's with --resnet18 (or
let torchvision have downloaded them), the learned matchers' with --kornia-...; nothing is
downloaded here.

The latter two leave out sets of which all frames lie over their label already.

Stopped (Ctrl-C) or killed, the same command goes on where it was. More methods, sets, sequences or
numbers of frames join what is there, and the report is of all that is there. The scores do not
depend on the engine or the number of workers.

Intervals are those of a bootstrap over pictures: sequences that show one picture (the file that
sequence.json names as texture) are drawn together.

Examples:
  python examples/evaluate.py sets/aligned-test sets/misaligned-test --out evaluation
      --resnet18 resnet18.pth --workers 4
  python examples/evaluate.py sets/aligned-test-50 --out long --frames 2 10 50 --workers 4
  python examples/evaluate.py sets/aligned-test --out nets --methods default
      softmax=nets/softmax/DIAR.safetensors --curves nets/softmax --against diar
  python examples/evaluate.py sets/aligned-test --out jittered --jitter 2
  python examples/evaluate.py sets/aligned-test --out timed --timing --frames 10
  python examples/evaluate.py sets/misaligned-val --parts alignment --out aligned
      --aligners ours sift sift+pairs loftr --kornia-loftr loftr_outdoor.ckpt --pictures 20

written to the output folder:
  report.html             everything, as one page without files beside it: open this first
  PART_SCORE.png, .svg    scores against the number of frames, where there are several
  boxes_SCORE.png, .svg   their spread at the most frames, exact and own alignment side by side
  corner_error, distance, cumulative (.png, .svg)
                          box plots of both errors of alignment; share of the frames below each
                          corner error
  training.png, .svg      with --curves: validation while networks were trained
  PART/                   scores.csv: every sequence, method and number of frames: PSNR, PSNR after
                          one least-squares factor per channel, RMSE, SSIM, with --lpips LPIPS;
                          alignment.csv: every
                          frame: mean error of its corners in pixels of the reference, distance of
                          the homographies at determinant 1, whether the method calls it aligned,
                          processor seconds for the whole sequence with one thread, the homography
  PART/summary.md, .csv   means or shares and their 95 % intervals
  PART/comparisons.csv    methods in pairs, on the same sequences
  PART/pictures/          the worst, median and best N of each method, see --pictures
  PART/settings.json      what the rows depend on; other settings need another folder
  PART/sequences.json     which picture each sequence shows
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from _cli import ENGINE, OUT, Argument, argument_parser, check_minimum, engine_of, exit_code
from benchmarks.quality.candidates import PARTS
from benchmarks.quality.evaluation import FRAMES, evaluate
from benchmarks.quality.methods import CLASSICAL, DEFAULT
from benchmarks.quality.reconstruction import TIMED

#: Files that aligners need.
WEIGHTS = {
    "--resnet18": "ResNet-18, torchvision's (default: its download, if there is one)",
    "--kornia-loftr": "LoFTR, such as loftr_outdoor.ckpt",
    "--kornia-disk": "DISK, such as depth-save.pth",
    "--kornia-lightglue": "LightGlue for DISK, such as disk_lightglue.pth",
}
ARGUMENTS = (
    Argument("sets", "SETS", "folders of sets, or of single sequences", nargs="+"),
    OUT,
    Argument("--parts", "PART", f"what to measure: {', '.join(PARTS)} (default: all)", nargs="+", choices=PARTS),
    Argument(
        "--methods",
        "METHOD",
        f"of the first two parts: {', '.join(CLASSICAL)}, each also followed by +exposure; diar "
        f"and PATH or NAME=PATH of weights, each also followed by +settled; {DEFAULT} for the "
        f"paper's classical four, all classical ones with +exposure, and diar (default: {DEFAULT})",
        nargs="+",
    ),
    Argument(
        "--aligners",
        "ALIGNER",
        f"of alignment, see above; {DEFAULT} for all that are here, of the +pairs only sift's (default: {DEFAULT})",
        nargs="+",
    ),
    Argument(
        "--frames",
        "T",
        "use the first T frames, for each T that a sequence has; alignment takes those from 2 on "
        f"(default: {' '.join(map(str, FRAMES))}; for alignment all frames)",
        type=int,
        nargs="+",
    ),
    Argument(
        "--against",
        "METHOD",
        "what the others are compared with in pairs: a method, an aligner, or one of each "
        "(default: diar, ours); where it has no results, the best of the others",
        nargs="+",
        default=[],
    ),
    Argument("--sequences", "N", "only the first N of each set", type=int),
    Argument(
        "--jitter",
        "PX",
        "reconstruction: move every frame by a homography of this mean corner error, in pixels (default: %(default)s)",
        type=float,
        default=0.0,
    ),
    Argument(
        "--misalign",
        "N",
        "reconstruction: move N frames of each sequence, but not its first, by 5 to 30 %% of its "
        "size (default: %(default)s)",
        type=int,
        default=0,
    ),
    *ENGINE,
    Argument("--timing", None, f"reconstruction: also time the methods, with all cores, on {TIMED} sequences per set"),
    Argument(
        "--pictures",
        "N",
        "show the N worst, median and best sequences of each method, and frames of each aligner (default: %(default)s)",
        type=int,
        default=1,
    ),
    Argument(
        "--curves", "RUN", "folders of runs of examples/train.py, whose curve.csv is drawn", nargs="+", default=[]
    ),
    Argument(
        "--lpips",
        ("ALEXNET", "LINEAR"),
        "also measure LPIPS: torchvision's file of AlexNet, and that of the linear layers of "
        "LPIPS 0.1 for it, alex.pth",
        type=Path,
        nargs=2,
    ),
    *(Argument(name, "FILE", f"weights of {words}", type=Path) for name, words in WEIGHTS.items()),
    Argument("--overwrite", None, "forget the results that are there"),
)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = argument_parser(__doc__, *ARGUMENTS).parse_args(argv)
    command = shlex.join(["python", "examples/evaluate.py", *(sys.argv[1:] if argv is None else argv)])

    def run() -> str:
        check_minimum(options, pictures=0)
        options.engine = engine_of(options)
        return evaluate(options, command)

    return exit_code(run, less_memory="use fewer --workers or fewer --frames", stopped="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
