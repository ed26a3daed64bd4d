"""The layout of the page: its parts, and which action each calls."""

from __future__ import annotations

from typing import Any

import gradio as gr

from diar_ops._options import Described, described_options
from diar_ops.app.actions import CORNERS, Actions
from diar_ops.app.corners import corner_editor
from diar_ops.app.session import Sessions
from diar_ops.app.words import CSS, title
from diar_ops.results import CleanOptions

#: Fields of the options that the page sets by other means, or not at all.
_NOT_OFFERED = ("overwrite", "reference")
_SYSTEM = gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")
LOOK = {
    "theme": gr.themes.Default(font=_SYSTEM, font_mono=(gr.themes.Font("ui-monospace"), gr.themes.Font("monospace"))),
    "css": CSS,
}


def build_page(sessions: Sessions, most_photos: int) -> gr.Blocks:
    """Return the page.

    Args:
        sessions: Where each open page has its photos and its run.
        most_photos: More are refused.
    """
    page = gr.Blocks(title="diar-ops", analytics_enabled=False)
    with page:
        gr.Markdown(
            "# Clean pictures from spoiled photos\n"
            "Drop several photos of one painting, poster, page or facade. Glare, shadows and things in front go; "
            "photos that do not fit are left out, with the reason."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                drop = gr.File(label="Photos", file_count="multiple", height=150, elem_id="drop")
                cards = gr.HTML(elem_id="cards", padding=False)
                reference = gr.Dropdown(["auto"], value="auto", label="Seen from", elem_id="reference")
                with gr.Row():
                    clean = gr.Button("Clean", variant="primary", min_width=90, elem_id="clean")
                    stop = gr.Button("Stop", min_width=90, elem_id="stop")
                    clear = gr.Button("Clear", min_width=90, elem_id="clear")
                status = gr.HTML(elem_id="status", padding=False)
                with gr.Accordion("More", open=False, elem_id="more"):
                    options = {known.name: part for known in described_options(CleanOptions) if (part := _part(known))}
                with gr.Accordion("Corners", open=False, elem_id="corners"):
                    editor = corner_editor()
            with gr.Column(scale=3, min_width=320):
                slider = gr.ImageSlider(
                    label="Before and after", type="filepath", interactive=False, max_height=720, elem_id="slider"
                )
                with gr.Row():
                    picture = gr.DownloadButton("Picture", interactive=False, min_width=90, elem_id="picture")
                    report = gr.DownloadButton("Report", interactive=False, min_width=90, elem_id="report")
                    archive = gr.DownloadButton("Archive", interactive=False, min_width=90, elem_id="archive")
        downloads = [picture, report, archive]
        actions = Actions(sessions, most_photos, tuple(options))
        drop.upload(actions.add, drop, [status, cards, reference, drop], api_visibility="private")
        clean.click(
            actions.run,
            [reference, editor, *options.values()],
            [status, cards, slider, *downloads],
            api_visibility="private",
            show_progress="hidden",
        )
        reference.change(actions.show, reference, editor, api_visibility="private")
        editor.input(None, None, options["crop"], js=f"() => {CORNERS!r}", api_visibility="private")
        stop.click(actions.stop, queue=False, api_visibility="private")
        clear.click(
            actions.clear, None, [status, cards, reference, editor, slider, *downloads], api_visibility="private"
        )
        page.unload(actions.close)
    return page


def _part(known: Described) -> gr.components.Component | None:
    """Return the part of the page that sets an option; None for those that the page does not set."""
    if known.name in _NOT_OFFERED:
        return None
    looks: dict[str, Any] = {"label": title(known.name), "info": known.help, "elem_id": known.name}
    if known.name == "crop":
        return gr.Dropdown(["none", "auto", CORNERS], value=known.default, **looks)
    if known.offered:
        return gr.Dropdown(list(known.offered), value=known.default, **looks)
    if known.kind is bool:
        return gr.Checkbox(value=known.default, **looks)
    if known.kind is int:
        return gr.Number(value=known.default, precision=0, **looks)
    return None  # words that could name files of this machine, and its devices
