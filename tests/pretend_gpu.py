"""A GPU that is not there: tensors that say ``gpu:0`` and are computed on the CPU.

Values and control flow are true, unlike those of fake tensors, so that a whole pipeline runs and
its result can be compared with the CPU's. What a real device would refuse is refused (tensors of
both devices in one call, generators of the wrong device, operators of the library itself that are
for the CPU only, ``.numpy()``), and what costs time there is counted.

    with pretend_gpu() as work:
        result = op(points.to(GPU))
        print(work, work.waits, result.cpu())
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class _Backend:
    """What torch asks a backend's module for."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        # torch.manual_seed seeds every device; tests may do so, ops never.
        in_mode = any(isinstance(mode, _Dispatch) for mode in _get_current_dispatch_mode_stack())
        assert not in_mode, "the global generator of the device was seeded"

    def get_rng_state(self, device: torch.device) -> torch.Tensor:
        return torch.empty(0)

    def set_rng_state(self, state: torch.Tensor, device: torch.device) -> None:
        """Do nothing: torch.random.fork_rng keeps and restores what every device has."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


_setup_privateuseone_for_python_backend(rename="gpu", backend_module=_Backend())

GPU = torch.device("gpu:0")

#: Operators that wait for the device: the host needs a value, or a size that hangs on values, or
#: looks whether a solver converged. Indexing by masks waits as well.
_WAITING = {
    "_linalg_check_errors",
    "_linalg_svd",
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "linalg_lstsq",
    "masked_select",
    "multinomial",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
#: Operators without a kernel that are no views.
_METADATA = {"_unsafe_view", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty", "new_empty_strided"}
#: Operators beside the pointwise ones that take a number on the CPU among tensors of the device.
_TAKE_NUMBERS = {"fill", "fill_", "index_fill", "index_put", "index_put_", "masked_fill", "masked_fill_"}
_INDEXING = {"index", "index_put", "index_put_"}


class Work:
    """What a device was asked to do: kernels by operator; waits, copies from the host by calling line."""

    def __init__(self) -> None:
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()

    def clear(self) -> None:
        for counter in (self.kernels, self.waits, self.copies):
            counter.clear()

    def __repr__(self) -> str:
        return f"{self.kernels.total()} kernels, {self.waits.total()} waits, {self.copies.total()} copies"


class PretendTensor(Tensor):
    """A tensor on the CPU that says it is on a GPU. Only :func:`pretend_gpu` opens it."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> PretendTensor:
        wrapper = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
        )
        wrapper.inner = inner
        return wrapper

    def __repr__(self) -> str:
        return f"PretendTensor({self.inner!r})"

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert gpu:0 device type tensor to numpy. Use Tensor.cpu() first")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __array__(self, dtype: Any = None) -> Any:
        return self.numpy()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} met a tensor of the pretended GPU outside of pretend_gpu")


_Generator = torch.Generator


class _GeneratorType(type):
    def __call__(cls, device: Any = "cpu") -> torch.Generator:
        return PretendGenerator() if torch.device(device).type == "gpu" else _Generator(device)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _Generator)


class _GeneratorOfDevice(metaclass=_GeneratorType):
    """What stands for ``torch.Generator``, which does not know the device."""


class PretendGenerator(_Generator):
    """A generator on the CPU, with its numbers, that says it is on a GPU."""

    device = GPU
    #: Addresses of all of them: an operator is given the generator in a new Python object.
    addresses: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        self.addresses.add(self._cdata)

    def __del__(self) -> None:
        self.addresses.discard(self._cdata)


@contextmanager
def pretend_gpu() -> Iterator[Work]:
    """Make ``device="gpu:0"`` work without a GPU; yield the :class:`Work` that it is given."""
    mode = _Dispatch()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=GPU) shows its copy
    try:
        with mock.patch.object(torch, "Generator", _GeneratorOfDevice), mode:
            yield mode.work
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


