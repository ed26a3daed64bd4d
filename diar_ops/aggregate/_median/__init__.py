"""The parts of :func:`median_aggregate`."""
