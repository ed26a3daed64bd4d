"""The parts of :func:`sample_planar_scene`."""
