"""The parts of :func:`refine_homography`.

``pyramid``: images of all levels -> ``gauss_newton``: steps on one level, from sums over
``blocks`` -> ``judge``: is the result better than the initial estimate, and how exact is it?
"""
