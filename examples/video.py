"""Translate a video into another with its sound and time stamps, and save a picture of every tenth second on the way.

python examples/video.py examples/flat2three/flat2three-AtoB-fp16.onnx clip.mp4 translated.mp4
"""

import sys

import cv2

import cyclegan_edge

artefact, source, sink = sys.argv[1:]
with cyclegan_edge.load(artefact) as translator, translator.stream(source, sink=sink, smooth="flow") as frames:
    due = 0
    for frame in frames:
        if frame.time is not None and frame.time >= due:
            cv2.imwrite(f"{sink}.{due:04d}.png", frame.pixels[..., ::-1])
            due += 10
    print(f"{frames.stats.frames} frames in {frames.stats.seconds:.1f} seconds")
