"""Translate a camera in a window of your own; q ends it.

python examples/webcam.py examples/flat2three/flat2three-small-AtoB-fp16.onnx 0
"""

import sys

import cv2

import cyclegan_edge

artefact, camera = sys.argv[1:]
with cyclegan_edge.load(artefact, live=True) as translator, translator.stream(camera) as frames:
    for frame in frames:  # always the newest: what came in the meantime is dropped and counted
        cv2.imshow("translated", frame.pixels[..., ::-1])  # OpenCV shows BGR
        if cv2.waitKey(1) == ord("q"):
            break
    print(f"{frames.stats.fps:.1f} frames a second, dropped {frames.stats.dropped.total()}")
