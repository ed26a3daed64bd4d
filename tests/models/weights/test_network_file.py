"""A file that is damaged, of another version or not what it says is refused in one sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from diar_ops import WeightsError, load_pretrained
from tests.models.weights.files import CONFIGS, header, rewrite


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files(share: float, saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"net\.safetensors is damaged or no weights file"):
        load_pretrained(saved)


def test_a_header_that_lies_about_its_length(saved: Path) -> None:
    saved.write_bytes(struct.pack("<Q", 2**62) + saved.read_bytes()[8:])
    with pytest.raises(WeightsError, match=r"net\.safetensors is damaged or no weights file"):
        load_pretrained(saved)


def test_wrong_keys_and_shapes_are_named(saved: Path) -> None:
    state = load_file(saved)
    del state["decoder.head.bias"]
    state["extra.weight"] = torch.zeros(2)
    state["encoder.stem.bias"] = torch.zeros(5)
    state["encoder.stem.weight"] = state["encoder.stem.weight"].long()
    rewrite(saved, state)
    with pytest.raises(WeightsError) as error:
        load_pretrained(saved)
    for part in (
        str(saved),
        "the DIAR of its own config",
        "missing decoder.head.bias",
        "unexpected extra.weight",
        "encoder.stem.bias [5] instead of [4]",
        "encoder.stem.weight torch.int64 instead of torch.float32",
        "get the file anew",
    ):
        assert part in str(error.value)


CONFIG = "expected the config in .* to"
BAD_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown architecture": (
        {"architecture": "Mamba", "library_version": "9.1"},
        r"one of \['DeepResidualSets', .*, got 'Mamba'; update .* \(diar_ops 9\.1\)",
    ),
    "no architecture": ({"architecture": None}, "got ''"),
    "newer format": (
        {"format_version": "2", "library_version": "3.0"},
        r"is of format 2 \(written by diar_ops 3\.0\), .* up to 1; update diar_ops",
    ),
    "huge format": ({"format_version": "9" * 5000}, "is of format 999999999 .*; update diar_ops"),
    "format of another kind": ({"format_version": "one"}, "is damaged .* 'one'"),
    "negative format": ({"format_version": "-1"}, "is damaged .* '-1'"),
    "no config": ({"config": None}, "the config in .* is no JSON; get the file anew"),
    "no JSON": ({"config": "{channels: 3}"}, "the config in .* is no JSON; get the file anew"),
    "deep JSON": ({"config": "[" * 100_000}, "the config in .* is no JSON; get the file anew"),
    "a list": ({"config": "[1, 2]"}, f"{CONFIG} be a JSON object, got list"),
    "unknown field": (
        {"config": '{"depth": 1, "experts": 8}'},
        rf"{CONFIG} have fields among \['channels', .*, got \['experts'\]; update diar_ops",
    ),
    "invalid field": (
        {"config": '{"heads": 7}'},
        r"is not valid \(DIARConfig: expected heads that divide 64 channels, got 7\); get the",
    ),
    "invalid kind": ({"config": '{"channels": {"a": 1}}'}, "is not valid .*1 to 6 positive"),
    "no number": ({"config": '{"mlp_ratio": NaN}'}, "is not valid .*positive mlp_ratio"),
    "other sizes": ({"config": '{"channels": [8, 8, 8]}'}, "do not fit the DIAR of its own config"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers(case: str, saved: Path) -> None:
    words, message = BAD_HEADERS[case]
    rewrite(saved, **words)
    with pytest.raises(WeightsError, match=message) as error:
        load_pretrained(saved)
    assert str(saved) in str(error.value)


HUGE: dict[str, tuple[str, dict[str, Any]]] = {
    "channels": ("DIAR", {"channels": [2**40] * 3, "heads": 1}),
    "channels within bounds": ("DIAR", {"channels": [2**14] * 6, "blocks": [64] * 6, "decoder_blocks": [64] * 6}),
    "many stages": ("DIAR", {"channels": [4] * 10**6}),
    "blocks": ("DIAR", {"channels": [4], "blocks": [10**7], "decoder_blocks": [0]}),
    "decoder_blocks": ("DeepResidualSets", {"channels": [4], "blocks": [0], "decoder_blocks": [10**30]}),
    "depth": ("DIAR", {"depth": 10**7}),
    "heads": ("DIAR", {"heads": 10**30}),
    "mlp_ratio": ("DIAR", {"mlp_ratio": 1e30}),
    "integer mlp_ratio": ("DIAR", {"mlp_ratio": 10**30}),
    "window": ("DIAR", {"window": [10**9, 4, 4], "temporal_bias": True}),
    "whole_channels": ("FaithfulDIAR", {"whole_channels": 4 * 10**9}),
    "whole_blocks": ("FaithfulDIAR", {"whole_blocks": 10**7}),
    "common_channels": ("FaithfulDIAR", {"common_channels": 10**12}),
    "context_channels": ("FaithfulDIAR", {"context_channels": 10**12}),
    "faithful blocks": ("FaithfulDIAR", {"blocks": 10**7}),
    "faithful window": ("FaithfulDIAR", {"window": [None, 10**6, 10**6]}),
    "widths": ("DualDescriptor", {"widths": [10**9] * 4}),
    "dual blocks": ("DualDescriptor", {"blocks": [10**7] * 3}),
    "coarse": ("DualDescriptor", {"coarse": 10**12}),
    "fine": ("DualDescriptor", {"fine": 10**12}),
    "fine_width": ("DualDescriptor", {"fine_width": 10**12}),
}


@pytest.mark.parametrize("case", HUGE)
def test_configs_without_measure_build_nothing(case: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number has a bound; within it the config is compared with the file before memory is taken."""
    name, config = HUGE[case]
    made, real = [], nn.Module.__init__

    def count(module: nn.Module, *args: Any, **kwargs: Any) -> None:
        made.append(module)
        real(module, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__init__", count)
    rewrite(saved, architecture=name, config=json.dumps(config))
    with pytest.raises(WeightsError, match=r"is not valid .*; get the file|do not fit the DIAR of its own config"):
        load_pretrained(saved)
    assert len(made) < 5000
    assert not any(p.device.type != "meta" for m in made for p in m.parameters())


def test_fields_of_later_versions_have_defaults(saved: Path) -> None:
    """A file that was written before an option existed means what the option is by default."""
    config = json.loads(header(saved)["diar_ops.config"])
    del config["temporal_bias"]
    rewrite(saved, config=json.dumps(config))
    assert load_pretrained(saved).config == CONFIGS["DIAR"]


def test_a_file_without_header_is_taken_for_a_trunk(saved: Path) -> None:
    save_file(load_file(saved), saved)
    with pytest.raises(WeightsError, match="to hold the trunk of one of"):
        load_pretrained(saved)
