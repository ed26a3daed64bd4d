"""Training of networks that restore pictures."""
