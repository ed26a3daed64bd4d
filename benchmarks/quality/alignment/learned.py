"""Learned matchers that kornia builds, with weights from local files; nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.quality.alignment.pairwise import Matcher, Points
from diar_ops._errors import WeightsError

#: Keypoints of DISK per frame.
DISK_POINTS = 2048


def has_kornia() -> bool:
    """Return whether kornia is installed."""
    return find_spec("kornia") is not None


def loftr_matcher(path: Path) -> Matcher:
    """Return LoFTR with the weights of a file, such as ``loftr_outdoor.ckpt``.

    Raises:
        WeightsError: The file holds no weights of it.
    """
    from kornia.feature import LoFTR

    network = _load(LoFTR(pretrained=None), path, "LoFTR", _strip_prefix)

    def describe(frame: Tensor) -> Tensor:
        return frame[None].mean(dim=1, keepdim=True)

    def match(image_i: Tensor, image_j: Tensor) -> tuple[Points, Points]:
        with torch.no_grad():
            matches = network({"image0": image_i, "image1": image_j})
        # Its pixel centres are at halves.
        return _points(matches["keypoints0"] - 0.5), _points(matches["keypoints1"] - 0.5)

    return Matcher(describe, match)


def disk_lightglue_matcher(disk_path: Path, lightglue_path: Path) -> Matcher:
    """Return DISK's keypoints matched by LightGlue, each with the weights of a file.

    Raises:
        WeightsError: A file does not hold the weights of its network.
    """
    from kornia.feature import DISK, LightGlue

    disk = _load(DISK(), disk_path, "DISK")
    # Without a name of features it downloads nothing.
    blank = LightGlue(features=None, input_dim=128, weights=None)  # type: ignore[arg-type]
    lightglue = _load(blank, lightglue_path, "LightGlue", _rename_lightglue)

    def describe(frame: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            (features,) = disk(frame[None], n=DISK_POINTS, pad_if_not_divisible=True)
        return {
            "keypoints": features.keypoints[None].float(),
            "descriptors": features.descriptors[None],
            "image_size": torch.tensor([[frame.shape[-1], frame.shape[-2]]]),
        }

    def match(first: dict[str, Tensor], second: dict[str, Tensor]) -> tuple[Points, Points]:
        with torch.no_grad():
            pairs = lightglue({"image0": first, "image1": second})["matches"][0]
        return (_points(first["keypoints"][0, pairs[:, 0]]), _points(second["keypoints"][0, pairs[:, 1]]))

    return Matcher(describe, match)


def _points(points: Tensor) -> Points:
    return points.detach().numpy().astype(np.float64)


def _load(network: nn.Module, path: Path, name: str, rename: Callable[[str], str] = str) -> Any:
    """Return the network in eval mode with the weights of a file, which is never executed."""
    expected = network.state_dict()
    state = {rename(k): v for k, v in _read_state(path, name).items()}
    state = {k: v for k, v in state.items() if k in expected}
    parameters = dict(network.named_parameters())
    missing = [k for k in parameters if k not in state]
    reshaped = [k for k, v in state.items() if v.shape != expected[k].shape]
    if missing or reshaped:
        raise WeightsError(
            f"{path} does not hold the weights of kornia's {name}: of {len(parameters)} parameters "
            f"{len(missing)} are missing and {len(reshaped)} have another shape"
        )
    network.load_state_dict(state, strict=False)
    return network.eval()


def _read_state(path: Path, name: str) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"cannot read the weights of {name} in {path} ({error})") from error
    except Exception as error:  # damaged files fail anywhere in the readers, with any type
        raise WeightsError(f"{path} is damaged or no weights file") from error
    # Checkpoints keep the state dict beside other things, under one of these names.
    for inner in ("state_dict", "extractor"):
        if isinstance(content, Mapping) and isinstance(content.get(inner), Mapping):
            content = content[inner]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds no state dict")
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def _strip_prefix(name: str) -> str:
    return name.removeprefix("matcher.")


def _rename_lightglue(name: str) -> str:
    """Return today's name of a parameter: published files have those of an older layout."""
    pattern = r"^(self_attn|cross_attn)\.(\d+)"
    return re.sub(pattern, r"transformers.\2.\1", _strip_prefix(name))
