"""The parts of :func:`intrinsic_aggregate`."""
