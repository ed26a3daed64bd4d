"""The steps of :func:`align_sequence`, each a function of plain tensors and NamedTuples."""
