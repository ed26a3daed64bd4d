"""Rows of scores that are easy to reason about."""

from __future__ import annotations

from benchmarks.quality.rows import Row


def row(sequence: int, method: str, psnr: float, frames: int = 3) -> Row:
    scores = {"psnr": psnr, "psnr_gain": psnr + 2, "rmse": 10 ** (-psnr / 20), "ssim": 0.9}
    return Row("set", f"{sequence:06d}", frames, method, scores)
