"""The parts of :func:`refine_grid`.

It shares the pyramids, the comparison and the blocks of :func:`refine_homography`.
"""
