"""Render data sets: many sequences, each in a Blender process, resumable after any kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from diar_ops._checks import check_option
from diar_ops._errors import OutputError, RenderError
from diar_ops._files import write_text_atomic
from diar_ops._folders import locked_folder, remove_stale_folders
from diar_ops._version import __version__
from diar_ops.cycles._renderer import RenderJob, render_sequences, sequence_name
from diar_ops.cycles.settings import DATASET, RenderSettings, check_same_dataset
from diar_ops.cycles.texture import TextureChoice
from diar_ops.cycles.worker import BlenderProcess, blender_command
from diar_ops.data.photos import list_images
from diar_ops.data.sequence_writer import DOCUMENT, format_document
from diar_ops.engines import Engine, LocalEngine, WorkerCrash


@dataclass(frozen=True)
class RenderedSet:
    """The outcome of :func:`render_dataset`.

    Attributes:
        finished: Indices of the sequences rendered now.
        already: How many had been there before.
        failed: For each index that could not be rendered, why.
    """

    finished: list[int]
    already: int
    failed: dict[int, str]


def render_dataset(
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    settings: RenderSettings,
    *,
    engine: Engine | None = None,
    blender: str | PathLike[str] | None = None,
    retries: int = 2,
    timeout: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> RenderedSet:
    """Render spoiled sequences of pictures with Blender Cycles, with exact ground truth.

    A sequence appears in ``out`` only when it is complete. Run again with the same settings, it
    goes on where it was stopped or killed; the result does not depend on that, nor on the
    ``engine``. More ``sequences`` enlarge a set.

    Args:
        images: Pictures, or folders of them, as :func:`list_images` takes them.
        out: Folder of the data set.
        settings: What to render.
        engine: Where to render, one Blender process for each worker; None for one after another.
        blender: As :func:`blender_command` takes it.
        retries: How often a sequence is tried again after Blender crashed or hung.
        timeout: Seconds in which a frame must be done; by default a hundred times what it
            should take.
        progress: Called with (frames done, frames in all), those of earlier runs included.
        note: Called with a sentence for what went wrong and was got over.

    Returns:
        The :class:`RenderedSet`.

    Raises:
        ImageError: ``images`` has no picture that can be used.
        OptionError: An option is not as stated.
        OutputError: ``out`` holds something else, another run works in it, or it cannot be
            written to.
        RenderError: Blender is missing or cannot work here.
    """
    op, out = "render_dataset", Path(out)
    check_option(op, retries >= 0, "retries >= 0", retries)
    check_option(op, timeout is None or timeout > 0, "timeout above 0", timeout)
    if timeout is None:
        timeout = 300 + 2e-4 * settings.samples * settings.size[0] * settings.size[1]
    files = list_images(images)
    check_option(
        op,
        out.resolve() not in {file.resolve().parent for file in files},
        "another folder for out than that of the pictures",
        str(out),
    )
    choice = TextureChoice(files, settings.seed, settings.kind, settings.size)
    choice.read(0)  # before anything is written: is there a picture to render at all?
    command = blender_command(blender)
    try:
        probe = BlenderProcess(command, settings.device)
    except WorkerCrash as error:
        raise RenderError(f"{command[0]} does not start: {error}") from error
    probe.close()
    software = {"diar_ops": __version__, "blender": probe.blender}
    document = settings.document(files, software)
    with locked_folder(out):
        existing = check_same_dataset(out / DATASET, document)
        if existing is None and any(out.glob(f"[0-9]*/{DOCUMENT}")):
            raise OutputError(f"{out} holds sequences but no {DATASET}; choose another folder")
        remove_stale_folders(out)
        if existing is not None:
            document["sequences"] = max(document["sequences"], int(existing.get("sequences", 0)))
        if existing != document:
            write_text_atomic(out / DATASET, format_document(document), overwrite=True)
        indices = range(settings.sequences)
        todo = [i for i in indices if not (out / sequence_name(i) / DOCUMENT).is_file()]
        job = RenderJob(out, settings, choice, command, timeout)
        finished, failed = render_sequences(
            job, todo, engine or LocalEngine(0), retries=retries, progress=progress, note=note
        )
    return RenderedSet(finished, settings.sequences - len(todo), failed)
