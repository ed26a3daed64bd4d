"""The parts of :func:`render_planar_scene`."""
