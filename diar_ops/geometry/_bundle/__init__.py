"""The parts of :func:`bundle_adjust_homographies`.

``adjust``: ``prepare`` the matches; minimise by ``levenberg`` the ``sampson`` distances of points
by their ``projection``, with the reach from the ``scale`` of the residuals; judge by the
``covariance``; start again without the frames that failed.
"""
