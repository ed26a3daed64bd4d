"""Private parts of :mod:`diar_ops.pipeline.outline`."""
