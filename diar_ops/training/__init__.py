"""Training: data, loss, loop, checkpoints."""

from diar_ops.training.rendered import RenderedSequences

__all__ = ["RenderedSequences"]
