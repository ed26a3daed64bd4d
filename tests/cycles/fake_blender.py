"""Answers as ``blender_scene.py`` does, without Blender: flat pictures, and faults on demand.

The folder that FAKE_BLENDER names holds the faults as files: ``crash``, ``hang``, ``fail``,
``babble`` and ``cut`` with a number (how many jobs to spoil), ``slow`` with seconds per frame,
``refuse`` with the answer to give instead of "ready". Each process leaves a file ``process-<id>``.
"""

import hashlib
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np


def main():
    faults = Path(os.environ["FAKE_BLENDER"])
    (faults / f"process-{os.getpid()}").touch()
    sys.stdout.write("Blender 4.5.99 (a banner)\n")  # as executables do, not the Python package
    device = json.loads(sys.stdin.readline())["device"]
    if (faults / "refuse").exists():
        say(**json.loads((faults / "refuse").read_text()))
        return
    if device != "cpu":
        say(event="failed", kind="device", message=f"Blender finds no {device.upper()} device")
        return
    say(event="ready", blender="4.5.99", device="CPU")
    for line in sys.stdin:
        job = json.loads(line)
        names = [*(["label"] if job["label"] else []), *map(str, job["frames"])]
        for number, name in enumerate(names):
            fault = misbehave(faults) if number == 2 else None
            if (faults / "slow").exists():
                time.sleep(float((faults / "slow").read_text()))
            file = Path(job["folder"]) / f"{name}.exr"
            draw(file, name, job)
            if fault == "cut":
                file.write_bytes(file.read_bytes()[:-100])
            say(event="frame", name=name)
        say(event="done")


def misbehave(faults):
    for fault in ("crash", "hang", "fail", "babble", "cut"):
        file = faults / fault
        left = int(file.read_text()) if file.exists() else 0
        if left == 0:
            continue
        file.write_text(str(left - 1))
        if fault == "crash":
            os.write(2, b"Segmentation fault, says the fake\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang":
            time.sleep(1000)
        if fault == "fail":
            say(event="failed", kind="render", message="RuntimeError: no memory")
        if fault == "babble":
            sys.stdout.write("this is not JSON\n")
            sys.stdout.flush()
        return fault
    return None


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def draw(path, name, job):
    """Write what depends on the job's seed alone, with something in front of the first columns."""
    height, width = job["document"]["size"]
    digest = hashlib.sha256(f"{job['seed']}/{name}".encode()).digest()
    noise = np.random.default_rng(list(digest)).random((height, width), dtype=np.float32)
    # On the texture's account, too: what it holds must reach the worker.
    noise = noise * 0.5 + len(Path(job["texture"]).read_bytes()) % 100 / 200
    passes = {f"Combined.{c}": noise for c in "RGB"}
    covered = np.ones((height, width), np.float32)
    if name != "label":
        covered[:, : width // 4] = 0
        for kind, value in (
            ("DiffCol", 0.5),
            ("DiffDir", 0.4),
            ("DiffInd", 0.1),
            ("GlossCol", 0.04),
            ("GlossDir", 0.1),
            ("GlossInd", 0.0),
        ):
            passes |= {f"{kind}.{c}": np.full((height, width), value, np.float32) for c in "RGB"}
        if "pane" in job["document"]:
            passes |= {f"Emit.{c}": np.full((height, width), 0.2, np.float32) for c in "RGB"}
    write_exr(path, {f"ViewLayer.{k}": v for k, v in (passes | {"UV.A": covered}).items()})


def write_exr(path, channels, kind=1, compression=0):
    """Write uncompressed scan lines; ``kind`` 1 is half, 2 is float."""
    dtype = {1: "<f2", 2: "<f4"}[kind]
    height, width = next(iter(channels.values())).shape
    names = sorted(channels)
    listed = b"".join(n.encode() + b"\0" + struct.pack("<iB3xii", kind, 0, 1, 1) for n in names) + b"\0"
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        ("channels", "chlist", listed),
        ("compression", "compression", bytes([compression])),
        ("dataWindow", "box2i", box),
        ("displayWindow", "box2i", box),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    )
    header = struct.pack("<II", 20000630, 2 | 0x400)
    for name, word, value in attributes:
        header += f"{name}\0{word}\0".encode() + struct.pack("<I", len(value)) + value
    header += b"\0"
    lines = np.stack([channels[name] for name in names], axis=1).astype(dtype)
    block = lines[0].nbytes
    start = len(header) + 8 * height
    with path.open("wb") as file:
        file.write(header)
        file.write(np.arange(height, dtype="<u8") * (block + 8) + np.uint64(start))
        for y, line in enumerate(lines):
            file.write(struct.pack("<iI", y, block) + line.tobytes())


if __name__ == "__main__":
    main()
