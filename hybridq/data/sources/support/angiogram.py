"""Synthetic coronary angiogram patches: dark vessel trees on a bright, uneven background, as X-ray angiography shows.

Nothing here is measured on patients. The thickness of contrast agent along the ray darkens the image by the law of
Beer and Lambert, so a narrowing is both thinner and paler, as in a real angiogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

REFERENCE: Final = 64
"""Lengths below are in pixels of a patch of this side; other sizes are scaled."""
STEP: Final = 0.5
"""Distance in pixels between the points of which a vessel is drawn."""


@dataclass(frozen=True)
class Patient:
    """What all patches of one synthetic patient share."""

    radius: float
    """Radius of the main vessel."""
    density: float
    """Attenuation per pixel of contrast agent."""
    brightness: float
    """Intensity of the background, 1 is white."""
    photons: float
    """Mean photon count of a white pixel; fewer are noisier."""
    blur: float
    """Standard deviation of the detector's blur."""
    ribs: float
    """Depth of the shadows of the ribs."""
    rib_angle: float

    @staticmethod
    def draw(rng: Generator) -> Patient:
        return Patient(
            radius=rng.uniform(4.5, 6.5),
            density=rng.uniform(0.08, 0.13),
            brightness=rng.uniform(0.62, 0.85),
            photons=rng.uniform(350, 1200),
            blur=rng.uniform(0.6, 0.95),
            ribs=rng.uniform(0.0, 0.10),
            rib_angle=rng.uniform(-0.5, 0.5),
        )


@dataclass(frozen=True)
class _Vessel:
    """A centre line and its radii."""

    points: Array
    """(K, 2), x and y."""
    radii: Array
    """(K,)"""


def draw_patch(patient: Patient, *, narrowed: bool, size: int, rng: Generator) -> NDArray[np.uint8]:
    """One patch, uint8 (size, size); ``narrowed`` reduces the main vessel's diameter by 50–80 % near the centre."""
    unit = size / REFERENCE
    tree = _tree(patient, narrowed, rng)
    thickness = _thickness(tree, size, unit)
    behind = _thickness(_small_vessels(rng), size, unit)
    attenuation = patient.density * (thickness + gaussian_filter(behind, 1.2 * unit)) / unit
    clear = _background(patient, size, rng)
    if rng.random() < 0.2:
        clear = clear * np.exp(-0.05 * _thickness([_catheter(rng)], size, unit) / unit)
    exposed = gaussian_filter(clear * np.exp(-attenuation), patient.blur * unit, mode="nearest")
    counted = rng.poisson(np.clip(exposed, 0, None) * patient.photons) / patient.photons
    # The detector's own spread makes neighbouring noise alike.
    seen = gaussian_filter(counted, 0.45, mode="nearest")
    return np.clip(np.rint(255 * seen), 0, 255).astype(np.uint8)


def _tree(patient: Patient, narrowed: bool, rng: Generator) -> list[_Vessel]:
    centre = REFERENCE / 2 + rng.uniform(-3, 3, 2)
    # Down the patch, more or less, as the left anterior descending artery runs in most views.
    heading = np.pi / 2 + rng.uniform(-0.7, 0.7)
    along = np.arange(-0.8 * REFERENCE, 0.8 * REFERENCE, STEP)
    bend = rng.uniform(-0.010, 0.010) * along**2 + rng.uniform(-0.0001, 0.0001) * along**3
    wave = rng.uniform(0, 1.2) * np.sin(along / rng.uniform(6, 14) + rng.uniform(0, 2 * np.pi))
    radii = patient.radius * rng.uniform(0.9, 1.1) * (1 - rng.uniform(0.0, 0.004) * along)
    radii *= 1 + rng.uniform(0, 0.05) * np.sin(along / rng.uniform(4, 10) + rng.uniform(0, 2 * np.pi))
    main = _Vessel(_curve(centre, heading, along, bend + wave), radii)

    branches = []
    for _ in range(rng.integers(0, 3)):
        branches += _branch(main, rng)
    if narrowed:
        reduction, at, length = rng.uniform(0.5, 0.8), rng.uniform(-4, 4), rng.uniform(4.0, 6.5)
        radii = radii * (1 - reduction * np.exp(-0.5 * ((along - at) / length) ** 2))
    return [_Vessel(main.points, radii), *branches]