class _Dispatch(TorchDispatchMode):
    """Runs what is asked of the pretended GPU on the CPU, and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        to_device = on_device = any(isinstance(t, PretendTensor) for t in tensors)
        if func.namespace != "aten":
            return self._composite(func, args, kwargs) if on_device else func(*args, **kwargs)
        if kwargs.get("device") is not None:
            to_device = torch.device(kwargs["device"]).type == "gpu"
            kwargs["device"] = torch.device("cpu") if to_device else kwargs["device"]
        if not (on_device or to_device):
            return func(*args, **kwargs)
        name = func.name().removeprefix("aten::").split(".")[0]
        if name == "copy_":
            to_device, on_device = (isinstance(t, PretendTensor) for t in args[:2])
        _refuse_generators(tree_leaves((args, kwargs)), "gpu" if to_device else "cpu")
        if name in ("copy_", "_to_copy"):
            if on_device != to_device:
                (self.work.waits if on_device else self.work.copies)[f"{_caller()} {name}"] += 1
        else:
            _refuse_mixed(func, name, tensors)
        self._count(func, name, args)
        inner_args, inner_kwargs = tree_map(_open, (args, kwargs))
        result = func(*inner_args, **inner_kwargs)
        if (name.endswith("_") and not name.endswith("__")) or "out" in kwargs:
            return _same_objects(result, tensors)
        return tree_map(lambda leaf: _close(leaf) if to_device else leaf, result)

    def _composite(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator of the library itself: its kernel for the GPU, or the one for all devices."""
        for key in ("PrivateUse1", "CompositeExplicitAutograd", "CompositeImplicitAutograd"):
            if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key):
                with self:
                    return func._op_dk(getattr(torch._C.DispatchKey, key), *args, **kwargs)
        raise NotImplementedError(f"{func.name()} has no implementation for the GPU")

    def _count(self, func: Any, name: str, args: Any) -> None:
        if func.is_view or name in _METADATA:
            return
        self.work.kernels[name] += 1
        waits = copies = 0
        if name in _INDEXING:
            indices = [i for i in args[1] if i is not None]
            masks = sum(i.dtype == torch.bool for i in indices)
            filled = name != "index" and masks == len(indices) == 1 and args[2].numel() == 1
            waits = 0 if filled else masks
            copies = sum(not isinstance(i, PretendTensor) for i in indices)
        elif name == "repeat_interleave":
            waits = len(args) < 2 or args[1] is None  # without the size of the output
        else:
            waits = name in _WAITING
        if waits:
            self.work.waits[f"{_caller()} {name}"] += waits
        if copies:
            self.work.copies[f"{_caller()} {name}"] += copies


def _refuse_generators(leaves: list[Any], kind: str) -> None:
    for leaf in leaves:
        if isinstance(leaf, _Generator):
            given = "gpu" if leaf._cdata in PretendGenerator.addresses else "cpu"
            if given != kind:
                raise RuntimeError(f"Expected a '{kind}' device type for generator but found '{given}' ({_caller()})")


def _refuse_mixed(func: Any, name: str, tensors: list[Tensor]) -> None:
    numbers_allowed = torch.Tag.pointwise in func.tags or name in _TAKE_NUMBERS
    for i, tensor in enumerate(tensors):
        number = tensor.dim() == 0 and numbers_allowed
        index = i > 0 and name in _INDEXING and not tensor.is_floating_point()
        if not (isinstance(tensor, PretendTensor) or number or index):
            raise RuntimeError(f"Expected all tensors on one device, but {func} found gpu:0 and cpu ({_caller()})")


def _same_objects(result: Any, tensors: list[Tensor]) -> Any:
    """Give back the wrappers of what was written in place."""
    for tensor in tensors:
        if isinstance(tensor, PretendTensor):
            assert tensor.shape == tensor.inner.shape, "changed in shape in place: not pretended"
    wrappers = {id(_open(t)): t for t in tensors}
    return tree_map(lambda leaf: wrappers.get(id(leaf), leaf), result)


def _open(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, PretendTensor) else leaf


def _close(leaf: Any) -> Any:
    return PretendTensor(leaf) if isinstance(leaf, Tensor) else leaf


def _caller() -> str:
    """Return file and line of the library that asked."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if "/diar_ops/" in path and "site-packages" not in path:
            return f"{path.rsplit('/diar_ops/', 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
