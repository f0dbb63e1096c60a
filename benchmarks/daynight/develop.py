"""From linear light to a picture of 8 bits: haze, glare, a tone curve, and the grain of a sensor."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .light import Sky, Time
from .render import Floats, Rendering

Picture = NDArray[np.uint8]

GLARE = ((1.2, 0.05), (4.0, 0.035), (12.0, 0.02))  # of bright light: radius in pixels at 256, share
BRIGHT = 1.0  # radiance above which light glares
BRIGHTEST = 30.0


MEANS = {"day": 0.24, "night": 0.075}  # radiance that is exposed as it is
ADAPTING = 0.55  # share, in stops, of a brighter or darker scene that the exposure makes up for


def meter(rendering: Rendering, sky: Sky, density: float, time: Time) -> float:
    """Return the exposure of a scene from its geometric mean, as a camera sets it: bright by day, dimmer by night."""
    light = _in_haze(rendering, sky, density).mean(axis=-1)
    mean = float(np.exp(np.log(light + 1e-3).mean()))
    return float(np.clip((MEANS[time] / mean) ** ADAPTING, 0.4, 3.0))


def develop(
    rendering: Rendering, sky: Sky, density: float, exposure: float, grain: np.random.Generator | None
) -> Picture:
    """Return uint8 [H, W, 3].

    `density` is the haze's, per metre: what lies at a distance d keeps exp(-density d) of its light, the rest is the
    colour of the haze. The tone curve is that of Narkowicz, "ACES Filmic Tone Mapping Curve" (2015).
    """
    light = exposure * _glaring(_in_haze(rendering, sky, density), density)
    toned = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    toned = np.clip(toned, 0, 1)
    shown = np.where(toned <= 0.0031308, 12.92 * toned, 1.055 * toned ** (1 / 2.4) - 0.055)
    if grain is not None:
        shown = shown + grain.normal(0, 0.006, shown.shape)
    return np.clip(np.round(255 * shown), 0, 255).astype(np.uint8)


def _in_haze(rendering: Rendering, sky: Sky, density: float) -> Floats:
    kept = np.exp(-density * rendering.distance)[..., None]
    return np.asarray(rendering.light * kept + np.array(sky.haze, np.float32) * (1 - kept), np.float32)


def _glaring(light: Floats, density: float) -> Floats:
    """Spread light above BRIGHT around itself, more so in haze."""
    scale = light.shape[0] / 256
    source = np.clip(light - BRIGHT, 0, BRIGHTEST)
    total = light.copy()
    for radius, share in GLARE:
        spread = cv2.GaussianBlur(source, (0, 0), radius * scale, borderType=cv2.BORDER_CONSTANT)
        total += share * (1 + 60 * density) * np.asarray(spread, np.float32)
    return total
