"""The whole job from photos to a folder; the files, the report, the score against the original."""

from diar_ops.results.clean import CleanResult, clean_photos
from diar_ops.results.files import write_results
from diar_ops.results.ground_truth import GroundTruth, read_ground_truth, score_against
from diar_ops.results.listener import Listener
from diar_ops.results.options import CANVASES, CleanOptions
from diar_ops.results.report import render_report

__all__ = [
    "CANVASES",
    "CleanOptions",
    "CleanResult",
    "GroundTruth",
    "Listener",
    "clean_photos",
    "read_ground_truth",
    "render_report",
    "score_against",
    "write_results",
]
