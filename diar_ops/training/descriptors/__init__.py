"""Training of dense descriptors: pairs of photos, losses, validation."""
