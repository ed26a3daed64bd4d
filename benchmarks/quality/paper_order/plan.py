"""What is trained, and on what it is scored, as docs/paper_order.md fixes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.quality.paper_order.rendered_sets import RenderedSet
from diar_ops.scene import SceneRanges
from diar_ops.training import RestorationConfig

STEPS = 4000
SEEDS = (0, 1, 2)

#: In every frame three large things cover a part of the picture, and two more shade it.
CROWDED = SceneRanges(object_count=(0, 0, 0, 1), caster_count=(0, 0, 1), object_size=(0.35, 0.7))
#: The sets that the torch renderer makes, beside those of Cycles.
TORCH_SETS = (
    RenderedSet("order-val", 3, 10, 128),
    RenderedSet("order-crowded", 3, 10, 128, CROWDED),
    RenderedSet("order-val-50", 1, 50, 128),
)

#: Class and options of each network. One more block of the encoder gives Deep Residual Sets as many
#: parameters as attention has (216,043 and 219,299, 1.5 % more).
NETWORKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "softmax-2": ("DIAR", ("window=(2,4,4)",)),
    "softmax-5": ("DIAR", ("window=(5,4,4)",)),
    "softmax-all": ("DIAR", ("window=(None,4,4)",)),
    "embedded-mean": ("DIAR", ("window=(None,4,4)", "aggregation=embedded_mean")),
    "deep-residual-sets": ("DeepResidualSets", ("blocks=(0,1,3)",)),
}
CHANNELS = "channels=(16,32,48)"


def training_options(
    network: str, seed: int, *, textures: Path | None, pool: Path | None, steps: int = STEPS
) -> RestorationConfig:
    """Return every option of a run; but for the network they are the same for all of a seed.

    Args:
        network: One of :data:`NETWORKS`.
        seed: Of the weights and of the items.
        textures: Folder of paintings to train on; ``None``: drawn pictures alone.
        pool: Where rendered sequences are kept.
        steps: Length of the run.
    """
    name, options = NETWORKS[network]
    return RestorationConfig(
        network=name,
        options=(CHANNELS, *options),
        textures=() if textures is None else (str(textures),),
        procedural=0.35 if textures is not None else None,
        pool=None if pool is None else str(pool),
        pool_seed=19,
        # Held-out sequences of the first size are those of the learning curves.
        sizes=(128, 64),
        sequences=(1500, 2500),
        size_shares=(0.5, 0.5),
        held_out=0.02,
        validate=24,
        validate_every=500,
        frames=(2, 10),
        crops=(48,),
        whole=8,  # none of these networks sees the small copies
        bare=0,
        plain=0.85,
        exact=0.5,
        jitter=2.0,
        batch=8,
        lr=1e-3,
        warmup=200,
        clip=5.0,
        ema=0.998,
        steps=steps,
        checkpoint_minutes=3.0,
        seed=seed,
        threads=1,
    )
