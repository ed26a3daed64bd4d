"""The base of the modules that store the options of an op and call its function."""

from __future__ import annotations

import inspect

from torch import nn


class OpModule(nn.Module):
    """A module whose attributes are the arguments of its constructor, which its repr shows."""

    def extra_repr(self) -> str:
        """Return the options as ``name=value``, arguments by position before them."""
        parts = []
        for parameter in inspect.signature(type(self)).parameters.values():
            value = getattr(self, parameter.name)
            if parameter.kind is parameter.KEYWORD_ONLY:
                parts.append(f"{parameter.name}={value}")
            elif not isinstance(value, nn.Module):
                parts.append(str(value))
        return ", ".join(parts)
