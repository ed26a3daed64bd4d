"""The parts of :func:`rpca_aggregate`."""
