"""The parts of :func:`procedural_texture`: its kinds, and what they are drawn with."""
