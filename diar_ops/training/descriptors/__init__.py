"""Training of dense descriptors: pairs of views, loss, validation."""
