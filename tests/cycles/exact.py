"""Renders without light and things, to measure whether the ground truth is exact.

Run as a script, this renders again what is stored in ``tests/cycles/exact_sequences``:

    python tests/cycles/exact.py PICTURE PICTURE
"""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from diar_ops._files import write_image, write_text_atomic
from diar_ops._pixels import image_to_float
from diar_ops.cycles import RenderSettings
from diar_ops.cycles.exr import read_exr
from diar_ops.cycles.passes import frame_picture
from diar_ops.cycles.sequence import draw_scene
from diar_ops.cycles.texture import prepare_texture
from diar_ops.cycles.worker import BlenderProcess, blender_command
from diar_ops.data import format_document, read_image, sequence_document
from diar_ops.geometry import warp_homography
from diar_ops.scene import scene_homography, scene_to_document

STORED = Path(__file__).resolve().parent / "exact_sequences"
SIZES = {"square": (128, 128), "oblong": (144, 112)}
#: A window's registration counts where its gradients say where it is in every direction.
TEXTURE = 1e-3


def render_exact(picture, folder, settings, index, process):
    """Render the label and all frames of a sequence as if the picture shone by itself."""
    photo = read_image(picture)
    scene = draw_scene(index, settings, photo.size)
    work = folder / "work"
    work.mkdir(parents=True)
    write_image(work / "texture.png", prepare_texture(photo, settings.size))
    job = {
        "document": scene_to_document(scene),
        "texture": str(work / "texture.png"),
        "folder": str(work),
        "samples": 1,
        "label_samples": settings.label_samples,
        "denoise": False,
        "frames": list(range(settings.frames)),
        "label": True,
        "emission": True,
        "seed": 0,
    }
    process.render(job, timeout=120, on_frame=lambda name: None)
    for name in ("label", *map(str, range(settings.frames))):
        file = folder / ("label.png" if name == "label" else f"{int(name):02d}.png")
        write_image(file, frame_picture(read_exr(work / f"{name}.exr")))
    shutil.rmtree(work)
    document = sequence_document(
        scene,
        kind=settings.kind,
        index=index,
        seed=settings.seed,
        masks=(),
        texture={"file": Path(picture).name, "size": list(photo.size)},
        software={"blender": process.blender},
        render={"engine": "Cycles", "emission": True},
        words={
            "note": "The picture shines by itself: no lights, and nothing in the way.",
            "provenance": "Rendered from a scan of a painting in the public domain (scan CC0, Art "
            "Institute of Chicago); free to use, change and share.",
        },
    )
    for frame in document["frames"]:
        frame["lights"] = frame["objects"] = []
    write_text_atomic(folder / "sequence.json", format_document(document))


def registration_errors(label, frame, homography_frame_label):
    """Lay a frame over the label and return how far windows of it are off, (windows, 2) px.

    The label (3, H, W) and the frame (3, h, w) are uint8. Lucas-Kanade, iterated, on those of
    3 x 3 windows that the frame shows whole.
    """
    size = label.shape[-2:]
    back = torch.linalg.inv(homography_frame_label)[None]
    image = image_to_float(frame)[None].double()
    warped, valid = warp_homography(image, back, size=size, mode="bicubic")
    fixed = image_to_float(label).mean(0).numpy()
    moving = warped[0].mean(0).float().numpy()
    gy, gx = np.gradient(fixed)
    margin, errors = 6, []
    height, width = ((side - 2 * margin) // 3 for side in size)
    for top in range(margin, size[0] - margin - height + 1, height):
        for left in range(margin, size[1] - margin - width + 1, width):
            window = np.s_[top : top + height, left : left + width]
            if not bool(valid[0, 0][window].all()):
                continue
            slopes = np.stack((gx[window].ravel(), gy[window].ravel()), axis=1).astype(np.float64)
            normal = slopes.T @ slopes
            if np.linalg.eigvalsh(normal)[0] < TEXTURE * len(slopes) / 10:
                continue
            shift = np.zeros(2)
            for _ in range(20):
                place = np.array([[1, 0, left + shift[0]], [0, 1, top + shift[1]]])
                flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
                seen = cv2.warpAffine(moving, place, (width, height), flags=flags)
                shift += np.linalg.solve(normal, slopes.T @ (fixed[window] - seen).ravel())
            errors.append(shift)
    return np.array(errors).reshape(-1, 2)


def shows_all(index, settings, picture_size):
    """Whether a free camera sees the whole label, so that all windows count."""
    H = scene_homography(draw_scene(index, settings, picture_size))[0, 1]
    height, width = (side - 1.0 for side in settings.size)
    corners = H.new_tensor([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ H.T
    corners = corners[:, :2] / corners[:, 2:]
    return bool(((corners > 1) & (corners < corners.new_tensor([width, height]) - 1)).all())


def main(pictures):
    process = BlenderProcess(blender_command(), "cpu")
    for picture, (name, size) in zip(pictures, SIZES.items(), strict=True):
        folder = STORED / name
        shutil.rmtree(folder, ignore_errors=True)
        settings = RenderSettings(size=size, frames=2, label_samples=256)
        photo = read_image(picture)
        index = next(i for i in range(1000) if shows_all(i, settings, photo.size))
        render_exact(picture, folder, settings, index, process)
    process.close()


if __name__ == "__main__":
    main(sys.argv[1:])
