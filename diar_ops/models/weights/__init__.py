"""Weights of networks: files, downloads, what ships with the package."""
