"""The parts of :func:`bundle_adjust_homographies`.

``adjust``: ``prepare`` the matches; minimise by ``levenberg`` the ``sampson`` distances of points
by their ``projection``, with the reach that the ``scale`` of the residuals tells; judge by the
``covariance``; start again without the frames that failed.
"""
