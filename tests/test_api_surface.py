"""The public names are what public_names.txt lists, and every public op is tested in full."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import diar_ops
from tests.harness import KINDS, OpTests
from tests.ops import classes_by_op

TESTS = Path(__file__).parent


def public_ops() -> list[str]:
    """Public functions: what every other name (types, errors, Modules) is built around."""
    return [n for n in diar_ops.__all__ if inspect.isfunction(getattr(diar_ops, n))]


@pytest.fixture(scope="module")
def op_tests() -> dict[str, type[OpTests]]:
    return classes_by_op()


def test_public_names_are_the_listed_ones() -> None:
    listed = (TESTS / "public_names.txt").read_text().split()
    assert sorted(diar_ops.__all__) == listed, (
        "the public names changed: update tests/public_names.txt and CHANGELOG.md if it was meant"
    )
    assert listed == sorted(set(listed))


def test_public_names_exist_and_are_documented() -> None:
    for name in diar_ops.__all__:
        assert inspect.getdoc(getattr(diar_ops, name)), f"{name} has no docstring"


@pytest.mark.parametrize("op", public_ops())
def test_every_op_is_tested_in_full(op: str, op_tests: dict[str, type[OpTests]]) -> None:
    assert op in op_tests, f"no subclass of OpTests names the op {op!r}"
    cls = op_tests[op]
    for kind in KINDS:
        answered = any(name == f"test_{kind}" or name.startswith(f"test_{kind}_") for name in dir(cls))
        assert answered or kind in cls.exempt, f"{cls.__name__} answers no test_{kind}"
    for kind, reason in cls.exempt.items():
        assert kind in KINDS
        assert len(reason) > 20, f"{cls.__name__}: say why {kind} is exempt"


def test_every_module_twin_is_tested(op_tests: dict[str, type[OpTests]]) -> None:
    twins = {
        n
        for n in diar_ops.__all__
        if inspect.isclass(getattr(diar_ops, n)) and issubclass(getattr(diar_ops, n), nn.Module)
    }
    covered = {cls.module for cls in op_tests.values()}
    # Networks and trunks are Modules without a function twin; they have test files of their own.
    networks = {n for n in twins if getattr(diar_ops, n).__module__.startswith("diar_ops.models")}
    assert twins - networks <= covered


def test_import_has_no_heavy_side_effects() -> None:
    """Heavy peers load on first use; randomness, threads and the network stay untouched."""
    code = (
        "import torch, sys; before = torch.get_rng_state(); threads = torch.get_num_threads();"
        "known = set(sys.modules); import diar_ops;"
        "assert torch.equal(before, torch.get_rng_state());"
        "assert threads == torch.get_num_threads();"
        "heavy = {'kornia', 'cv2', 'matplotlib', 'scipy', 'PIL', 'tqdm', 'jinja2'};"
        "loaded = heavy & {name.split('.')[0] for name in set(sys.modules) - known};"
        "assert not loaded, loaded;"
        "assert 'torch._dynamo' not in set(sys.modules) - known"  # takes as long as torch itself
    )
    subprocess.run([sys.executable, "-c", code], check=True)
