"""Archives: many sequences cleaned by one call, on one machine or many, with a manifest of all."""

from diar_ops.batch.grouping import group_photos
from diar_ops.batch.options import BatchOptions
from diar_ops.batch.record import Record, Verdict
from diar_ops.batch.run import BatchResult, clean_folders

__all__ = ["BatchOptions", "BatchResult", "Record", "Verdict", "clean_folders", "group_photos"]
