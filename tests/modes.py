"""The modes of torch that every public op must work in: rows of the table that ``--modes`` prints.

:class:`ModeTests` is the base of :class:`tests.harness.OpTests`: a method per mode, asked of every
op with the one valid call that its class gives. An exemption stands in the class with its reason.
"""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from diar_ops import DiarError
from tests.pretend_gpu import GPU, pretend_gpu
from tests.tolerances import TOLERANCES, assert_close

#: Every mode, with what a reader of the table should know.
MODES = {
    "autocast": "ambient autocast changes no bit",
    "default_dtype": "the default dtype of the process changes nothing",
    "half": "float16 and bfloat16 inputs: as float64 of the same numbers, to rounding",
    "pure": "inputs and the global random states are left as they were",
    "inference": "inside torch.inference_mode",
    "functional": "torch.func.grad and jacrev agree with autograd",
    "vmap": "torch.func.vmap agrees with a loop",
    "compile": "torch.compile(fullgraph=True)",
    "dynamic": "torch.compile(fullgraph=True, dynamic=True)",
    "export": "torch.export, strict and not, with symbolic sizes",
    "threads": "calls from two threads at once",
    "pickle": "results and modules survive pickle and deepcopy",
    "gpu": "on a GPU: no copies from the host, at most one wait",
}


