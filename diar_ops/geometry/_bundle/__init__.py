"""The parts of :func:`bundle_adjust_homographies`."""
