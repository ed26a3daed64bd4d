"""Generators: seeded by names and numbers alone, or afresh."""

from __future__ import annotations

import hashlib

import torch


def generator_for(*parts: object) -> torch.Generator:
    """Return a generator seeded by words and numbers, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def fresh_generator(device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator that the operating system seeds: no global state is read or changed."""
    generator = torch.Generator(device)
    generator.seed()
    return generator
