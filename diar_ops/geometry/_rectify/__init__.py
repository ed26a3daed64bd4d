"""Private parts of :mod:`diar_ops.geometry.rectify`."""
