"""One more line in AGGREGATORS makes an aggregator known everywhere: pipeline, script, comparisons."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

CODE = """
import torch
from diar_ops.pipeline import AGGREGATORS

def first(features, valid=None, *, return_weights=False):
    weights = torch.zeros_like(features[:, :, :1])
    weights[:, 0] = 1
    return (features[:, 0], weights) if return_weights else features[:, 0]

AGGREGATORS["first"] = first

import full_pipeline
from benchmarks.quality.methods import DEFAULT_METHODS, resolve_methods
from benchmarks.quality.score_plots import _styles
from diar_ops import reconstruct_sequence
from diar_ops.results.clean import _load_aggregator
from tests.photos import exact_alignment

frames = torch.rand(2, 3, 8, 8)
alignment = exact_alignment(torch.eye(3, dtype=torch.float64).repeat(2, 1, 1).numpy(), (8, 8))
result = reconstruct_sequence(frames, alignment, aggregator="first", compensate=False)
assert torch.allclose(result.image, frames[0], atol=1e-6)
assert full_pipeline.parse_arguments(["photos", "--aggregator", "first"]).aggregator == "first"
assert _load_aggregator("first") == "first"
(method,) = resolve_methods(["first"])
assert torch.equal(method.restore(frames[None], None), frames[:1])
assert "first+exposure" in DEFAULT_METHODS
assert len(_styles([*DEFAULT_METHODS, "first"])) == len(DEFAULT_METHODS) + 1
"""


def test_one_more_line_is_enough() -> None:
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'examples'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
