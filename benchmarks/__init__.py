"""Speed and quality measured against peers; not part of the package."""
