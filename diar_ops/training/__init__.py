"""Training of networks: one loop, a task for each kind of network, and their data and losses."""

from diar_ops.training.descriptors.config import DescriptorConfig
from diar_ops.training.descriptors.task import DescriptorTask
from diar_ops.training.options import RunConfig
from diar_ops.training.processes import Processes, join_processes
from diar_ops.training.restoration.config import RestorationConfig
from diar_ops.training.restoration.task import RestorationTask
from diar_ops.training.task import Items, Task
from diar_ops.training.trainer import Progress, Trainer

__all__ = [
    "DescriptorConfig",
    "DescriptorTask",
    "Items",
    "Processes",
    "Progress",
    "RestorationConfig",
    "RestorationTask",
    "RunConfig",
    "Task",
    "Trainer",
    "join_processes",
]