def _branch(parent: _Vessel, rng: Generator) -> list[_Vessel]:
    """A side branch, with a branch of its own now and then."""
    origin = int(rng.uniform(0.1, 0.9) * len(parent.points))
    step = parent.points[min(origin + 1, len(parent.points) - 1)] - parent.points[origin - 1]
    heading = np.arctan2(step[1], step[0]) + rng.choice([-1, 1]) * rng.uniform(0.45, 1.2)
    along = np.arange(0, rng.uniform(18, 60), STEP)
    bend = rng.uniform(-0.012, 0.012) * along**2
    taper = 1 - rng.uniform(0.4, 0.75) * along / along[-1]
    radii = rng.uniform(0.25, 0.5) * parent.radii[origin] * taper
    branch = _Vessel(_curve(parent.points[origin], heading, along, bend), radii)
    return [branch, *_branch(branch, rng)] if rng.random() < 0.25 else [branch]


def _small_vessels(rng: Generator) -> list[_Vessel]:
    """Thin vessels at another depth, out of focus."""
    vessels = []
    for _ in range(rng.integers(0, 4)):
        along = np.arange(-REFERENCE, REFERENCE, STEP)
        bend = rng.uniform(-0.01, 0.01) * along**2
        points = _curve(rng.uniform(0, REFERENCE, 2), rng.uniform(0, 2 * np.pi), along, bend)
        vessels.append(_Vessel(points, np.full(len(along), rng.uniform(0.5, 1.1))))
    return vessels


def _catheter(rng: Generator) -> _Vessel:
    along = np.arange(-REFERENCE, REFERENCE, STEP)
    bend = rng.uniform(-0.004, 0.004) * along**2
    side = rng.choice([rng.uniform(2, 14), rng.uniform(50, 62)])
    points = _curve(np.array([side, REFERENCE / 2]), np.pi / 2 + rng.uniform(-0.4, 0.4), along, bend)
    return _Vessel(points, np.full(len(along), rng.uniform(1.6, 2.2)))


def _curve(origin: Array, heading: float, along: Array, aside: Array) -> Array:
    """Points (K, 2) at ``along`` the heading and ``aside`` of it."""
    ahead = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-ahead[1], ahead[0]])
    points: Array = origin + along[:, None] * ahead + aside[:, None] * across
    return points


def _dense(vessel: _Vessel, unit: float) -> tuple[Array, Array]:
    """Points and radii in pixels of the patch, at most half a pixel apart."""
    known = np.arange(len(vessel.points))
    wanted = np.linspace(0, len(known) - 1, (len(known) - 1) * int(np.ceil(unit)) + 1)
    x, y, radii = (np.interp(wanted, known, values) for values in (*vessel.points.T, vessel.radii))
    return np.column_stack([x, y]) * unit, radii * unit


def _thickness(vessels: list[_Vessel], size: int, unit: float) -> Array:
    """Length of the ray within the vessels at every pixel, (size, size); joined vessels do not add up."""
    half = np.zeros((size, size))
    for vessel in vessels:
        points, radii = _dense(vessel, unit)
        reach = int(np.ceil(radii.max())) + 1
        inside = ((points > -reach) & (points < size + reach)).all(axis=1)
        points, radii = points[inside], radii[inside]
        window = np.arange(-reach, reach + 1)
        columns = np.floor(points[:, 0]).astype(int)[:, None] + window
        rows = np.floor(points[:, 1]).astype(int)[:, None] + window
        aside = (columns + 0.5 - points[:, :1])[:, None, :] ** 2 + (rows + 0.5 - points[:, 1:])[:, :, None] ** 2
        chord = np.sqrt(np.maximum(radii[:, None, None] ** 2 - aside, 0))
        valid = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
        valid &= chord > 0
        place = rows[:, :, None] * size + columns[:, None, :]
        np.maximum.at(half.reshape(-1), place[valid], chord[valid])
    return 2 * half


def _background(patient: Patient, size: int, rng: Generator) -> Array:
    """Transmitted intensity without contrast agent, (size, size): smooth tissue and the shadows of ribs."""
    axis = np.linspace(-1, 1, size)
    x, y = np.meshgrid(axis, axis)
    tissue = gaussian_filter(rng.standard_normal((size, size)), size / 8, mode="reflect")
    tissue *= rng.uniform(0.02, 0.06) / tissue.std()
    slope = rng.uniform(-0.08, 0.08) * x + rng.uniform(-0.08, 0.08) * y
    down = y * np.cos(patient.rib_angle) + x * np.sin(patient.rib_angle) + rng.uniform(0.05, 0.3) * x**2
    rib = 1 / (1 + np.exp(-12 * (np.sin(rng.uniform(2.0, 3.5) * down + rng.uniform(0, 2 * np.pi)) - 0.3)))
    shadow = patient.ribs * rib
    return patient.brightness * rng.uniform(0.93, 1.07) * (1 + slope + tissue - shadow)