def tensors_of(output: Any) -> list[Tensor]:
    """Flatten an op's output (tensor, NamedTuple, list, registered dataclass) into its tensors."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]


def assert_identical(actual: list[Tensor], expected: list[Tensor]) -> None:
    """Check that tensors agree in dtype and in every bit of every value; NaN equals NaN."""
    assert [a.dtype for a in actual] == [e.dtype for e in expected]
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=0, atol=0, equal_nan=True)


def assert_all_close(actual: list[Tensor], expected: list[Tensor], bound: tuple[float, float] | None = None) -> None:
    """Check that lists of tensors agree up to rounding, NaN where NaN is."""
    assert [a.dtype for a in actual] == [e.dtype for e in expected]
    rtol, atol = bound or (None, None)
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a.isnan(), e.isnan())
        assert_close(a.nan_to_num(), e.nan_to_num(), rtol=rtol, atol=atol)


class ModeTests:
    """A test per mode. See the module docstring."""

    #: Kinds that make no sense for this op, each with the reason.
    exempt: ClassVar[dict[str, str]] = {}
    #: (rtol, atol) of results in half precision where they are wider than rounding, with a reason beside.
    half_bounds: ClassVar[dict[torch.dtype, tuple[float, float]]] = {}
    #: Where outputs of half inputs are in float32 on purpose.
    half_result: ClassVar[torch.dtype | None] = None
    #: (rtol, atol) between two orders of the same additions, where the default is too narrow.
    float32_bound: ClassVar[tuple[float, float] | None] = None
    #: Dimensions of each tensor argument that must stay symbolic under export; by default those of
    #: :func:`free_dims`.
    free: ClassVar[tuple[tuple[int, ...], ...] | None] = None
    #: Waits for the device in one call: one in eight iterations where an op iterates.
    waits: ClassVar[int] = 1

    function: Callable[..., Any]
    call: Callable[..., Any]

    def skip_if_exempt(self, kind: str) -> None:
        if kind in self.exempt:
            pytest.skip(self.exempt[kind])

    def run(self, device: torch.device, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Return the tensors of a fresh call: generators remember."""
        args, kwargs = self.call(device, dtype)
        return tensors_of(self.function(*args, **kwargs))

    def expected(self, device: torch.device) -> list[Tensor]:
        """Return the tensors of a plain call, to be compared with: computed once for all modes."""
        return list(_plain_call(type(self), device))

    def test_autocast(self, device: torch.device) -> None:
        self.skip_if_exempt("autocast")
        expected = self.expected(device)
        with torch.autocast(device.type, torch.bfloat16):
            actual = self.run(device)
        assert_identical(actual, expected)

    def test_default_dtype(self, device: torch.device) -> None:
        self.skip_if_exempt("default_dtype")
        expected = self.expected(device)
        for other in (torch.float64, torch.bfloat16):
            args, kwargs = self.call(device, torch.float32)
            torch.set_default_dtype(other)
            try:
                actual = tensors_of(self.function(*args, **kwargs))
            finally:
                torch.set_default_dtype(torch.float32)
            assert_all_close(actual, expected, self.float32_bound)

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
    def test_half(self, device: torch.device, half: torch.dtype) -> None:
        self.skip_if_exempt("half")
        args, kwargs = self.call(device, half)
        given = {t.dtype for t in tensors_of((args, kwargs)) if t.is_floating_point()}
        actual = tensors_of(self.function(*args, **kwargs))
        args, kwargs = tree_map(_in_double, self.call(device, half))
        expected = tensors_of(self.function(*args, **kwargs))
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            if a.is_floating_point():
                assert a.dtype in {self.half_result or half} | (given - {half})
                rtol, atol = self.half_bounds.get(half, TOLERANCES[half])
                torch.testing.assert_close(a.double(), e.double(), rtol=rtol, atol=atol, equal_nan=True)

    def test_pure(self, device: torch.device) -> None:
        self.skip_if_exempt("pure")
        args, kwargs = self.call(device, torch.float32)
        inputs = tensors_of((args, kwargs))
        before = [t.clone() for t in inputs]
        states = global_states()
        self.function(*args, **kwargs)
        assert_identical(inputs, before)
        assert global_states() == states

    def test_inference(self, device: torch.device) -> None:
        self.skip_if_exempt("inference")
        expected = self.expected(device)
        with torch.inference_mode():
            actual = self.run(device)
        assert_all_close(actual, expected, self.float32_bound)

    def test_functional(self, device: torch.device) -> None:
        self.skip_if_exempt("functional")
        if "gradcheck" in self.exempt:
            self._refuses_gradients(device)
            return
        function, inputs = self.gradcheck_call(device)
        which = tuple(i for i, x in enumerate(inputs) if x.requires_grad)
        detached = tuple(x.detach() for x in inputs)

        def loss(*args: Tensor) -> Tensor:
            outputs = [t for t in tensors_of(function(*args)) if t.is_floating_point()]
            return torch.stack([(t * _ramp(t)).sum() for t in outputs]).sum()

        expected = torch.autograd.grad(loss(*inputs), [inputs[i] for i in which])
        actual = torch.func.grad(loss, argnums=which)(*detached)
        assert_all_close(list(actual), list(expected), (1e-7, 1e-9))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "There is a performance drop")
            rows = torch.func.jacrev(lambda *args: loss(*args)[None], argnums=which)(*detached)
        assert_all_close([row[0] for row in rows], list(expected), (1e-7, 1e-9))

    def _refuses_gradients(self, device: torch.device) -> None:
        """An op without a gradient says so when one is asked for: zeros would pass for an answer."""
        args, kwargs = self.call(device, torch.float32)
        inputs = [t for t in tensors_of(args) if t.is_floating_point()]
        if not inputs:
            pytest.skip("nothing that could require a gradient")
        leaves, spec = tree_flatten((args, kwargs))
        asking = [x.detach().requires_grad_() if any(x is t for t in inputs) else x for x in leaves]
        args, kwargs = tree_unflatten(asking, spec)
        with pytest.raises(DiarError, match="gradient"):
            self.function(*args, **kwargs)
        with torch.no_grad():
            self.function(*args, **kwargs)

    def test_vmap(self, device: torch.device) -> None:
        self.skip_if_exempt("vmap")
        calls = [tree_flatten(tuple(self.call(device, torch.float32))) for _ in range(2)]
        leaves, spec = calls[0]
        mapped = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
        if not mapped:
            pytest.skip("takes no tensors")
        changed = [_other(leaves[i]) for i in mapped]

        def function(*tensors: Tensor) -> tuple[Tensor, ...]:
            values = list(tree_flatten(tuple(self.call(device, torch.float32)))[0])
            for i, tensor in zip(mapped, tensors, strict=True):
                values[i] = tensor
            args, kwargs = tree_unflatten(values, spec)
            return self.function(*args, **kwargs)

        both = [torch.stack(pair) for pair in zip([leaves[i] for i in mapped], changed, strict=True)]
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "There is a performance drop")
            actual = tensors_of(torch.func.vmap(function, randomness="same")(*both))
        single = [tensors_of(function(*(t[v] for t in both))) for v in range(2)]
        assert_all_close(actual, [torch.stack(pair) for pair in zip(*single, strict=True)], self.float32_bound)

    def test_compile(self, device: torch.device, compile_backend: str) -> None:
        self._compiles(device, compile_backend, "compile", dynamic=False)

    def test_dynamic(self, device: torch.device, compile_backend: str) -> None:
        self._compiles(device, compile_backend, "dynamic", dynamic=True)

    def _compiles(self, device: torch.device, backend: str, kind: str, *, dynamic: bool) -> None:
        """The whole op is one graph, or, where it is exempt, still runs within compiled code."""
        whole = not {kind, "compile"} & set(self.exempt)
        torch.compiler.reset()
        args, kwargs = self.call(device, torch.float32)
        compiled = torch.compile(
            lambda *a: self.function(*a, **kwargs), fullgraph=whole, dynamic=dynamic, backend=backend
        )
        actual = tensors_of(compiled(*args))
        assert_all_close(actual, self.expected(device), self.float32_bound)
        if not whole:
            pytest.skip(self.exempt.get(kind, self.exempt.get("compile", "")))

    @pytest.mark.parametrize("strict", [False, True], ids=["plain", "strict"])
    def test_export(self, device: torch.device, strict: bool) -> None:
        self.skip_if_exempt("export")
        args, kwargs = self.call(device, torch.float32)
        leaves, spec = tree_flatten(args)
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
        if not places:
            pytest.skip("takes no tensors")
        tensors = tuple(leaves[i] for i in places)

        function = self.function

        class Program(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.options = nn.ModuleDict({k: v for k, v in kwargs.items() if isinstance(v, nn.Module)})

            def forward(self, *given: Tensor) -> list[Tensor]:
                values = list(leaves)
                for i, tensor in zip(places, given, strict=True):
                    values[i] = tensor
                return tensors_of(function(*tree_unflatten(values, spec), **kwargs | dict(self.options.items())))

        free = self.free or tuple(free_dims(t) for t in tensors)
        # A size of 0 or 1 is a constant to torch.export.
        free = tuple(tuple(d for d in f if t.shape[d] > 1) for f, t in zip(free, tensors, strict=True))
        dims = tuple(dict.fromkeys(f, torch.export.Dim.DYNAMIC) for f in free)
        program = torch.export.export(Program(), tensors, dynamic_shapes=(dims,), strict=strict)
        assert_all_close(tensors_of(program.module()(*tensors)), self.expected(device), self.float32_bound)

    def test_threads(self, device: torch.device) -> None:
        self.skip_if_exempt("threads")
        expected = self.expected(device)
        with ThreadPoolExecutor(2) as pool:
            for actual in pool.map(lambda _: self.run(device), range(4)):
                assert_all_close(actual, expected, self.float32_bound)

    def test_pickle(self, device: torch.device) -> None:
        self.skip_if_exempt("pickle")
        args, kwargs = self.call(device, torch.float32)
        with torch.no_grad():  # torch copies no tensor with a history
            output = self.function(*args, **kwargs)
        for copied in (pickle.loads(pickle.dumps(output)), copy.deepcopy(output)):
            assert type(copied) is type(output)
            assert_identical(tensors_of(copied), tensors_of(output))

    def test_gpu(self, record_property: Callable[[str, object], None]) -> None:
        self.skip_if_exempt("gpu")
        cpu = torch.device("cpu")
        expected = self.expected(cpu)
        with pretend_gpu() as work:
            for _ in range(2):  # constants are made in the first call
                args, kwargs = tree_map(_to_gpu, tuple(self.call(cpu, torch.float32)))
                work.clear()
                actual = tensors_of(self.function(*args, **kwargs))
                counts, waits, copies = repr(work), dict(work.waits), dict(work.copies)
            assert {t.device for t in actual} <= {GPU}
            assert_all_close([t.cpu() for t in actual], expected, self.float32_bound)
        record_property("work", counts)
        assert not copies, f"copies from the host: {copies}"
        assert sum(waits.values()) <= self.waits, f"waits for the device: {waits}"


@cache
def _plain_call(tests: type[ModeTests], device: torch.device) -> tuple[Tensor, ...]:
    """A call is seeded by name and an op keeps no state, so that one result serves all comparisons."""
    return tuple(tests().run(device))


def free_dims(tensor: Tensor) -> tuple[int, ...]:
    """Return the dimensions that a user's data change: all but channels and the sides of matrices."""
    if tensor.ndim == 5:  # features (B T C H W)
        return (0, 1, 3, 4)
    if tensor.ndim == 4:  # images (B C H W)
        return (0, 2, 3)
    if tensor.ndim == 3 and tensor.shape[-2:] == (3, 3):
        return (0,)
    if tensor.ndim == 3 and tensor.dtype == torch.bool:  # masks of cells (B h w)
        return (0, 1, 2)
    if tensor.ndim == 3 and tensor.shape[-1] <= 4:  # points (B N 2)
        return (0, 1)
    return (0,) if tensor.ndim else ()


def _ramp(tensor: Tensor) -> Tensor:
    return torch.linspace(0.5, 1.5, tensor.numel(), dtype=tensor.dtype).view(tensor.shape)


def _other(tensor: Tensor) -> Tensor:
    """Return other values of the same kind: the items of the batch in reverse."""
    return tensor.flip(0) if tensor.ndim else tensor.clone()


def _in_double(leaf: Any) -> Any:
    if isinstance(leaf, nn.Module):
        return copy.deepcopy(leaf).double()
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def _to_gpu(leaf: Any) -> Any:
    if isinstance(leaf, torch.Generator):
        moved = torch.Generator(GPU)
        moved.set_state(leaf.get_state())
        return moved
    return leaf.to(GPU) if isinstance(leaf, (Tensor, nn.Module)) else leaf


def global_states() -> tuple[bytes, str, Any]:
    numpy = str(np.random.get_state())  # noqa: NPY002  the global state is the question
    return bytes(torch.get_rng_state().numpy().tobytes()), numpy, random.getstate()
