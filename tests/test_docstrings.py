"""The examples in the docstrings of the public names run, and show what they say."""

from __future__ import annotations

import doctest
import inspect

import pytest
import torch
from torch import nn

import diar_ops

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def example_of(name: str) -> doctest.DocTest:
    """Return the examples in the docstring of a public name, which see torch and all public names."""
    namespace = {n: getattr(diar_ops, n) for n in diar_ops.__all__} | {"torch": torch}
    docstring = inspect.getdoc(getattr(diar_ops, name)) or ""
    return doctest.DocTestParser().get_doctest(docstring, namespace, name, name, 0)


def needs_example(name: str) -> bool:
    """Functions, and networks, which no function stands for. Types and errors may have one."""
    value = getattr(diar_ops, name)
    if inspect.isclass(value):
        return issubclass(value, nn.Module) and value.__module__.startswith("diar_ops.models")
    return inspect.isfunction(value)


@pytest.mark.parametrize("name", [n for n in diar_ops.__all__ if needs_example(n) or example_of(n).examples])
def test_example_runs(name: str) -> None:
    example = example_of(name)
    assert example.examples, f"{name} has no example at the end of its docstring"
    report: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append)
    assert not failed, "".join(report)


@pytest.mark.parametrize("name", diar_ops.__all__)
def test_docstring_is_at_most_100_wide(name: str) -> None:
    lines = (getattr(diar_ops, name).__doc__ or "").splitlines()
    assert [line for line in lines if len(line) > 100] == []
