"""Random descriptor sets, and their matches from the full matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from tests.harness import generator


def random_sets(name, *shapes, dtype=torch.float32):
    g = generator(name)
    return tuple(torch.randn(shape, generator=g, dtype=torch.float64).to(dtype) for shape in shapes)


def full_matrix(descriptors0, descriptors1, valid0=None, valid1=None):
    """Partner, cosine and mutuality from the whole matrix of one item, in NumPy."""
    a, b = (normalize(d.double(), dim=1).numpy() for d in (descriptors0, descriptors1))
    similarity = a @ b.T
    for valid, axis in ((valid0, 0), (valid1, 1)):
        if valid is not None:
            hidden = ~valid.numpy()
            similarity[(hidden, slice(None)) if axis == 0 else (slice(None), hidden)] = -2
    partner, back = similarity.argmax(1), similarity.argmax(0)
    score = similarity.max(1)
    return partner, score, (back[partner] == np.arange(len(a))) & (score > -2)
