"""Translate pictures that come from your own code, any iterable of RGB arrays.

python examples/pictures.py examples/flat2three/flat2three-AtoB-fp16.onnx examples/emoji/testA/*.webp
"""

import sys

import cv2

import cyclegan_edge

artefact, *names = sys.argv[1:]
pictures = (cv2.imread(name)[..., ::-1] for name in names)  # read while the engine works
with cyclegan_edge.load(artefact) as translator:
    for name, frame in zip(names, translator.stream(pictures), strict=True):
        change = abs(frame.pixels.astype(int) - frame.original).mean()
        print(f"{name}: {frame.pixels.shape[1]}x{frame.pixels.shape[0]}, mean change {change:.1f} of 255")
