#!/usr/bin/env python3
"""Draws the short film "Two Friends and a Kite", its labels and its cast.

Needs Python 3.11 or newer, Pillow (10.1 or newer) and numpy, and an ffmpeg with
libx264: the one on PATH, or the one that comes with `imageio-ffmpeg`.

    pip install pillow numpy imageio-ffmpeg
    python draw.py                      # everything, next to this file
    python draw.py --stills out 0.5     # only PNG stills, one every 0.5 s

The script draws every figure alone on a transparent tile before it is laid on
the picture, so it knows which pixels belong to whom; `labels.json` is that
truth at one picture per second and `shots.json` the truth of the editing.
Nothing here depends on the clock or on chance: two runs draw the same pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = Path(__file__).resolve().parent
W, H, FPS = 1280, 720, 24
INK = (43, 27, 34)

Point = tuple[float, float]
Colour = tuple[int, int, int]


# --------------------------------------------------------------- small helpers


def rgb(code: str) -> Colour:
    """`"d8352f"` as a colour."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def blend(a: Colour, b: Colour, u: float) -> Colour:
    return tuple(round(x + (y - x) * u) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def clamp(x: float, low: float = 0.0, high: float = 1.0) -> float:
    return max(low, min(high, x))


def ease(u: float) -> float:
    """Slow in, slow out."""
    u = clamp(u)
    return u * u * (3 - 2 * u)


def span(t: float, start: float, end: float) -> float:
    """Where `t` stands between `start` and `end`, from 0 to 1."""
    return clamp((t - start) / (end - start))


def spline(points: Sequence[Point], closed: bool = True, steps: int = 9) -> np.ndarray:
    """A smooth line through the points (Catmull-Rom); a doubled point is a corner."""
    p = np.asarray(points, dtype=float)
    p = np.vstack([p[-1], p, p[0], p[1]]) if closed else np.vstack([p[0], p, p[-1]])
    u = np.linspace(0, 1, steps, endpoint=False)[:, None]
    out = []
    for i in range(1, len(p) - 2):
        a, b, c, d = p[i - 1 : i + 3]
        if np.allclose(b, c):
            continue
        if np.allclose(a, b):
            a = b - (c - b) * 0.2
        if np.allclose(c, d):
            d = c + (c - b) * 0.2
        out.append(
            0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
        )
    if not closed:
        out.append(p[-1:])
    return np.vstack(out)


def oval(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0, steps: int = 36) -> np.ndarray:
    a = np.linspace(0, 2 * math.pi, steps, endpoint=False)
    x, y = rx * np.cos(a), ry * np.sin(a)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return np.stack([cx + x * c - y * s, cy + x * s + y * c], axis=1)


def bones(a: Point, b: Point, l1: float, l2: float, bend: float) -> tuple[Point, Point]:
    """Two bones from `a` towards `b`: the joint between them and the end they reach."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    reach = math.hypot(dx, dy)
    d = clamp(reach, abs(l1 - l2) + 0.01, l1 + l2 - 0.01)
    angle = math.atan2(dy, dx)
    off = math.acos(clamp((l1 * l1 + d * d - l2 * l2) / (2 * l1 * d), -1, 1)) * bend
    mid = a[0] + l1 * math.cos(angle + off), a[1] + l1 * math.sin(angle + off)
    end = a[0] + d * math.cos(angle), a[1] + d * math.sin(angle)
    return mid, end


# ------------------------------------------------------------------------- pen


class Pen:
    """Draws on a picture `ss` times too large; `done` gives it at its true size."""

    def __init__(self, w: int, h: int, ss: int = 2, base: Image.Image | None = None, ink: float = 1.0) -> None:
        self.ss = ss
        self.im = base.resize((w * ss, h * ss)) if base else Image.new("RGBA", (w * ss, h * ss), (0, 0, 0, 0))
        self.d = ImageDraw.Draw(self.im)
        self.m = np.array([[ss, 0, 0], [0, ss, 0], [0, 0, 1]], dtype=float)
        self.stack: list[np.ndarray] = []
        self.ink = ink  # line width in units of the finished picture

    def push(self, dx: float = 0, dy: float = 0, turn: float = 0, sx: float = 1, sy: float = 1) -> None:
        self.stack.append(self.m)
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self.m = self.m @ np.array([[c * sx, -s * sy, dx], [s * sx, c * sy, dy], [0, 0, 1]])

    def pop(self) -> None:
        self.m = self.stack.pop()

    def at(self, points: Any) -> np.ndarray:
        p = np.asarray(points, dtype=float).reshape(-1, 2)
        return p @ self.m[:2, :2].T + self.m[:2, 2]

    def place(self, x: float, y: float) -> Point:
        """Where a point falls on the finished picture."""
        px, py = self.at([(x, y)])[0] / self.ss
        return float(px), float(py)

    def size(self) -> float:
        return math.sqrt(abs(np.linalg.det(self.m[:2, :2])))

    def fill(self, points: Any, colour: Colour) -> None:
        self.d.polygon([tuple(q) for q in self.at(points)], fill=colour)

    def shape(
        self,
        points: Any,
        colour: Colour,
        line: bool = True,
        shade: float = 0.0,
        marks: Iterable[tuple[Any, Colour]] = (),
        weight: float = 1.0,
    ) -> None:
        """A filled outline, with marks cut to it and a shadow of `shade` units low right."""
        q = self.at(points)
        marks = list(marks)
        if shade or marks:
            lo = np.floor(q.min(axis=0)).astype(int) - 1
            hi = np.ceil(q.max(axis=0)).astype(int) + 2
            wh = (int(hi[0] - lo[0]), int(hi[1] - lo[1]))
            patch = Image.new("RGB", wh, colour)
            pd = ImageDraw.Draw(patch)
            for mark, tint in marks:
                pd.polygon([tuple(v) for v in self.at(mark) - lo], fill=tint)
            if shade:
                lit = Image.new("L", wh, 0)
                move = np.array([-0.86, -0.5]) * shade * self.size()
                ImageDraw.Draw(lit).polygon([tuple(v) for v in q + move - lo], fill=255)
                table = [round(i * k) for k in (0.80, 0.76, 0.84) for i in range(256)]
                patch = Image.composite(patch, patch.point(table), lit)
            mask = Image.new("L", wh, 0)
            ImageDraw.Draw(mask).polygon([tuple(v) for v in q - lo], fill=255)
            self.im.paste(patch, (int(lo[0]), int(lo[1])), mask)
        else:
            self.d.polygon([tuple(v) for v in q], fill=colour)
        if line:
            self.trace(q, INK, self.ink * self.ss * weight, closed=True)

    def trace(self, q: np.ndarray, colour: Colour, width: float, closed: bool = False) -> None:
        pts = [tuple(v) for v in q]
        if closed:
            pts += pts[:2]
        w = max(1, round(width))
        self.d.line(pts, fill=colour, width=w, joint="curve")
        if not closed and w > 2:
            for x, y in (pts[0], pts[-1]):
                r = w / 2 - 0.5
                self.d.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def stroke(self, points: Any, colour: Colour, width: float) -> None:
        """A line `width` units wide with round ends."""
        self.trace(self.at(points), colour, width * self.size())

    def line(self, points: Any, weight: float = 1.0, colour: Colour = INK) -> None:
        """A line as wide as the outlines."""
        self.trace(self.at(points), colour, self.ink * self.ss * weight)

    def limb(self, points: Sequence[Point], widths: Sequence[float], colour: Colour, shade: float = 0.0) -> None:
        """A tapering limb through the points, drawn as one outlined shape."""
        p = spline(points, closed=False, steps=10)
        w = np.interp(np.linspace(0, 1, len(p)), np.linspace(0, 1, len(widths)), widths)[:, None] / 2
        t = np.gradient(p, axis=0)
        t /= np.maximum(np.linalg.norm(t, axis=1, keepdims=True), 1e-6)
        n = np.stack([-t[:, 1], t[:, 0]], axis=1)
        a0, a1 = math.atan2(*n[0][::-1]), math.atan2(*n[-1][::-1])
        cap = np.linspace(0, math.pi, 9)
        end = p[-1] + w[-1] * np.stack([np.cos(a1 - cap), np.sin(a1 - cap)], axis=1)
        start = p[0] + w[0] * np.stack([np.cos(a0 + math.pi - cap), np.sin(a0 + math.pi - cap)], axis=1)
        self.shape(np.vstack([p + n * w, end, (p - n * w)[::-1], start]), colour, shade=shade)

    def done(self) -> Image.Image:
        return self.im.reduce(self.ss)


# --------------------------------------------------------------------- figures


@dataclass(frozen=True)
class Look:
    """What does not change about a figure."""

    name: str
    top: str  # "poncho" or "dress"
    main: Colour
    trim: Colour
    accent: Colour
    skin: Colour
    hair: Colour
    fore: Colour  # forearm
    leg: Colour
    boot: Colour
    hat: str = ""
    hat_main: Colour = INK
    hat_trim: Colour = INK
    scarf: Colour | None = None
    braids: bool = False
    blush: Colour = rgb("e58b6e")
    old: bool = False


NILO = Look(
    name="Nilo",
    top="poncho",
    main=rgb("d9342b"),
    trim=rgb("fff0cf"),
    accent=rgb("f08a24"),
    skin=rgb("d99a6c"),
    hair=rgb("3a2420"),
    fore=rgb("f3e6cf"),
    leg=rgb("46425c"),
    boot=rgb("7b4a2c"),
    hat="chullo",
    hat_main=rgb("2b63d1"),
    hat_trim=rgb("f6efe0"),
    blush=rgb("dd7458"),
)
WARA = Look(
    name="Wara",
    top="dress",
    main=rgb("fbc531"),
    trim=rgb("fff3d0"),
    accent=rgb("e8653a"),
    skin=rgb("e3aa7d"),
    hair=rgb("241f2e"),
    fore=rgb("e3aa7d"),
    leg=rgb("f4ead8"),
    boot=rgb("8d3f3c"),
    scarf=rgb("1f9d66"),
    braids=True,
    blush=rgb("ea8a72"),
)
SELLER = Look(
    name="extra",
    top="dress",
    main=rgb("8e4f9e"),
    trim=rgb("f2b6cf"),
    accent=rgb("52306a"),
    skin=rgb("c98c62"),
    hair=rgb("5a5560"),
    fore=rgb("e9b9d0"),
    leg=rgb("6f5a60"),
    boot=rgb("4a3434"),
    hat="bowler",
    hat_main=rgb("5b3f35"),
    hat_trim=rgb("caa27a"),
    scarf=rgb("e58fb4"),
    blush=rgb("c9775a"),
)
ELDER = Look(
    name="extra",
    top="poncho",
    main=rgb("8a8377"),
    trim=rgb("d9d2c2"),
    accent=rgb("5d574d"),
    skin=rgb("c08a63"),
    hair=rgb("e9e6e0"),
    fore=rgb("d9d2c2"),
    leg=rgb("5f5348"),
    boot=rgb("40332c"),
    hat="straw",
    hat_main=rgb("e2cf9f"),
    hat_trim=rgb("7c6a4c"),
    blush=rgb("b87252"),
    old=True,
)


@dataclass(frozen=True)
class Pose:
    """What changes from drawing to drawing; units are hundredths of the figure's height.

    The origin is on the ground between the feet, y grows downwards. In front and
    back views 0 is the limb on the left of the picture, in the side view the far one.
    """

    view: str = "front"
    turn: float = 0.0  # of the face, from -1 to 1
    lean: float = 0.0
    hip: Point = (0.0, 0.0)
    lift: float = 0.0
    foot0: Point = (-5.5, 0.0)
    foot1: Point = (5.5, 0.0)
    toe0: float = 0.0
    toe1: float = 0.0
    hand0: Point = (-16.0, -29.0)
    hand1: Point = (16.0, -29.0)
    over: tuple[bool, bool] = (False, False)  # arm drawn over the clothes
    tilt: float = 0.0
    nod: float = 0.0
    look: Point = (0.0, 0.0)
    blink: bool = False
    mouth: str = "smile"
    brow: float = 0.0
    swing: float = 0.0  # of braids, scarf and tassels
    wind: float = 0.0  # scarf tail blown to the right (left when negative)
    sway: float = 0.0  # of the hem
    legs: bool = True
    fore: float = 1.0  # foreshortening of the legs
    mug: bool = False


def mix(a: Pose, b: Pose, u: float) -> Pose:
    """The drawing between two poses."""
    out: dict[str, Any] = {}
    for f in fields(Pose):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, float):
            out[f.name] = x + (y - x) * u
        elif isinstance(x, tuple) and not isinstance(x[0], bool):
            out[f.name] = tuple(p + (q - p) * u for p, q in zip(x, y, strict=True))
        else:
            out[f.name] = x if u < 0.5 else y
    return Pose(**out)


def keys(t: float, *poses: tuple[float, Pose]) -> Pose:
    """The pose at `t` among timed poses, eased between them."""
    if t <= poses[0][0]:
        return poses[0][1]
    for (t0, a), (t1, b) in zip(poses, poses[1:]):
        if t < t1:
            return mix(a, b, ease((t - t0) / (t1 - t0)))
    return poses[-1][1]


STAND = Pose()
SIDE = Pose(view="side", foot0=(2.0, 0.0), foot1=(-2.0, 0.0), hand0=(3.0, -31.0), hand1=(-2.0, -31.0), over=(False, True))
BACK = Pose(view="back")


def stride(phase: float, reach: float, height: float) -> tuple[Point, float]:
    """Where a foot is in its cycle, and how its toe points."""
    p = phase % 1.0
    if p < 0.5:
        return (reach - 4 * reach * p, 0.0), -10 * (1 - p / 0.12) if p < 0.12 else (30 * span(p, 0.36, 0.5))
    u = (p - 0.5) * 2
    return (-reach * math.cos(math.pi * u), -height * math.sin(math.pi * u) ** 0.9), 34 * (1 - u) - 12 * u


def walk(phase: float, base: Pose = SIDE) -> Pose:
    """One drawing of a walk; a whole cycle moves the figure 40 units on."""
    (f1, t1), (f0, t0) = stride(phase, 10, 5), stride(phase + 0.5, 10, 5)
    a = math.cos(2 * math.pi * phase)
    bob = math.cos(4 * math.pi * phase)
    return replace(
        base,
        foot0=f0,
        foot1=f1,
        toe0=t0,
        toe1=t1,
        hip=(0.0, 1.2 * bob + 0.2),
        lean=3.0,
        hand0=(5 + 9 * a, -31 - 3 * abs(a)),
        hand1=(2 - 9 * a, -31 - 3 * abs(a)),
        swing=0.35 * math.sin(2 * math.pi * phase) - 0.25,
        sway=1.6 * math.sin(2 * math.pi * phase),
        wind=-0.6 + 0.2 * bob,
    )


def run(phase: float, base: Pose = SIDE) -> Pose:
    """One drawing of a run; a whole cycle moves the figure 76 units on."""
    (f1, t1), (f0, t0) = stride(phase, 15, 12), stride(phase + 0.5, 15, 12)
    a = math.cos(2 * math.pi * phase)
    hop = max(0.0, math.sin(4 * math.pi * phase + 0.6))
    return replace(
        base,
        foot0=f0,
        foot1=f1,
        toe0=t0 * 1.3,
        toe1=t1 * 1.3,
        lift=4.5 * hop,
        hip=(0.0, 2.0),
        lean=13.0,
        hand0=(7 + 9 * a, -40 - 6 * a),
        hand1=(5 - 9 * a, -40 + 6 * a),
        swing=-1.1 + 0.4 * math.sin(4 * math.pi * phase),
        sway=2.4 * math.sin(2 * math.pi * phase) - 1.5,
        wind=-1.5 + 0.3 * math.sin(4 * math.pi * phase),
        mouth="open",
    )


SIT_SIDE = replace(SIDE, hip=(0.0, 14.0), foot0=(17.0, 0.0), foot1=(14.0, 0.5), hand0=(12.0, -36.0), hand1=(9.0, -35.0))
SIT_FRONT = replace(STAND, hip=(0.0, 13.0), fore=0.62, foot0=(-7.0, 2.0), foot1=(7.0, 2.0), hand0=(-13.0, -33.0), hand1=(13.0, -33.0))
SIT_BACK = replace(BACK, hip=(0.0, 25.0), legs=False, hand0=(-17.0, -36.0), hand1=(17.0, -36.0))


class Figure:
    """One drawing of one figure."""

    def __init__(self, pen: Pen, look: Look, pose: Pose) -> None:
        self.p, self.k, self.pose = pen, look, pose
        self.side = pose.view == "side"
        self.back = pose.view == "back"
        self.grip: list[Point] = [(0.0, 0.0), (0.0, 0.0)]
        self.knee: list[Point] = [(0.0, -16.0), (0.0, -16.0)]

    # legs ------------------------------------------------------------------

    def leg(self, i: int) -> None:
        p, k, pose = self.p, self.k, self.pose
        foot = (pose.foot0, pose.foot1)[i]
        toe = (pose.toe0, pose.toe1)[i]
        width = 2.0 if self.side else 5.5
        sign = (1 if i == 0 else -1) if self.side else (-1 if i == 0 else 1)
        hip = pose.hip[0] + sign * width, -31 + pose.hip[1]
        bend = -1 if self.side else (0.55 if i == 0 else -0.55)
        c, s = math.cos(math.radians(toe)), math.sin(math.radians(toe))
        ankle = foot[0] + (1.5 * (1 - c) - 5 * s * -0.35), foot[1] - 5
        knee, ankle = bones(hip, ankle, 13.6 * pose.fore, 13.6 * pose.fore, bend)
        self.knee[i] = knee
        tint = blend(k.leg, INK, 0.18) if self.side and i == 0 else k.leg
        p.limb([hip, knee, ankle], [8.4, 7.2, 6.0], tint, shade=1.0)
        boot = blend(k.boot, INK, 0.18) if self.side and i == 0 else k.boot
        p.push(ankle[0], ankle[1], toe if self.side else 0)
        if self.side:
            pts = [(-3.8, -3), (-3.8, -3), (3.6, -3), (3.6, -3), (4.2, 0.4), (8.6, 2), (9.6, 4.6), (9, 5.4), (9, 5.4), (-4.4, 5.4), (-4.4, 5.4)]
            p.shape(spline(pts), boot, shade=1.0)
            p.line([(-4.2, 4.0), (9.2, 4.0)], 0.7)
        else:
            x = -1 if i == 0 else 1
            pts = [(-3.8, -3), (-3.8, -3), (3.8, -3), (3.8, -3), (4.4 + x * 0.7, 1.6), (4.2 + x * 1.3, 5.2), (4.2 + x * 1.3, 5.2), (-4.2 + x * 1.3, 5.2), (-4.2 + x * 1.3, 5.2), (-4.4 + x * 0.7, 1.6)]
            p.shape(spline(pts), boot, shade=1.0)
        p.pop()

    # arms ------------------------------------------------------------------

    def shoulder(self, i: int) -> Point:
        if self.side:
            return (3.0, -54.0) if i == 0 else (-0.5, -53.5)
        return (-10.5, -54.0) if i == 0 else (10.5, -54.0)

    def elbow(self, i: int) -> tuple[Point, Point]:
        hand = (self.pose.hand0, self.pose.hand1)[i]
        if self.side:
            bend = 1.0
        else:
            bend = 1.0 if i == 0 else -1.0
            if hand[1] < -62:
                bend = -0.8 if i == 0 else 0.8
        return bones(self.shoulder(i), hand, 13.0, 12.5, bend)

    def arm(self, i: int) -> None:
        p, k = self.p, self.k
        far = self.side and i == 0
        dim: Callable[[Colour], Colour] = (lambda c: blend(c, INK, 0.16)) if far else (lambda c: c)
        a = self.shoulder(i)
        e, h = self.elbow(i)
        v = np.array(h) - np.array(e)
        v = v / max(1e-6, float(np.linalg.norm(v)))
        tip = h[0] + float(v[0]) * 1.8, h[1] + float(v[1]) * 1.8
        self.grip[i] = p.place(*tip)
        turn = math.degrees(math.atan2(v[1], v[0]))
        p.push(tip[0], tip[1], turn)
        p.shape(oval(-0.6, (2.6 if (i == 0) != self.back else -2.6), 1.9, 1.1, 40 if i == 0 else -40), dim(k.skin))
        p.shape(oval(0, 0, 3.5, 2.9), dim(k.skin))
        p.pop()
        p.limb([e, h], [5.4, 5.0], dim(k.fore), shade=0.9)
        if k.top == "poncho":
            m = (a[0] + (e[0] - a[0]) * 0.6, a[1] + (e[1] - a[1]) * 0.6)
            p.limb([a, m, (e[0] + float(v[0]) * 1.5, e[1] + float(v[1]) * 1.5)], [6.5, 8.2, 8.6], dim(k.main), shade=1.2)
        else:
            m = (a[0] + (e[0] - a[0]) * 0.45, a[1] + (e[1] - a[1]) * 0.45)
            p.limb([a, e], [5.4, 5.2], dim(k.fore), shade=0.9)
            p.limb([a, m, (a[0] + (e[0] - a[0]) * 0.8, a[1] + (e[1] - a[1]) * 0.8)], [6.4, 8.0, 7.6], dim(k.main), shade=1.2)
        if self.pose.mug and i == 1:
            x, y = tip
            p.shape([(x - 3, y - 5), (x + 4.5, y - 5), (x + 4, y + 3), (x - 2.5, y + 3)], rgb("f1ede4"), shade=1.0)
            p.shape(oval(x, y, 2.6, 2.4), k.skin)

    # clothes ---------------------------------------------------------------

    def bands(self, left: tuple[Point, Point], right: tuple[Point, Point], sag: float) -> list[tuple[Any, Colour]]:
        """Woven bands across a garment: two stripes and a row of steps."""
        k = self.k

        def row(u: float, n: int = 14) -> np.ndarray:
            a = np.array(left[0]) + (np.array(left[1]) - left[0]) * u
            b = np.array(right[0]) + (np.array(right[1]) - right[0]) * u
            a, b = a + (a - b) * 0.3, b + (b - a) * 0.3
            s = np.linspace(0, 1, n)[:, None]
            out = a + (b - a) * s
            out[:, 1] += sag * u * np.sin(np.pi * s[:, 0])
            return out

        def band(u0: float, u1: float) -> np.ndarray:
            return np.vstack([row(u0), row(u1)[::-1]])

        out: list[tuple[Any, Colour]] = []
        if k.top == "poncho":
            out += [(band(0.50, 0.56), k.accent), (band(0.60, 0.80), k.trim)]
            top, low = row(0.61, 27), row(0.79, 27)
            for i in range(1, 26, 2):
                out.append((np.array([low[i - 1], top[i], low[i + 1]]), k.main if not k.old else k.accent))
            out.append((band(0.84, 0.90), k.accent))
        else:
            out += [(band(0.74, 0.80), k.accent), (band(0.84, 0.93), k.trim)]
        return out

    def poncho(self) -> None:
        p, pose, s = self.p, self.pose, self.pose.sway
        if self.side:
            pts = [(-4, -59), (4, -59), (8.5, -53), (11.5, -42), (13.5 + s, -28), (13.5 + s, -28), (0.5 + s, -24.5), (-13 + s, -28), (-13 + s, -28), (-11, -42), (-8, -53)]
            marks = self.bands(((-8, -55), (-13 + s, -27)), ((8, -55), (13 + s, -27)), 3.5)
        else:
            e0, e1 = self.elbow(0)[0], self.elbow(1)[0]
            g0 = (min(e0[0] - 1.5, -14.0), e0[1] + (1.5 if e0[1] > -54 else -2.5))
            g1 = (max(e1[0] + 1.5, 14.0), e1[1] + (1.5 if e1[1] > -54 else -2.5))
            h0 = (min(-19.0, g0[0] * 0.4 - 12.5) + s, -28.5)
            h1 = (max(19.0, g1[0] * 0.4 + 12.5) + s, -28.5)
            pts = [(-6, -59), (6, -59), (12.5, -56), g1, h1, h1, (s, -23.5), h0, h0, g0, (-12.5, -56)]
            marks = self.bands(((-11, -56), (h0[0], -27)), ((11, -56), (h1[0], -27)), 4.5)
        if not pose.legs:
            pts = [(x * (1.1 if y > -35 else 1), y) for x, y in pts]
        p.shape(spline(pts), self.k.main, shade=2.6, marks=marks)
        if not self.back and not self.side:
            p.shape(spline([(-5.5, -59.5), (-5.5, -59.5), (0, -51), (0, -51), (5.5, -59.5), (5.5, -59.5)]), self.k.fore, weight=0.8)

    def dress(self) -> None:
        p, k, pose, s = self.p, self.k, self.pose, self.pose.sway
        if self.side:
            front = (12.5 + s, -17.0)
            kx = max(self.knee[0][0], self.knee[1][0]) - pose.hip[0]
            ky = min(self.knee[0][1], self.knee[1][1]) - pose.hip[1]
            if pose.hip[1] > 8:
                front = (kx + 4, ky + 8)
            pts = [(-5, -59), (4, -59), (7.5, -52), (7, -42), front, front, (0.5 + s, front[1] * 0.5 - 7), (-12.5 + s, -17), (-12.5 + s, -17), (-7.5, -42), (-7.5, -52)]
            marks = self.bands(((-7.5, -55), (-13 + s, -16)), ((7.5, -55), (13 + s, front[1] + 1)), 3)
            belt = [(-9, -42.5), (9, -42.5), (9.5, -39), (-9.5, -39)]
        else:
            wide = 24 if not pose.legs else 17.5
            low = -17.0 if pose.legs else -24.0
            if pose.fore < 1:
                wide, low = 19.0, -19.0
            pts = [(-6, -59), (6, -59), (10, -55), (8.8, -42), (wide + s, low), (wide + s, low), (s, low + 3.5), (-wide + s, low), (-wide + s, low), (-8.8, -42), (-10, -55)]
            marks = self.bands(((-9, -56), (-wide + s, low + 1)), ((9, -56), (wide + s, low + 1)), 4)
            belt = [(-12, -43), (12, -43), (12, -39.5), (-12, -39.5)]
        p.shape(spline(pts), k.main, shade=2.2, marks=[*marks, (belt, k.accent)])
        for x in (-4.5, 3.5):
            p.line([(x * (0.5 if self.side else 1) + s * 0.2, -36), (x * 1.5 + s * 0.7, -27)], 0.6, blend(k.main, INK, 0.45))

    def scarf(self) -> None:
        p, k, pose = self.p, self.k, self.pose
        if k.scarf is None:
            return
        w = pose.wind
        x0 = -7.0 if self.side else (-6.0 if not self.back else 6.0)
        far = -1.0 if self.side else 1.0
        x1, y1 = x0 + 16 * w * (1 if not self.side else 1), -40 - 11 * min(1.2, abs(w))
        mid = ((x0 + x1) / 2 + 0.5 * far, (-57 + y1) / 2 + 2.5 * abs(w))
        tail = [(x0, -56.5), mid, (x1, y1)]
        p.limb(tail, [5.5, 6.5, 7.5], k.scarf, shade=1.2)
        wide = 8.5 if self.side else 11.0
        p.shape(spline([(-wide, -58), (-wide + 2, -61.5), (0, -60), (wide - 2, -61.5), (wide, -58), (wide - 2, -54), (0, -52.2), (-wide + 2, -54)]), k.scarf, shade=1.3)
        if not self.back:
            p.line([(-wide + 3, -56.6), (-1, -55.2)], 0.7, blend(k.scarf, INK, 0.5))

    # head ------------------------------------------------------------------

    def braid(self, x: float, y: float, n: int = 5, out: float = 0.0) -> None:
        p, k, s = self.p, self.k, self.pose.swing
        bx, by = x, y
        for i in range(n):
            r = 4.1 - 0.32 * i
            ang = s * (6 + 7 * i) + out
            p.push(bx, by, -ang)
            p.shape(oval(0, 2.6, r, 3.9), k.hair, weight=0.8)
            p.line([(-r * 0.45, 1.4), (r * 0.35, 4.0)], 0.6, blend(k.hair, (140, 140, 190), 0.55))
            p.pop()
            bx += 5.1 * math.sin(math.radians(ang))
            by += 5.1 * math.cos(math.radians(ang))
        p.push(bx, by, -(s * (6 + 7 * n) + out))
        p.shape(spline([(-1.5, 0.5), (1.5, 0.5), (2.6, 6.5), (0, 8.5), (-2.6, 6.5)]), k.hair, weight=0.8)
        p.shape(oval(0, 0.8, 2.6, 1.7), rgb("e0407b"), weight=0.8)
        p.pop()

    def eye(self, x: float, y: float, squeeze: float = 1.0) -> None:
        p, pose = self.p, self.pose
        if pose.blink:
            p.line(spline([(x - 2.5, y - 0.3), (x - 1.4, y + 0.8), (x, y + 1.2), (x + 1.4, y + 0.8), (x + 2.5, y - 0.3)], closed=False), 0.9)
            return
        dx, dy = pose.look
        p.fill(oval(x + dx, y + dy, 2.15 * squeeze, 3.1), rgb("2a1a20"))
        p.fill(oval(x + dx - 0.5, y + dy - 1.2, 0.85, 1.0), (255, 255, 255))
        p.fill(oval(x + dx + 0.7, y + dy + 1.3, 0.45, 0.5), rgb("8b6a66"))

    def lips(self, x: float, y: float, w: float = 1.0) -> None:
        p, m = self.p, self.pose.mouth
        if m == "smile":
            p.line(spline([(x - 3.2 * w, y - 0.8), (x, y + 1.1), (x + 3.2 * w, y - 0.8)], closed=False), 0.9)
        elif m == "open":
            p.shape(spline([(x - 3.6 * w, y - 1.4), (x - 3.6 * w, y - 1.4), (x + 3.6 * w, y - 1.4), (x + 3.6 * w, y - 1.4), (x + 2 * w, y + 2.2), (x, y + 3), (x - 2 * w, y + 2.2)]), rgb("8c2a33"), marks=[(oval(x, y + 2.8, 2.2 * w, 1.6), rgb("ea7a78"))], weight=0.8)
        elif m == "o":
            p.shape(oval(x, y + 0.4, 1.7 * w, 2.1), rgb("8c2a33"), weight=0.8)
        else:
            p.line(spline([(x - 2.6 * w, y + 0.8), (x, y - 0.4), (x + 2.6 * w, y + 0.8)], closed=False), 0.9)

    def tassel(self, x: float, y: float) -> None:
        p, k, s = self.p, self.k, self.pose.swing
        ex, ey = x + 4.5 * s, y + 8 - abs(s)
        p.line([(x, y), (ex, ey)], 1.1, k.hat_main)
        p.shape(oval(ex, ey + 1.4, 1.7, 2.4, -20 * s), k.accent, weight=0.8)

    def zigzag(self, y0: float, y1: float, x0: float, x1: float, n: int, bow: float) -> list[tuple[Any, Colour]]:
        xs = np.linspace(x0, x1, n * 2 + 1)
        sag = bow * (1 - ((xs - (x0 + x1) / 2) / ((x1 - x0) / 2)) ** 2)
        band = [*zip(xs, y0 + sag, strict=True), *zip(xs[::-1], (y1 + sag)[::-1], strict=True)]
        out: list[tuple[Any, Colour]] = [(band, self.k.hat_trim)]
        for i in range(1, n * 2, 2):
            tri = [(xs[i - 1], y1 + sag[i - 1] - 0.5), (xs[i], y0 + sag[i] + 0.7), (xs[i + 1], y1 + sag[i + 1] - 0.5)]
            out.append((tri, rgb("d9342b") if self.k.hat == "chullo" else self.k.hat_main))
        return out

    def hat(self) -> None:
        p, k, t = self.p, self.k, self.pose.turn
        if k.hat == "chullo":
            if self.side:
                p.shape(oval(-4 - self.pose.swing * 2, -27, 3.8, 3.6), k.hat_trim, shade=1.0)
                dome = [(-17, -1), (-17, -1), (-17.5, -9), (-12, -20), (-3, -25.5), (6, -22), (13.5, -12), (14.5, -5), (14.5, -5), (0, -2.5)]
                p.shape(spline(dome), k.hat_main, shade=2.4, marks=self.zigzag(-11.5, -5.5, -18, 16, 6, 1.5))
                p.shape(spline([(-9, -4), (-9, -4), (3, -4.5), (3, -4.5), (1.5, 6), (-2, 12), (-5.5, 7)]), k.hat_main, shade=1.4, marks=[([(-5, 0), (-2.5, -2.5), (0, 0), (-2.5, 3)], k.hat_trim)])
                self.tassel(-2, 11.5)
            else:
                p.shape(oval(t * 1.5, -27.5, 3.9, 3.7), k.hat_trim, shade=1.0)
                low = 4.0 if self.back else -5.0
                dome = [(-17, -2), (-17, -2), (-16.5, -10), (-10, -21.5), (0, -25.5), (10, -21.5), (16.5, -10), (17, -2), (17, -2), (9, low - (0.5 if not self.back else 0)), (0, low), (-9, low - (0.5 if not self.back else 0))]
                p.shape(spline(dome), k.hat_main, shade=2.6, marks=self.zigzag(-13 + (2 if self.back else 0), -7 + (2 if self.back else 0), -18 + t, 18 + t, 7, 2.2 if self.back else -1.2))
                for x in (-1, 1):
                    c = x * 15.3 - t * 1.5
                    p.shape(spline([(c - x * 4.5, -5), (c - x * 4.5, -5), (c + x * 2.2, -4), (c + x * 2.2, -4), (c + x * 2, 5), (c - x * 1, 12.5), (c - x * 4, 6)]), k.hat_main, shade=1.2, marks=[([(c - 2.2, 1), (c, -1.5), (c + 2.2, 1), (c, 4)], k.hat_trim)])
                    self.tassel(c - x * 1, 12)
        elif k.hat:
            brim = 21.0 if k.hat == "straw" else 18.0
            band = [(-13, -16.5), (13, -16.5), (14, -11), (-14, -11)]
            tall = -26 if k.hat == "bowler" else -24
            p.shape(spline([(-12.5, -11), (-12.5, -11), (-12, -19), (-6, tall), (6, tall), (12, -19), (12.5, -11), (12.5, -11)]), k.hat_main, shade=2.0, marks=[(band, k.hat_trim)])
            p.shape(oval(0, -10.5, brim, 3.4), k.hat_main, shade=0.9)

    def head_front(self) -> None:
        p, k, pose = self.p, self.k, self.pose
        t, n = pose.turn, pose.nod
        if k.braids or k.top == "dress":
            p.shape(spline([(0, -19), (13, -16), (18.5, -4), (17, 7), (10, 13), (-10, 13), (-17, 7), (-18.5, -4), (-13, -16)]), k.hair)
        elif not k.hat == "chullo":
            p.shape(spline([(0, -16), (12, -13), (16.8, -2), (15.8, 6), (10, 9), (-10, 9), (-15.8, 6), (-16.8, -2), (-12, -13)]), k.hair)
        for x in (-1, 1):
            p.shape(oval(x * 15.2 - t * 2, 2 + n * 0.3, 3.0, 3.8), k.skin, shade=0.8)
        face = [(0, -15), (11, -12), (15.3, -2), (14.6, 5.5), (9.5, 12), (t * 1.5, 14.5), (-9.5, 12), (-14.6, 5.5), (-15.3, -2), (-11, -12)]
        p.shape(spline(face), k.skin, shade=1.6)
        for x in (-1, 1):
            p.fill(oval(x * 9.3 + t * 4, 6.6 + n, 3.0, 2.0), blend(k.skin, k.blush, 0.75))
        for x in (-1, 1):
            q = 1 - max(0.0, x * t) * 0.18
            ex = x * 6.2 * q + t * 4.6
            self.eye(ex, 1.6 + n, q)
            b = -4.3 + n - pose.brow * 1.6
            if not (k.hat == "chullo" and b < -4.6):
                arch = 0.45 + 0.35 * pose.brow  # the outer end hangs
                p.line(spline([(ex - 2.3, b + 0.35 - x * arch), (ex, b - 0.35), (ex + 2.3, b + 0.35 + x * arch)], closed=False), 0.95)
        p.line(spline([(t * 6.4 - 1.2, 5.4 + n), (t * 6.4 + 0.2, 6.3 + n), (t * 6.4 + 1.3, 5.4 + n)], closed=False), 0.8, blend(k.skin, INK, 0.6))
        self.lips(t * 5.2, 9.6 + n)
        if k.old:
            p.shape(spline([(-6, 7.6), (0, 6.6), (6, 7.6), (4, 9.8), (0, 8.6), (-4, 9.8)]), k.hair, weight=0.7)
        if k.braids or k.top == "dress":
            c = t * 3
            p.shape(spline([(-15.5, 4), (-15.5, 4), (-17.6, -5), (-12, -16), (0, -19.2), (12, -16), (17.6, -5), (15.5, 4), (15.5, 4), (13.2, -3), (7 + c, -7.6), (c, -13), (c, -13), (-7 + c, -7.6), (-13.2, -3)]), k.hair)
            p.line(spline([(c, -13), (c * 0.5, -16), (0, -19)], closed=False), 0.7, blend(k.hair, (140, 140, 190), 0.5))
            for x in (-1, 1):
                p.line(spline([(x * 4, -15.5), (x * 9.5, -12.5), (x * 13, -6.5)], closed=False), 0.8, blend(k.hair, (140, 140, 190), 0.5))
        elif k.hat == "chullo":
            p.shape(spline([(-13, -6), (-13, -6), (-10.5, -0.8), (-10.5, -0.8), (-7, -3.6), (-3.6, -0.4 + n * 0.2), (-3.6, -0.4), (0.5, -3.8), (5, -1.4), (5, -1.4), (9, -4), (12, -1), (12, -1), (13, -6), (13, -6)]), k.hair, weight=0.7)
        self.hat()
        if k.braids:
            self.flower(11.5 + t, -12.5)
            self.braid(-14.5 - t, 8.0, out=-6)
            self.braid(14.5 - t, 8.0, out=6)

    def flower(self, x: float, y: float) -> None:
        p = self.p
        for i in range(5):
            a = math.radians(72 * i - 90)
            p.shape(oval(x + 2.5 * math.cos(a), y + 2.5 * math.sin(a), 1.8, 1.8), rgb("f4f0fa"), weight=0.55)
        p.shape(oval(x, y, 1.5, 1.5), rgb("e0407b"), weight=0.5)

    def head_side(self) -> None:
        p, k, pose = self.p, self.k, self.pose
        n = pose.nod
        if k.hat != "chullo":
            p.shape(spline([(0, -18), (-12, -15), (-17.5, -4), (-16, 7), (-9, 12), (0, 8)]), k.hair)
        face = [(-3, -15), (7, -13.5), (12.6, -7), (13.0, -0.5), (13.2, 1.8), (15.4, 4.4), (15.2, 6.4), (13, 7.4), (13, 9.6), (10.5, 13.4), (3, 14.5), (-8, 12), (-13.5, 4), (-13.5, -6), (-10, -12)]
        p.shape(spline(face), k.skin, shade=1.4)
        p.fill(oval(5.6, 7.6 + n, 3.0, 2.0), blend(k.skin, k.blush, 0.75))
        self.eye(8.8, 1.2 + n, 0.82)
        b = -4.6 - pose.brow * 1.4
        if k.hat != "chullo" or pose.brow < 0.3:
            p.line(spline([(6.8, b + 0.3), (9, b - 0.5), (11.2, b + 0.5)], closed=False), 0.9)
        if pose.mouth in ("open", "o"):
            self.lips(9.6, 9.8 + n * 0.5, 0.6)
        else:
            p.line(spline([(7.8, 9.4), (10, 10.6), (12.4, 9.4)] if pose.mouth == "smile" else [(8.6, 10.6), (10.4, 9.8), (12.4, 10.4)], closed=False), 0.9)
        if k.old:
            p.shape(spline([(8, 8.4), (13.6, 6.6), (14.8, 8.6), (11, 9.6), (7.4, 11)]), k.hair, weight=0.7)
        if k.hat != "chullo":
            p.shape(oval(-3.5, 3.5, 2.8, 3.6), k.skin, shade=0.8)
        if k.braids or k.top == "dress":
            p.shape(spline([(10.5, -14), (13.6, -7), (12.6, -3.5), (12.6, -3.5), (8, -6.5), (3, -5), (-1.5, -1), (-3.5, 4), (-6, 10), (-11.5, 10.5), (-17.4, 4), (-18, -5), (-12, -16), (0, -19.4)]), k.hair)
            p.line(spline([(6, -15.5), (-4, -14), (-11, -7)], closed=False), 0.8, blend(k.hair, (140, 140, 190), 0.5))
            p.line(spline([(2, -9), (-6, -5), (-9, 2)], closed=False), 0.7, blend(k.hair, (140, 140, 190), 0.5))
        elif k.hat == "chullo":
            p.shape(spline([(13.5, -6), (13.5, -6), (12, -0.6), (12, -0.6), (8, -3.6), (5, -0.2), (5, -0.2), (1, -4), (1, -4)]), k.hair, weight=0.7)
            p.shape(spline([(-14.5, -2), (-14.5, -2), (-14.8, 5), (-12.5, 9.5), (-9, 7), (-7, 9), (-7, -2), (-7, -2)]), k.hair, weight=0.8)
        self.hat()
        if k.braids:
            self.flower(2, -12.5)
            self.braid(-8.5, 8.5)

    def head_back(self) -> None:
        p, k = self.p, self.k
        for x in (-1, 1):
            p.shape(oval(x * 15.4, 2, 3.0, 3.8), k.skin)
        p.shape(spline([(-7, 8), (7, 8), (7, 17), (-7, 17)]), k.skin)
        p.shape(spline([(0, -19), (12.5, -16), (17.6, -4), (16.4, 7), (9, 13), (0, 11.6), (-9, 13), (-16.4, 7), (-17.6, -4), (-12.5, -16)]) if k.hat != "chullo" else spline([(0, -15), (11, -12), (15.6, -2), (14.6, 7), (9, 12), (4, 10.5), (0, 13), (-4, 10.5), (-9, 12), (-14.6, 7), (-15.6, -2), (-11, -12)]), k.hair)
        if k.braids:
            tint = blend(k.hair, (140, 140, 190), 0.5)
            p.line(spline([(0, -19), (0.6, -6), (0, 11)], closed=False), 0.8, tint)
            for x in (-1, 1):
                p.line(spline([(x * 5, -16.5), (x * 11, -8), (x * 11, 3)], closed=False), 0.8, tint)
        self.hat()
        if k.braids:
            self.flower(-12, -11)
            self.braid(-9.5, 9, out=-4)
            self.braid(9.5, 9, out=4)

    # whole -----------------------------------------------------------------

    def draw(self) -> None:
        p, pose, k = self.p, self.pose, self.k
        p.push(0, -pose.lift)
        if pose.legs:
            self.leg(0)
            self.leg(1)
        p.push(pose.hip[0], pose.hip[1] - 31, pose.lean)
        p.push(0, 31)
        for i in (0, 1):
            if not pose.over[i]:
                self.arm(i)
        if k.top == "poncho":
            self.poncho()
        else:
            self.dress()
        if not self.back:
            self.scarf()
        p.push(0.8 if self.side else 0, -59, pose.tilt)
        p.push(0, -14.5)
        {"front": self.head_front, "side": self.head_side, "back": self.head_back}[pose.view]()
        p.pop()
        p.pop()
        if self.back:
            self.scarf()
            if k.braids:
                p.push(0, -73.5)
                self.braid(-9.5, 9, out=-4)
                self.braid(9.5, 9, out=4)
                p.pop()
        for i in (0, 1):
            if pose.over[i]:
                self.arm(i)
        p.pop()
        p.pop()
        p.pop()


@dataclass
class Light:
    """What the light of a scene does to a figure: a tint, and a bright edge."""

    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    edge: Colour | None = None
    side: Point = (4.0, 2.0)
    power: float = 0.7

    def on(self, tile: Image.Image) -> Image.Image:
        if self.tint == (1.0, 1.0, 1.0) and self.edge is None:
            return tile
        a = np.asarray(tile).astype(np.float32)
        colour = a[..., :3] * np.array(self.tint, dtype=np.float32)
        if self.edge is not None:
            alpha = a[..., 3]
            dx, dy = round(self.side[0]), round(self.side[1])
            moved = np.roll(alpha, (dy, dx), axis=(0, 1))
            rim = Image.fromarray(np.clip(alpha - moved, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
            r = np.asarray(rim).astype(np.float32)[..., None] / 255 * self.power
            colour = colour * (1 - r) + np.array(self.edge, dtype=np.float32) * r
        out = np.dstack([np.clip(colour, 0, 255), a[..., 3]]).astype(np.uint8)
        return Image.fromarray(out, "RGBA")


@dataclass
class Layer:
    image: Image.Image
    at: tuple[int, int] = (0, 0)
    name: str = ""  # of the figure, empty for scenery
    grip: tuple[Point, Point] = ((0.0, 0.0), (0.0, 0.0))


def actor(look: Look, x: float, y: float, scale: float, pose: Pose, flip: bool = False, light: Light | None = None) -> Layer:
    """A figure standing at (x, y), `scale` pixels to the unit; side views look right unless flipped."""
    ss = 3 if scale < 5 else 2
    left, up, wide, high = round(72 * scale), round((125 + pose.lift) * scale), round(144 * scale), round((150 + pose.lift) * scale)
    pen = Pen(wide, high, ss, ink=max(1.2, 1.0 * scale**0.72))
    fx, fy = x - math.floor(x), y - math.floor(y)
    pen.push(left + fx, up + fy, 0, -scale if flip else scale, scale)
    figure = Figure(pen, look, pose)
    figure.draw()
    tile = (light or Light()).on(pen.done())
    ox, oy = math.floor(x) - left, math.floor(y) - up
    grip = tuple((gx + ox, gy + oy) for gx, gy in figure.grip)
    box = tile.getchannel("A").getbbox()
    assert box is not None
    return Layer(tile.crop(box), (ox + box[0], oy + box[1]), look.name, grip)  # type: ignore[arg-type]


def llama(x: float, y: float, scale: float, chew: float, flip: bool = False) -> Layer:
    """A llama grazing: an animal in the scene, no member of the cast."""
    pen = Pen(round(130 * scale), round(120 * scale), 3, ink=max(1.2, scale**0.72))
    pen.push(round(60 * scale), round(105 * scale), 0, -scale if flip else scale, scale)
    wool, dark, cream = rgb("efe3cd"), rgb("6b5140"), rgb("c9b493")
    for lx, tint in ((-14, cream), (14, cream), (-19, wool), (19, wool)):
        pen.limb([(lx, -28), (lx + 0.5, -12), (lx, -2)], [8, 5.5, 5], tint, shade=1.0)
        pen.shape(spline([(lx - 3, -4), (lx + 3, -4), (lx + 4.5, 1), (lx - 3, 1)]), dark)
    body = [(-26, -42), (-20, -52), (-6, -55), (4, -53), (16, -55), (25, -46), (25, -33), (16, -25), (2, -24), (-14, -24), (-25, -30)]
    pen.shape(spline(body), wool, shade=3)
    pen.shape(spline([(-26, -46), (-31, -44), (-31, -36), (-26, -38)]), wool, shade=1)
    pen.shape(spline([(-9, -55), (-9, -55), (11, -54.5), (11, -54.5), (12, -34), (12, -34), (-10, -34), (-10, -34)]), rgb("3aa6a0"), shade=1.5, marks=[([(-12, -44), (14, -44), (14, -40), (-12, -40)], rgb("f3e6cf"))])
    dx, dy = chew * 1.2, chew * 0.8
    pen.limb([(21, -44), (27, -58), (27, -74)], [15, 11, 11], wool, shade=2)
    pen.shape(spline([(23, -83), (21.5, -92), (24.5, -92), (27, -83)]), wool)
    pen.shape(spline([(20, -80), (26, -86), (33, -83), (41 + dx, -77 + dy), (42 + dx, -72 + dy), (36, -70 + dy), (28, -70), (21, -73)]), wool, shade=1.5)
    pen.shape(spline([(26, -83), (25.5, -92), (28.5, -91), (30, -83)]), wool)
    pen.fill(oval(31, -79, 1.5, 2), INK)
    pen.line([(37, -72.5 + dy), (41, -73 + dy)], 0.8)
    pen.pop()
    tile = pen.done()
    box = tile.getchannel("A").getbbox()
    assert box is not None
    return Layer(tile.crop(box), (round(x - 60 * scale) + box[0], round(y - 105 * scale) + box[1]), "extra")


# --------------------------------------------------------------------- scenery

Stop = tuple[float, Colour]


def sky(w: int, h: int, *stops: Stop) -> Image.Image:
    """A gradient from top to bottom."""
    y = np.linspace(0, 1, h)
    at = [s[0] for s in stops]
    rows = np.stack([np.interp(y, at, [s[1][c] for s in stops]) for c in range(3)], axis=1)
    return Image.fromarray(np.repeat(np.round(rows)[:, None, :], w, axis=1).astype(np.uint8), "RGB")


def peak(p: Pen, x: float, y: float, w: float, h: float, lit: Colour, dark: Colour, snow: Colour | None, seed: int) -> None:
    """A mountain: a lit and a shaded face, and snow with a ragged edge."""
    r = random.Random(seed)
    left = [(x - w / 2 * u - r.uniform(0, w * 0.02), y - h * (1 - u) + r.uniform(-1, 1) * h * 0.025) for u in (0.18, 0.36, 0.55, 0.75)]
    right = [(x + w / 2 * u + r.uniform(0, w * 0.02), y - h * (1 - u) + r.uniform(-1, 1) * h * 0.025) for u in (0.2, 0.38, 0.57, 0.78)]
    mid = [(x + w * (0.03 if i % 2 else -0.035) + w * 0.05 * u, y - h * (1 - u)) for i, u in enumerate((0.14, 0.3, 0.45, 0.62, 0.8, 1.0))]
    top = (x, y - h)
    outline = [top, *right, (x + w / 2, y), (x - w / 2, y), *left[::-1]]
    p.fill(outline, lit)
    p.fill([top, *right, (x + w / 2, y), *mid[::-1]], dark)
    if snow:
        n = 7
        rag = [(x - w * 0.15 + w * 0.30 * i / n, y - h * (0.60 + (0.10 if i % 2 else -0.02) + r.uniform(-0.03, 0.03))) for i in range(n + 1)]
        p.fill([top, right[0], right[1], *rag[::-1], left[1], left[0]], snow)
        p.fill([top, right[0], right[1], *[q for q in rag[::-1] if q[0] > x + w * 0.02], *mid[2::-1]], blend(snow, dark, 0.35))


def hills(p: Pen, y: float, amp: float, colour: Colour, seed: int, w: float = W, h: float = H, waves: int = 5) -> None:
    r = random.Random(seed)
    pts = [(w * (i - 0.5) / waves, y + r.uniform(-amp, amp)) for i in range(waves + 2)]
    line = spline(pts, closed=False, steps=24)
    p.fill(np.vstack([line, [(w * 1.2, h + 9), (-w * 0.2, h + 9)]]), colour)


def cloud(p: Pen, x: float, y: float, s: float, colour: Colour, seed: int = 0) -> None:
    r = random.Random(seed)
    for i in range(6):
        u = (i - 2.5) / 2.5
        k = (1 - abs(u) ** 1.6 * 0.75) * r.uniform(0.85, 1.15)
        p.fill(oval(x + u * 74 * s, y - k * 14 * s, 38 * s * (0.6 + 0.4 * k), 30 * s * k), colour)
    p.fill(oval(x, y, 104 * s, 13 * s), colour)


def grass(p: Pen, colour: Colour, n: int, seed: int, y0: float, y1: float, w: float = W, s: float = 1.0) -> None:
    r = random.Random(seed)
    for _ in range(n):
        x, y = r.uniform(0, w), r.uniform(y0, y1)
        k = s * (0.6 + 0.8 * (y - y0) / max(1, y1 - y0))
        for a in (-0.5, 0.0, 0.5):
            p.fill([(x + a * 7 * k - 1.6 * k, y), (x + a * 16 * k, y - (15 - abs(a) * 8) * k), (x + a * 7 * k + 1.6 * k, y)], colour)


def flowers(p: Pen, n: int, seed: int, y0: float, y1: float, tints: Sequence[Colour], w: float = W) -> None:
    r = random.Random(seed)
    for _ in range(n):
        x, y, k = r.uniform(0, w), r.uniform(y0, y1), r.uniform(2.2, 3.6)
        tint = r.choice(tints)
        p.fill([(x - 0.8, y), (x + 0.8, y), (x + 0.8, y + 9), (x - 0.8, y + 9)], rgb("4f7f3c"))
        for i in range(5):
            a = math.radians(72 * i)
            p.fill(oval(x + k * math.cos(a), y + k * math.sin(a), k * 0.75, k * 0.75, steps=12), tint)
        p.fill(oval(x, y, k * 0.6, k * 0.6, steps=12), rgb("f7e7a6"))


def stone(p: Pen, x: float, y: float, w: float, h: float, colour: Colour, shade: float = 7.0, line: bool = False) -> None:
    pts = [(x - w / 2, y), (x - w / 2, y), (x - w * 0.45, y - h * 0.6), (x - w * 0.2, y - h), (x + w * 0.22, y - h * 0.97), (x + w * 0.44, y - h * 0.55), (x + w / 2, y), (x + w / 2, y)]
    p.shape(spline(pts), colour, line=line, shade=shade)


def canvas(w: int, h: int, *stops: Stop) -> Pen:
    return Pen(w, h, 2, base=sky(w, h, *stops), ink=2.2)


def words(im: Image.Image, text: str, x: float, y: float, size: int, colour: Colour, gap: float = 0.08, bold: float = 0.0) -> None:
    """Text with wide letter spacing, centred on (x, y), in the typeface Pillow brings along."""
    big = Image.new("L", (W * 2, size * 4), 0)
    d = ImageDraw.Draw(big)
    font = ImageFont.load_default(size * 2)
    space = gap * size * 2
    at = [0.0]
    for c in text:
        at.append(at[-1] + font.getlength(c) + space)
    start = x * 2 - (at[-1] - space) / 2
    for c, a in zip(text, at, strict=False):
        d.text((start + a, size * 2), c, fill=255, font=font, anchor="lm", stroke_width=round(bold * size * 2))
    mask = big.reduce(2)
    im.paste(colour, (0, round(y - size)), mask)


WHITE: Colour = (255, 255, 255)


@lru_cache(maxsize=4)
def bg_title() -> Image.Image:
    p = canvas(W, H, (0, rgb("2f7f95")), (0.45, rgb("8ccfc4")), (0.7, rgb("f9e3b4")), (1, rgb("f9cf9a")))
    p.fill(oval(640, 400, 250, 250, steps=90), rgb("fdf0c8"))
    for x, w, h, s in ((170, 620, 250, 1), (1120, 640, 280, 2), (640, 720, 170, 3)):
        peak(p, x, 600, w, h, rgb("6fa9ad"), rgb("568f9c"), rgb("f4fbf6"), s)
    hills(p, 560, 26, rgb("4f8f86"), 5)
    hills(p, 620, 22, rgb("3b776f"), 6)
    hills(p, 680, 14, rgb("2c5f5c"), 7)
    im = p.done()
    words(im, "TWO FRIENDS", 640, 236, 92, rgb("22434f"), 0.1, 0.022)
    words(im, "AND A KITE", 640, 330, 44, rgb("b2473a"), 0.3, 0.015)
    return im


@lru_cache(maxsize=4)
def bg_end() -> Image.Image:
    p = canvas(W, H, (0, rgb("2a2350")), (0.6, rgb("7a4a86")), (1, rgb("e58c7c")))
    r = random.Random(8)
    for _ in range(70):
        p.fill(oval(r.uniform(0, W), r.uniform(0, 380), *(2 * [r.uniform(0.8, 2.2)]), steps=10), rgb("f5e6ff"))
    hills(p, 610, 26, rgb("4a2f66"), 12)
    hills(p, 670, 18, rgb("33234f"), 13)
    im = p.done()
    words(im, "THE END", 640, 330, 88, rgb("fff0d8"), 0.2, 0.02)
    words(im, "drawn by a script", 640, 420, 26, rgb("f3c9c0"), 0.12)
    return im


@lru_cache(maxsize=4)
def bg_dawn() -> Image.Image:
    p = canvas(W, H, (0, rgb("7fa8d8")), (0.4, rgb("f3cfd6")), (0.62, rgb("fbe6c8")), (1, rgb("fbe6c8")))
    p.fill(oval(935, 300, 62, 62, steps=60), rgb("fff6da"))
    for x, w, h, s in ((1010, 760, 270, 21), (330, 900, 400, 22), (720, 620, 300, 23)):
        peak(p, x, 560, w, h, rgb("8f86b8"), rgb("716aa2"), rgb("fdeef0"), s)
    for i, (y, c) in enumerate(((470, "c7b4cf"), (525, "93a5b0"), (580, "6f9a92"))):
        hills(p, y, 22, rgb(c), 30 + i, waves=6)
    # terraces
    for i in range(7):
        y = 606 + i * 18
        c = blend(rgb("7fae74"), rgb("4d8a63"), i / 6)
        line = spline([(-40, y + 26 - i * 2), (260, y + 2), (560, y - 14 + i * 4), (900, y + 14), (1320, y - 18)], closed=False, steps=20)
        p.fill(np.vstack([line, [(1320, 760), (-40, 760)]]), c)
        p.line(line + [0, 4], 0.8, blend(c, rgb("2f5a4a"), 0.4))
    return p.done()


@lru_cache(maxsize=4)
def bg_meadow() -> Image.Image:
    p = canvas(W, H, (0, rgb("5db4e6")), (0.55, rgb("c9ecf5")), (1, rgb("c9ecf5")))
    for x, y, s, k in ((210, 120, 1.0, 1), (1010, 170, 0.8, 3)):
        cloud(p, x, y, s, WHITE, k)
    for x, w, h, s in ((190, 520, 230, 41), (1120, 640, 300, 42), (780, 420, 200, 43)):
        peak(p, x, 470, w, h, rgb("8fb1cf"), rgb("7196bb"), WHITE, s)
    hills(p, 420, 24, rgb("9ccf8a"), 44)
    hills(p, 470, 18, rgb("86c06f"), 45)
    hills(p, 525, 10, rgb("9dd177"), 46)
    hills(p, 612, 8, rgb("8cc566"), 47)
    grass(p, rgb("74ad52"), 90, 48, 545, 720)
    flowers(p, 46, 49, 560, 712, [WHITE, rgb("d9a6e6"), rgb("f7b6c6")])
    stone(p, 1010, 640, 190, 78, rgb("a3a6ad"))
    stone(p, 1098, 646, 90, 40, rgb("8f939c"))
    return p.done()


@lru_cache(maxsize=4)
def bg_sky() -> Image.Image:
    p = canvas(W, H, (0, rgb("4fa9e2")), (0.8, rgb("bfe6f4")), (1, rgb("d9f1f4")))
    for x, y, s, k in ((180, 250, 1.9, 5), (1080, 170, 1.6, 6), (720, 480, 2.2, 7)):
        cloud(p, x, y, s, rgb("f7fcff"), k)
    hills(p, 610, 26, rgb("a8d68b"), 51, waves=3)
    hills(p, 672, 16, rgb("8cc566"), 52, waves=3)
    return p.done()


def house(p: Pen, x: float, y: float, w: float, h: float, wall: Colour, door: Colour, seed: int, roof: Colour = rgb("b5654a")) -> None:
    r = random.Random(seed)
    p.fill([(x, y), (x + w, y), (x + w, y - h), (x, y - h)], wall)
    p.fill([(x + w * 0.86, y), (x + w, y), (x + w, y - h), (x + w * 0.9, y - h)], blend(wall, rgb("6a5a86"), 0.22))
    p.fill([(x, y), (x + w, y), (x + w, y - h * 0.16), (x, y - h * 0.14)], blend(wall, rgb("9a6a50"), 0.4))
    for _ in range(5):
        bx, by = x + r.uniform(0.1, 0.8) * w, y - r.uniform(0.3, 0.85) * h
        p.fill([(bx, by), (bx + 26, by), (bx + 26, by + 9), (bx, by + 9)], blend(wall, rgb("9a6a50"), 0.18))
    p.fill([(x - 22, y - h), (x + w + 22, y - h), (x + w - 16, y - h - 62), (x + 16, y - h - 62)], roof)
    for i in range(int(w / 22) + 2):
        u = i / (w / 22 + 1)
        p.line([(x - 22 + (w + 44) * u, y - h), (x + 16 + (w - 32) * u, y - h - 62)], 0.9, blend(roof, INK, 0.25))
    p.fill([(x - 22, y - h), (x + w + 22, y - h), (x + w + 22, y - h + 8), (x - 22, y - h + 8)], blend(roof, INK, 0.35))
    dx = x + w * 0.16
    p.fill([(dx - 5, y), (dx + 73, y), (dx + 73, y - 156), (dx - 5, y - 156)], blend(wall, INK, 0.3))
    p.fill([(dx, y), (dx + 68, y), (dx + 68, y - 150), (dx, y - 150)], door)
    for k in (0.33, 0.66):
        p.line([(dx + 68 * k, y), (dx + 68 * k, y - 150)], 0.8, blend(door, INK, 0.35))
    wx, wy = x + w * 0.58, y - h * 0.72
    p.fill([(wx - 6, wy - 6), (wx + 78, wy - 6), (wx + 78, wy + 80), (wx - 6, wy + 80)], door)
    p.fill([(wx, wy), (wx + 72, wy), (wx + 72, wy + 74), (wx, wy + 74)], rgb("3d4a63"))
    p.fill([(wx + 34, wy), (wx + 38, wy), (wx + 38, wy + 74), (wx + 34, wy + 74)], door)
    p.fill([(wx, wy + 34), (wx + 72, wy + 34), (wx + 72, wy + 38), (wx, wy + 38)], door)
    p.fill([(wx - 10, wy + 80), (wx + 82, wy + 80), (wx + 76, wy + 100), (wx - 4, wy + 100)], rgb("a2573f"))
    for i in range(6):
        p.fill(oval(wx + i * 14, wy + 76, 10, 9), rgb("7aa35c"))
        p.fill(oval(wx + i * 14 + 3, wy + 72, 3.6, 3.6), rgb("f2a7c0"))


@lru_cache(maxsize=4)
def bg_village() -> Image.Image:
    p = canvas(W, H, (0, rgb("8fd0e8")), (0.6, rgb("e3f3ee")), (1, rgb("e3f3ee")))
    peak(p, 640, 420, 760, 330, rgb("9db7c9"), rgb("829fb8"), WHITE, 61)
    hills(p, 400, 16, rgb("a9c99a"), 62)
    house(p, 420, 510, 330, 210, rgb("eadfd0"), rgb("5d8f8a"), 63)
    house(p, -70, 530, 420, 270, rgb("f6f1e8"), rgb("4a7fa5"), 64)
    house(p, 830, 535, 520, 285, rgb("f0dcc8"), rgb("7d5f8c"), 65)
    p.fill([(0, 520), (W, 520), (W, H), (0, H)], rgb("c9bda9"))
    p.fill([(0, 520), (W, 520), (W, 534), (0, 534)], rgb("a99c8a"))
    r = random.Random(66)
    for row in range(7):
        y = 548 + row * row * 3.2 + row * 8
        k = 0.5 + row * 0.13
        for i in range(int(W / (92 * k)) + 2):
            x = i * 92 * k + (row % 2) * 46 * k
            if r.random() < 0.75:
                p.fill(oval(x, y, 40 * k, 9.5 * k), blend(rgb("d8cdbb"), rgb("b7aa98"), r.random()))
    return p.done()


@lru_cache(maxsize=4)
def fg_village() -> Image.Image:
    """Bunting across the street and a corner post close to the camera."""
    p = Pen(W, H, 2, ink=2.0)
    line = [(x, 96 + 60 * math.sin(math.pi * (x + 20) / 1320)) for x in range(-20, 1320, 20)]
    p.line(line, 1.0, rgb("6b5b52"))
    tints = [rgb("f2a7c0"), rgb("7cc4c9"), rgb("f5efe2"), rgb("b59ad6")]
    for i in range(3, len(line) - 3, 4):
        (x0, y0), (x1, y1) = line[i], line[i + 2]
        p.fill([(x0, y0), (x1, y1), ((x0 + x1) / 2, (y0 + y1) / 2 + 40)], tints[i // 4 % 4])
    p.shape([(-30, H + 9), (-30, 300), (74, 300), (80, H + 9)], rgb("7d6a60"), line=False, shade=14)
    for y in (360, 440, 520, 600, 680):
        p.line([(-30, y), (78, y + 4)], 1.2, rgb("5f4f49"))
    stone(p, 50, 310, 120, 60, rgb("8f7a6d"))
    return p.done()


def awning(p: Pen, x: float, y: float, w: float, a: Colour, b: Colour) -> None:
    n = 8
    for i in range(n):
        x0, x1 = x + w * i / n, x + w * (i + 1) / n
        u0, u1 = x + w * 0.06 + w * 0.88 * i / n, x + w * 0.06 + w * 0.88 * (i + 1) / n
        p.fill([(u0, y - 74), (u1, y - 74), (x1, y), (x0, y)], a if i % 2 else b)
        p.fill(oval((x0 + x1) / 2, y, w / n / 2, 15), a if i % 2 else b)
    p.fill([(x, y - 3), (x + w, y - 3), (x + w, y + 3), (x, y + 3)], blend(a, INK, 0.25))


def textile(p: Pen, x: float, y: float, w: float, h: float, main: Colour, seed: int) -> None:
    r = random.Random(seed)
    p.fill([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], main)
    tints = [rgb("f3e6cf"), rgb("3a6f8f"), rgb("f08a24"), rgb("4f8f5f"), rgb("6b3f7f")]
    k = y + 12
    while k < y + h - 14:
        s = r.choice((4, 7, 11))
        p.fill([(x, k), (x + w, k), (x + w, k + s), (x, k + s)], r.choice(tints))
        k += s + r.choice((6, 10, 16))
    for i in range(int(w / 6)):
        p.line([(x + 3 + i * 6, y + h), (x + 3 + i * 6, y + h + 9)], 0.8, main)


@lru_cache(maxsize=4)
def bg_market() -> Image.Image:
    p = canvas(W, H, (0, rgb("bfe3ea")), (0.5, rgb("f4efe0")), (1, rgb("f4efe0")))
    hills(p, 300, 20, rgb("a7bfae"), 71)
    p.fill([(0, 250), (W, 250), (W, 560), (0, 560)], rgb("d9c3a8"))  # church wall
    for x in range(40, W, 210):
        p.fill(np.vstack([oval(x + 60, 360, 56, 56)[18:], [(x + 116, 470), (x + 4, 470)]]), rgb("c2a98d"))
    p.fill([(0, 240), (W, 240), (W, 262), (0, 262)], rgb("b07a5c"))
    # stalls
    for x, w, a, b in ((60, 380, "f4ead8", "6aa9b5"), (840, 400, "f4ead8", "b58fc9")):
        for px in (x + 16, x + w - 26):
            p.fill([(px, 220), (px + 10, 220), (px + 10, 540), (px, 540)], rgb("7b5b44"))
        p.fill([(x + 26, 230), (x + w - 26, 230), (x + w - 26, 470), (x + 26, 470)], rgb("8d715c"))
        awning(p, x, 222, w, rgb(a), rgb(b))
    textile(p, 96, 246, 84, 150, rgb("c23a30"), 72)  # as red as a poncho: a trap
    textile(p, 200, 246, 84, 130, rgb("3d6f9c"), 73)
    textile(p, 304, 246, 84, 160, rgb("d8a53a"), 74)
    p.fill([(0, 540), (W, 540), (W, H), (0, H)], rgb("cdbda4"))
    r = random.Random(75)
    for _ in range(60):
        x, y = r.uniform(0, W), r.uniform(552, 716)
        p.fill(oval(x, y, r.uniform(14, 40), r.uniform(3, 6)), rgb("bfae95"))
    return p.done()


@lru_cache(maxsize=4)
def stall_table() -> Image.Image:
    """The seller's table with fruit: it stands before her."""
    p = Pen(W, H, 2, ink=2.0)
    x, y, w = 850, 470, 380
    p.shape([(x, y), (x + w, y), (x + w, y + 126), (x, y + 126)], rgb("9a7452"), line=False)
    for i in range(1, 6):
        p.line([(x + w * i / 6, y + 10), (x + w * i / 6, y + 126)], 0.8, rgb("7b5b44"))
    p.fill([(x - 12, y - 8), (x + w + 12, y - 8), (x + w + 12, y + 10), (x - 12, y + 10)], rgb("b58c65"))
    for i, (c, d) in enumerate((("f09a3e", "d97f2a"), ("9cc65a", "7fab45"), ("b0486a", "8d3556"), ("f3e27a", "dcc75a"))):
        bx = x + 52 + i * 92
        for k in range(7):
            p.shape(oval(bx + (k % 4 - 1.5) * 17 + (k // 4) * 9, y - 16 - (k // 4) * 14, 10.5, 10), rgb(c), line=False, shade=3)
        p.shape(spline([(bx - 40, y - 12), (bx - 40, y - 12), (bx + 40, y - 12), (bx + 40, y - 12), (bx + 30, y + 8), (bx - 30, y + 8)]), rgb("8b6847"), line=False)
        p.fill(oval(bx, y - 12, 40, 2.5), rgb("6d5036"))
    return p.done()


@lru_cache(maxsize=4)
def fg_market() -> Image.Image:
    """Sacks and a basket close to the camera."""
    p = Pen(W, H, 2, ink=2.0)
    for x, w, h, c, top in ((210, 190, 120, "a78a63", "f0e6c8"), (372, 160, 96, "93785a", "7d4a3c"), (1180, 220, 112, "9c7f5c", "d9c48f")):
        p.shape(spline([(x - w / 2, H + 9), (x - w / 2, H + 9), (x - w * 0.52, H - h * 0.5), (x - w * 0.42, H - h), (x + w * 0.42, H - h), (x + w * 0.52, H - h * 0.5), (x + w / 2, H + 9), (x + w / 2, H + 9)]), rgb(c), line=False, shade=12)
        p.fill(oval(x, H - h, w * 0.43, 17), blend(rgb(c), WHITE, 0.25))
        p.fill(oval(x, H - h - 5, w * 0.37, 15), rgb(top))
    return p.done()


FOREST_W = 2100


def trunk(p: Pen, x: float, top: float, base: float, w: float, colour: Colour, seed: int, bark: bool = False) -> None:
    r = random.Random(seed)
    b = r.uniform(-1, 1) * w * 0.6
    left = spline([(x - w * 0.95, base + 6), (x - w * 0.55, base - 40), (x - w * 0.42 + b, (top + base) / 2), (x - w * 0.36, top)], closed=False)
    right = spline([(x + w * 0.36, top), (x + w * 0.42 + b, (top + base) / 2), (x + w * 0.55, base - 40), (x + w * 1.05, base + 8)], closed=False)
    p.shape(np.vstack([left, right]), colour, line=False, shade=w * 0.28)
    for _ in range(5 if bark else 0):
        y = r.uniform(top + 60, base - 60)
        p.line(spline([(x - w * 0.2 + b, y), (x + b, y + 8), (x + w * 0.1 + b, y + 2)], closed=False), 1.0, blend(colour, INK, 0.3))


@lru_cache(maxsize=4)
def bg_forest() -> Image.Image:
    p = canvas(FOREST_W, H, (0, rgb("bfe0c9")), (0.6, rgb("dcebcb")), (1, rgb("dcebcb")))
    r = random.Random(81)
    for layer, (tone, n, w, base) in enumerate((("a5cdb6", 30, 18, 520), ("83b5a0", 22, 30, 548), ("5f9484", 15, 44, 580))):
        for i in range(n):
            x = FOREST_W * (i + r.uniform(0.15, 0.85)) / n
            trunk(p, x, -20, base, w * r.uniform(0.8, 1.25), rgb(tone), 82 + i + layer * 50)
        for i in range(int(n * 2.2)):
            x = FOREST_W * (i + r.random()) / (n * 2.2)
            p.fill(oval(x, r.uniform(-10, 60 - layer * 22), r.uniform(70, 130), r.uniform(46, 84)), blend(rgb(tone), rgb("4f8a5f"), 0.25))
        hills(p, base - 16, 12, blend(rgb(tone), rgb("7fae74"), 0.35), 90 + layer, w=FOREST_W, waves=9)
    hills(p, 606, 6, rgb("6f9a62"), 95, w=FOREST_W, waves=9)
    grass(p, rgb("57824f"), 150, 96, 620, 720, w=FOREST_W, s=1.3)
    for i in range(26):
        x, y = r.uniform(0, FOREST_W), r.uniform(630, 700)
        p.fill([(x - 3, y), (x + 3, y), (x + 3, y + 10), (x - 3, y + 10)], rgb("efe6d2"))
        p.fill(np.vstack([oval(x, y, 10, 9)[18:]]), rgb("c9788e"))
    return p.done()


@lru_cache(maxsize=4)
def fg_forest() -> Image.Image:
    """The trees the two run behind; it moves faster than the ground."""
    w = 2700
    p = Pen(w, H, 2, ink=2.0)
    for x, k in ((250, 74), (1010, 92), (1790, 66), (2200, 88)):
        trunk(p, x, -20, H + 30, k, rgb("34584f"), int(x), bark=True)
    for i in range(46):
        x = w * i / 46
        p.fill(oval(x, -26 + 16 * math.sin(i * 2.1), 84, 62), rgb("3c6b55"))
    r = random.Random(101)
    for i in range(24):
        x = w * (i + r.random() * 0.6) / 24
        for a in (-58, -34, -12, 12, 34, 58):
            p.push(x, H + 14, a)
            p.fill(spline([(0, 0), (5, -34), (0, -74), (-5, -34)]), rgb("2f5a4a"))
            p.pop()
    return p.done()


@lru_cache(maxsize=4)
def bg_night() -> Image.Image:
    p = canvas(W, H, (0, rgb("111a3f")), (0.55, rgb("2d3f78")), (0.8, rgb("4a5f96")), (1, rgb("4a5f96")))
    r = random.Random(111)
    for _ in range(130):
        k = r.uniform(0.7, 2.0)
        p.fill(oval(r.uniform(0, W), r.uniform(0, 400), k, k, steps=10), blend(rgb("8fa3dd"), WHITE, r.random()))
    for rad, c in ((128, "2a3a73"), (104, "3a4b86"), (74, "f4f1dc")):
        p.fill(oval(250, 165, rad, rad, steps=80), rgb(c))
    for x, y, k in ((230, 145, 13), (275, 185, 17), (265, 130, 8), (222, 195, 9)):
        p.fill(oval(x, y, k, k), rgb("e2ddc4"))
    for x, w, h, s in ((980, 700, 290, 112), (520, 640, 220, 113)):
        peak(p, x, 520, w, h, rgb("34477f"), rgb("283868"), rgb("9fb2df"), s)
    hills(p, 480, 20, rgb("25365f"), 114)
    hills(p, 545, 14, rgb("1f2f54"), 115)
    hills(p, 604, 8, rgb("2b4163"), 116)
    # a small house far away, one window lit
    p.fill([(1090, 500), (1170, 500), (1170, 452), (1090, 452)], rgb("3d4d7c"))
    p.fill([(1080, 454), (1180, 454), (1160, 424), (1100, 424)], rgb("2a3156"))
    p.fill([(1118, 484), (1138, 484), (1138, 466), (1118, 466)], rgb("ffd886"))
    grass(p, rgb("1f3452"), 90, 117, 620, 716)
    # the log
    p.shape(spline([(470, 588), (470, 588), (830, 584), (830, 584), (842, 604), (830, 626), (830, 626), (470, 630), (470, 630)]), rgb("4a4663"), line=False, shade=10)
    p.fill(oval(472, 609, 17, 21), rgb("6b678c"))
    p.fill(oval(472, 609, 10, 13), rgb("565279"))
    return p.done()


@lru_cache(maxsize=4)
def bg_room() -> Image.Image:
    p = canvas(W, H, (0, rgb("8f6f6a")), (0.75, rgb("b08a7c")), (1, rgb("b08a7c")))
    for x in range(-40, W, 160):
        p.fill([(x, 0), (x + 26, 0), (x + 26, 34), (x, 34)], rgb("5d4238"))
    p.fill([(0, 30), (W, 30), (W, 46), (0, 46)], rgb("4d352e"))
    p.fill([(0, 566), (W, 566), (W, H), (0, H)], rgb("7d5644"))
    for x in range(-200, 1600, 130):
        p.line([(x * 0.55 + 290, 566), (x, H)], 1.0, rgb("684637"))
    p.fill([(0, 556), (W, 556), (W, 570), (0, 570)], rgb("5d4238"))
    # window on the storm
    p.fill([(500, 120), (800, 120), (800, 386), (500, 386)], rgb("5d4238"))
    p.fill([(516, 136), (784, 136), (784, 370), (516, 370)], rgb("2c3a57"))
    peak(p, 650, 370, 230, 150, rgb("3f5073"), rgb("34446a"), rgb("8fa0c0"), 121)
    r = random.Random(122)
    for _ in range(46):
        x, y = r.uniform(520, 780), r.uniform(140, 350)
        p.line([(x, y), (x - 4, y + 16)], 0.6, rgb("7d90b8"))
    for a, b, c, d in ((644, 136, 656, 370), (516, 246, 784, 258)):
        p.fill([(a, b), (c, b), (c, d), (a, d)], rgb("5d4238"))
    p.fill([(484, 384), (816, 384), (816, 400), (484, 400)], rgb("6d4d40"))
    # a red weaving on the wall: a trap
    p.fill([(92, 130), (318, 130), (318, 138), (92, 138)], rgb("4d352e"))
    textile(p, 104, 138, 202, 210, rgb("b8372f"), 123)
    # shelf
    p.fill([(930, 214), (1190, 214), (1190, 228), (930, 228)], rgb("4d352e"))
    for x, w, h, c in ((960, 46, 62, "c98f5c"), (1040, 34, 84, "6f8f9c"), (1110, 54, 48, "d9c9ae")):
        p.shape(spline([(x - w / 2, 214), (x - w / 2, 214), (x - w * 0.6, 214 - h * 0.5), (x - w * 0.25, 214 - h), (x + w * 0.25, 214 - h), (x + w * 0.6, 214 - h * 0.5), (x + w / 2, 214), (x + w / 2, 214)]), rgb(c), line=False, shade=6)
    # lamp
    p.fill([(1018, 46), (1022, 46), (1022, 92), (1018, 92)], rgb("3a2a26"))
    p.fill(oval(1020, 124, 74, 56), rgb("c79a77"))
    p.fill([(992, 92), (1048, 92), (1066, 140), (974, 140)], rgb("efc878"))
    p.fill(oval(1020, 142, 34, 8), rgb("fff0bf"))
    p.fill(oval(640, 660, 470, 52), rgb("59606f"))
    p.fill(oval(640, 660, 420, 44), rgb("6f7888"))
    p.fill(oval(640, 660, 330, 33), rgb("59606f"))
    return p.done()


@lru_cache(maxsize=4)
def table() -> Image.Image:
    p = Pen(W, H, 2, ink=2.0)
    for x in (520, 790):
        p.shape([(x, 520), (x + 24, 520), (x + 20, 676), (x + 4, 676)], rgb("6d4d3a"), line=False, shade=6)
    p.shape(spline([(470, 500), (470, 500), (866, 500), (866, 500), (872, 512), (866, 526), (866, 526), (470, 526), (470, 526), (464, 512)]), rgb("94694c"), line=False, shade=8)
    p.shape(spline([(610, 500), (610, 500), (600, 470), (616, 444), (664, 444), (680, 470), (670, 500), (670, 500)]), rgb("5f7f8c"), line=False, shade=8)
    p.shape(spline([(676, 460), (700, 446), (706, 452), (682, 480)]), rgb("5f7f8c"), line=False)
    p.fill(oval(640, 444, 24, 5), rgb("48636f"))
    p.shape([(730, 474), (764, 474), (761, 501), (733, 501)], rgb("f1ede4"), line=False, shade=5)
    return p.done()


@lru_cache(maxsize=4)
def bg_window() -> Image.Image:
    """Beside the window the morning after, close."""
    p = canvas(W, H, (0, rgb("8fc5ea")), (0.6, rgb("e9eff2")), (1, rgb("e9eff2")))
    peak(p, 1090, 620, 600, 380, rgb("9fb6d2"), rgb("819cc2"), WHITE, 131)
    hills(p, 590, 10, rgb("dfe9f0"), 132)
    p.fill([(-10, -10), (720, -10), (720, 730), (-10, 730)], rgb("b0948b"))
    p.fill([(-10, -10), (720, -10), (720, 60), (-10, 60)], rgb("a68a82"))
    p.fill([(700, -10), (744, -10), (744, 640), (700, 640)], rgb("6d4d40"))
    p.fill([(700, 640), (1300, 640), (1300, 730), (700, 730)], rgb("a58a82"))
    p.fill([(1000, -10), (1024, -10), (1024, 640), (1000, 640)], rgb("6d4d40"))
    p.fill([(700, 616), (1300, 616), (1300, 650), (680, 650)], rgb("7d5a4a"))
    p.shape(spline([(1140, 616), (1140, 616), (1126, 560), (1200, 560), (1186, 616), (1186, 616)]), rgb("a2573f"), line=False, shade=8)
    for a in (-50, -25, 0, 25, 50):
        p.push(1163, 566, a)
        p.fill(spline([(0, 0), (12, -50), (0, -110), (-12, -50)]), rgb("6f9a72"))
        p.pop()
    return p.done()


@lru_cache(maxsize=4)
def bg_snow() -> Image.Image:
    p = canvas(W, H, (0, rgb("a9bfd6")), (0.6, rgb("dfe8f0")), (1, rgb("dfe8f0")))
    for x, w, h, s in ((240, 700, 360, 141), (1060, 820, 420, 142), (660, 520, 260, 143)):
        peak(p, x, 520, w, h, rgb("c4d2e2"), rgb("a4b8cf"), rgb("f8fbff"), s)
    hills(p, 470, 22, rgb("d3dfeb"), 144)
    hills(p, 530, 18, rgb("e4edf5"), 145)
    hills(p, 600, 10, rgb("f1f6fa"), 146)
    r = random.Random(147)
    for _ in range(9):
        x, y, k = r.uniform(0, W), r.uniform(486, 560), r.uniform(0.5, 1.0)
        for i in range(3):
            p.fill([(x, y - (92 - i * 22) * k), (x + (16 + i * 7) * k, y - (46 - i * 22) * k), (x - (16 + i * 7) * k, y - (46 - i * 22) * k)], rgb("6f8796"))
            p.fill([(x, y - (92 - i * 22) * k), (x + (8 + i * 3) * k, y - (68 - i * 22) * k), (x - (8 + i * 3) * k, y - (68 - i * 22) * k)], WHITE)
    stone(p, 1150, 640, 200, 90, rgb("93a2b3"))
    stone(p, 1146, 566, 130, 20, rgb("f8fbff"), shade=0)
    return p.done()


def reeds(p: Pen, x: float, y: float, n: int, h: float, colour: Colour, seed: int) -> None:
    r = random.Random(seed)
    for _ in range(n):
        a, k = r.uniform(-14, 14), h * r.uniform(0.6, 1.1)
        p.push(x + r.uniform(-h * 0.5, h * 0.5), y, a)
        p.fill([(-2.4, 0), (2.4, 0), (0.6, -k), (-0.6, -k)], blend(colour, rgb("c9b36a"), r.uniform(0, 0.5)))
        if r.random() < 0.35:
            p.fill(oval(0, -k, 3.6, 13), rgb("7b5a3c"))
        p.pop()


@lru_cache(maxsize=4)
def bg_lake() -> Image.Image:
    p = canvas(W, H, (0, rgb("7fb9dd")), (0.42, rgb("f2e6d2")), (0.5, rgb("f2e6d2")), (1, rgb("f2e6d2")))
    cloud(p, 300, 110, 0.9, rgb("fdf8f0"), 9)
    for x, w, h, s in ((300, 800, 190, 151), (980, 900, 240, 152)):
        peak(p, x, 350, w, h, rgb("a9a8c4"), rgb("8d8fb2"), rgb("fdf6f0"), s)
    hills(p, 340, 8, rgb("9aa98c"), 153)
    p.im.paste(sky(W, 380, (0, rgb("a7cfd9")), (1, rgb("3f86a3"))).resize((W * 2, 760)), (0, 720))
    r = random.Random(154)
    for _ in range(60):
        x, y = r.uniform(0, W), r.uniform(372, 700)
        k = (y - 340) / 340
        p.fill(oval(x, y, 50 * k + 8, 1.2 + 1.6 * k), blend(rgb("d3ecee"), rgb("6fb0c4"), k))
    # a boat of reeds
    p.shape(spline([(330, 470), (330, 470), (356, 512), (430, 526), (510, 512), (540, 462), (540, 462), (500, 492), (430, 500), (366, 494)]), rgb("c9a75a"), line=False, shade=7)
    for i in range(6):
        p.line([(368 + i * 26, 494 + 6 * math.sin(i)), (372 + i * 26, 520)], 1.0, rgb("8f7238"))
    hills(p, 694, 10, rgb("6d8f5a"), 155)
    reeds(p, 950, 690, 60, 250, rgb("7d9c55"), 156)
    reeds(p, 1120, 710, 40, 200, rgb("6f9150"), 157)
    reeds(p, 120, 712, 36, 170, rgb("6f9150"), 158)
    return p.done()


@lru_cache(maxsize=4)
def bg_sunset() -> Image.Image:
    p = canvas(W, H, (0, rgb("5b5a9c")), (0.28, rgb("c9719a")), (0.46, rgb("f59a6c")), (0.58, rgb("fdc98a")), (1, rgb("fdc98a")))
    for x, y, s, k in ((260, 130, 1.1, 11), (980, 90, 1.3, 12)):
        cloud(p, x, y, s, rgb("dc8ba4"), k)
    p.fill(oval(640, 372, 92, 92, steps=80), rgb("fff0c4"))
    for x, w, h, s in ((120, 640, 190, 161), (1180, 700, 220, 162)):
        peak(p, x, 400, w, h, rgb("8a5f8f"), rgb("714c80"), rgb("f2b8b0"), s)
    hills(p, 392, 5, rgb("6b4a7c"), 163, waves=7)
    p.im.paste(sky(W, 330, (0, rgb("f7b07c")), (0.5, rgb("b7708f")), (1, rgb("5f5590"))).resize((W * 2, 660)), (0, 800))
    for i in range(15):
        y = 410 + i * 13
        p.fill(oval(640, y, 96 - i * 3.5 + 16 * math.sin(i * 1.9), 3.4), rgb("ffe6b0"))
    r = random.Random(164)
    for _ in range(40):
        x, y = r.uniform(0, W), r.uniform(412, 600)
        p.fill(oval(x, y, r.uniform(16, 60), 1.8), blend(rgb("ffd0a0"), rgb("8a6a9c"), (y - 400) / 220))
    hills(p, 606, 10, rgb("4f5a5f"), 165, waves=4)
    hills(p, 668, 8, rgb("414c55"), 166, waves=4)
    grass(p, rgb("37424d"), 80, 167, 622, 716)
    reeds(p, 70, 700, 40, 230, rgb("3f4a50"), 168)
    reeds(p, 1220, 706, 46, 250, rgb("3f4a50"), 169)
    return p.done()


# ---------------------------------------------------------------- moving props


def kite(p: Pen, x: float, y: float, s: float, turn: float, t: float, tint: float = 1.0) -> Point:
    """A kite; returns where its string is tied."""
    dim: Callable[[Colour], Colour] = lambda c: tuple(round(v * tint) for v in c)  # type: ignore[return-value,assignment]  # noqa: E731
    p.push(x, y, turn, s, s)
    tail = [(0.0, 40.0)]
    for i in range(1, 9):
        tail.append((10 * math.sin(i * 0.9 - t * 7) * (0.3 + i * 0.12), 40 + i * 13))
    p.line(spline(tail, closed=False), 0.8, dim(rgb("5f5570")))
    for i in (2, 4, 6, 8):
        bx, by = tail[i]
        c = dim(rgb("6fd0cf") if i % 4 else rgb("f4f0fa"))
        p.fill([(bx - 9, by - 5), (bx, by), (bx - 9, by + 5)], c)
        p.fill([(bx + 9, by - 5), (bx, by), (bx + 9, by + 5)], c)
    a, b = dim(rgb("9a6fd0")), dim(rgb("f4f0fa"))
    p.fill([(0, -44), (30, -8), (0, -8)], a)
    p.fill([(0, -44), (-30, -8), (0, -8)], b)
    p.fill([(0, 40), (30, -8), (0, -8)], b)
    p.fill([(0, 40), (-30, -8), (0, -8)], a)
    p.line([(0, -44), (30, -8), (0, 40), (-30, -8), (0, -44), (0, 40)], 0.8)
    p.line([(-30, -8), (30, -8)], 0.8)
    tied = p.place(0, -6)
    p.pop()
    return tied


def string(p: Pen, a: Point, b: Point, sag: float, colour: Colour = rgb("5f5570")) -> None:
    u = np.linspace(0, 1, 24)
    pts = np.stack([a[0] + (b[0] - a[0]) * u, a[1] + (b[1] - a[1]) * u + sag * 4 * u * (1 - u)], axis=1)
    p.line(pts, 0.7, colour)


def overlay() -> Pen:
    return Pen(W, H, 2, ink=2.2)


def shadow(layer: Pen, x: float, y: float, scale: float, colour: Colour, lift: float = 0.0) -> None:
    k = 1 / (1 + lift * 0.03)
    layer.fill(oval(x, y, 17 * scale * k, 3.2 * scale * k), colour)


# ----------------------------------------------------------------------- shots

Scene = list[Layer]


def blinks(t: float, every: float = 2.4, start: float = 1.0) -> bool:
    return (t - start) % every < 0.1


def hop(t: float, start: float, height: float) -> tuple[float, float]:
    """A jump: crouch, flight, landing. Returns the lift and how far the hips sink."""
    u = t - start
    if u < 0 or u > 0.92:
        return 0.0, 0.0
    if u < 0.18:
        return 0.0, 7 * ease(u / 0.18)
    if u < 0.68:
        v = (u - 0.18) / 0.5
        return height * 4 * v * (1 - v), 1.5
    return 0.0, 6 * (1 - ease((u - 0.68) / 0.24))


def joy(t: float, start: float, height: float, base: Pose) -> Pose:
    """A jump for joy, both arms up."""
    lift, sink = hop(t, start, height)
    u = t - start
    if u < 0 or u > 0.92:
        return base
    up = ease(span(u, 0.12, 0.3)) * (1 - ease(span(u, 0.66, 0.9)))
    a = replace(base, hand0=(-22.0, -77.0), hand1=(22.0, -77.0), mouth="open", swing=0.0, brow=0.6)
    out = mix(base, a, up)
    tuck = 5.0 if lift > 2 else 0.0
    return replace(
        out,
        lift=lift,
        hip=(0.0, sink),
        foot0=(-6.5, -tuck),
        foot1=(6.5, -tuck * 0.6),
        swing=1.1 if 0.18 < u < 0.42 else (-0.5 if u < 0.68 else 0.2),
        mouth="open" if u > 0.15 else base.mouth,
    )


def wave(t: float, base: Pose, hand: int = 1) -> Pose:
    """Waving with one hand."""
    x = 23 + 4.5 * math.sin(t * 11)
    sign = 1 if hand else -1
    point = (sign * x, -74.0 - 1.5 * math.cos(t * 11))
    return replace(base, **{f"hand{hand}": point}, mouth="open", tilt=sign * 4.0, swing=0.25 * math.sin(t * 11))


def title(t: float, _: float) -> Scene:
    o = overlay()
    x, y = 1120 + 26 * math.sin(t * 1.3), 190 + 16 * math.sin(t * 2.1)
    tied = kite(o, x, y, 1.35, 20 + 5 * math.sin(t * 2), t)
    string(o, tied, (760, 740), 60)
    return [Layer(bg_title()), Layer(o.done())]


def dawn(t: float, _: float) -> Scene:
    o = overlay()
    # a condor crossing
    x, y, f = 300 + 95 * t, 170 - 10 * t, math.sin(t * 3)
    o.push(x, y, -6)
    c = rgb("4f4668")
    o.fill(spline([(-70, -14 - 12 * f), (-30, -16), (0, -4), (34, -18), (72, -18 - 12 * f), (40, -4), (8, 8), (-4, 9), (-36, -3)]), c)
    o.pop()
    cloud(o, 520 + 12 * t, 430, 1.2, rgb("f6e3e0"), 4)
    return [Layer(bg_dawn()), Layer(o.done())]


def meadow(t: float, _: float) -> Scene:
    s = 2.9
    x = -70 + 700 * span(t, 0, 4.0)
    hold: Point = (21.5, -63.0)
    if t < 4.0:
        nilo = replace(walk(t * 1.5), hand1=hold, look=(0.3, -0.6))
    elif t < 4.17:
        nilo = replace(SIDE, hand1=hold)
    else:
        rest = replace(STAND, turn=0.55, hand0=(-19.0, -70.0), look=(0.7, 0.0), blink=blinks(t, 2.0, 0.6))
        nilo = replace(wave(t, rest, 1), hand0=(-19.0, -70.0))
    sit = replace(SIT_FRONT, turn=-0.5, look=(-0.8, 0.0), blink=blinks(t), wind=-0.3 + 0.1 * math.sin(t * 4), swing=0.1 * math.sin(t * 3))
    wx, wy = 1004.0, 614.0
    if t < 1.9:
        wara = sit
    elif t < 3.6:
        wara = wave(t, sit, 0)
    elif t < 4.1:
        wara = sit
    else:
        u = span(t, 4.1, 4.6)
        wx, wy = 1004 - 120 * u, 614 + 46 * u
        wara = joy(t, 4.0, 24, replace(STAND, turn=-0.5, look=(-0.8, 0.0), wind=-0.3))
        if t > 4.95:
            wara = joy(t, 5.0, 16, replace(STAND, turn=-0.5, look=(-0.8, 0.0), wind=-0.3))
    a = actor(NILO, x, 655, s, nilo)
    b = actor(WARA, wx, wy, s, wara)
    under, over = overlay(), overlay()
    shadow(under, 318, 548, 1.5 * 1.7, rgb("79b055"))
    shadow(under, x, 655, s, rgb("6ea24d"))
    shadow(under, wx, 655 if t > 4.1 else 646, s, rgb("6ea24d"), wara.lift)
    kx, ky = x + 190 + 24 * math.sin(t * 1.7), 150 + 20 * math.sin(t * 2.3)
    tied = kite(over, kx, ky, 0.95, 14 + 7 * math.sin(t * 2.3), t)
    string(over, a.grip[0 if t >= 4.17 else 1], tied, 16)
    return [Layer(bg_meadow()), Layer(under.done()), llama(318, 548, 1.5, math.sin(t * 6)), b, a, Layer(over.done())]


def gust(t: float, _: float) -> Scene:
    s = 8.6
    calm = replace(STAND, turn=0.35, look=(0.5, -0.9), nod=-1.2, brow=0.3, blink=blinks(t, 1.7, 0.6), hand1=(17.0, -62.0), over=(False, False))
    n_gone = replace(calm, turn=0.7, look=(0.8, -1.0), mouth="o", brow=1.0, hand1=(24.0, -82.0), hand0=(-19.0, -44.0), tilt=6.0, swing=0.9, blink=False)
    n_sad = replace(n_gone, hand0=(-17.0, -68.0), hand1=(17.0, -68.0), tilt=-3.0, turn=0.3, swing=0.6, brow=1.0)
    nilo = keys(t, (1.9, calm), (2.2, n_gone), (2.9, n_gone), (3.2, n_sad))
    if t < 1.9:
        nilo = replace(nilo, tilt=2 * math.sin(t * 2), swing=0.15 * math.sin(t * 3))
    w_calm = replace(STAND, turn=-0.1, look=(-0.2, -0.9), nod=-1.0, wind=-0.25 + 0.1 * math.sin(t * 3), blink=blinks(t, 1.6, 0.3))
    w_talk = replace(w_calm, turn=-0.75, look=(-0.9, 0.0), nod=0.0, mouth="open", tilt=-3.0)
    w_gone = replace(w_calm, turn=0.6, look=(0.9, -1.0), mouth="o", brow=1.0, wind=1.5 + 0.2 * math.sin(t * 16), swing=1.2 + 0.2 * math.sin(t * 14), hand1=(22.0, -76.0), sway=2.0)
    w_go = replace(w_gone, turn=-0.5, look=(-0.8, 0.2), mouth="open", wind=0.7, swing=0.4, brow=0.5)
    wara = keys(t, (0.9, w_calm), (1.1, w_talk), (1.8, w_talk), (2.1, w_gone), (3.0, w_gone), (3.25, w_go))
    a = actor(NILO, 432, 1010, s, nilo)
    b = actor(WARA, 752, 985, s, wara)
    o = overlay()
    if t < 2.0:
        string(o, a.grip[1], (1010, -30), 24)
    elif t < 2.7:
        u = (t - 2.0) / 0.7
        string(o, (640 + 700 * u, 200 - 250 * u), (1010 + 460 * u, -60), -30 * (1 - u))
    wind = overlay()
    if t > 1.8:
        for i in range(5):
            x = (t - 1.8) * 1500 - 300 - i * 330
            y = 110 + i * 118
            wind.line(spline([(x, y), (x + 110, y - 12), (x + 230, y + 6), (x + 320, y - 4)], closed=False), 1.3, rgb("eef8fc"))
    return [Layer(bg_sky()), a, Layer(o.done()), b, Layer(wind.done())]


def village(t: float, _: float) -> Scene:
    s = 3.1
    floor = 650.0
    layers: Scene = [Layer(bg_village())]
    under, over = overlay(), overlay()
    cast: Scene = []
    chalk = rgb("a89b88")
    if t < 3.3:
        x = -60 + 470 * t
        if x < W + 120:
            cast.append(actor(NILO, x, floor + 14, s, replace(run(t * 2), look=(0.2, -0.5))))
            shadow(under, x, floor + 14, s, chalk)
    elif t > 3.45:
        x = 1360 - 330 * span(t, 3.45, 4.35) * 0.9 * 1.15
        pose = walk((t - 3.45) * 2.3)
        if t > 4.35:
            pose = wave(t, replace(STAND, turn=-0.6, look=(-0.9, 0.0)), 0)
            cast.append(actor(NILO, x, floor + 14, s, pose))
        else:
            cast.append(actor(NILO, x, floor + 14, s, pose, flip=True))
        shadow(under, x, floor + 14, s, chalk)
    if t > 0.7:
        x = -110 + 470 * min(t - 0.7, 1.5)
        if t < 2.2:
            pose = run(t * 2 + 0.3)
        elif t < 2.35:
            pose = replace(SIDE, lean=-5.0, foot1=(8.0, 0.0), wind=0.9, swing=0.9)
        elif t < 3.7:
            pant = math.sin(t * 12)
            pose = replace(STAND, turn=0.4 * math.sin(t * 4.5), look=(0.9 * math.sin(t * 4.5), -0.4), hip=(0.0, 1.2 + pant), nod=0.5 * pant, mouth="o", brow=0.8, hand0=(-14.0, -36.0), blink=blinks(t, 0.9, 2.5), hand1=(16.0, -66.0) if t > 2.8 else (14.0, -36.0), wind=-0.2)
        else:
            x += 380 * (t - 3.7)
            pose = run(t * 1.8)
        cast.append(actor(WARA, x, floor, s * 0.98, pose))
        shadow(under, x, floor, s, chalk)
    kx, ky = 160 + 420 * t, 215 + 30 * math.sin(t * 3)
    tied = kite(over, kx, ky, 1.0, 52 + 9 * math.sin(t * 4), t)
    string(over, tied, (kx - 190, ky + 80 + 12 * math.sin(t * 6)), 26)
    return [*layers, Layer(under.done()), *cast[::-1], Layer(over.done()), Layer(fg_village())]


def market(t: float, _: float) -> Scene:
    s = 3.15
    seller = replace(STAND, turn=-0.35, look=(-0.6, -0.1), blink=blinks(t, 1.9, 0.4), tilt=2.5 * math.sin(t * 2.2), mouth="open" if 2.6 < t < 4.2 and math.sin(t * 14) > 0 else "smile", hand0=(-15.0, -46.0 + 2 * math.sin(t * 4)), hand1=(15.0, -46.0))
    elder_x = 1130 - 148 * t
    dust = rgb("b5a48a")
    under = overlay()
    shadow(under, elder_x, 628, 2.9, dust)
    up = replace(BACK, tilt=2.0 * math.sin(t * 2), swing=0.12 * math.sin(t * 3), wind=0.35 + 0.1 * math.sin(t * 3))
    # Nilo looks after the kite with his back to us, turns round, and runs off to the left
    nx, nf = 520.0, False
    if t < 2.5:
        nilo = keys(t, (0.4, up), (0.7, replace(up, hand0=(-21.0, -78.0))), (1.8, replace(up, hand0=(-21.0, -78.0))), (2.1, up))
    elif t < 2.7:
        nilo, nf = replace(SIDE, mouth="o"), True
    elif t < 3.9:
        nilo = replace(STAND, turn=0.5 * math.cos(t * 2.5), mouth="smile", hand1=(15.0, -64.0), look=(0.7, 0.0), blink=blinks(t, 1.0, 0.1), tilt=-4.0)
    elif t < 4.05:
        nilo, nf = SIDE, True
    else:
        nx, nf = 520 - 265 * (t - 4.05), True
        nilo = walk((t - 4.05) * 2.1)
    wx, wf = 688.0, False
    if t < 3.2:
        wara = keys(t, (0.9, up), (1.2, replace(up, hand1=(22.0, -78.0))), (2.6, replace(up, hand1=(20.0, -80.0))), (2.9, up))
    elif t < 3.4:
        wara, wf = SIDE, True
    elif t < 4.3:
        wara = replace(STAND, turn=-0.5, look=(-0.8, 0.0), mouth="open", blink=blinks(t, 1.0, 0.7), wind=0.3, hand0=(-22.0, -60.0))
    else:
        wx, wf = 688 - 300 * (t - 4.3), True
        wara = walk(t * 2.2)
    shadow(under, nx, 664, s, dust)
    shadow(under, wx, 652, s, dust)
    o = overlay()
    kx, ky = 700 - 74 * t, 120 + 20 * math.sin(t * 2)
    tied = kite(o, kx, ky, 0.75, -24 + 8 * math.sin(t * 3), t)
    string(o, tied, (kx + 110, ky + 92 + 8 * math.sin(t * 5)), 18)
    return [
        Layer(bg_market()),
        Layer(o.done()),
        actor(SELLER, 1040, 585, 3.0, seller),
        Layer(stall_table()),
        Layer(under.done()),
        actor(ELDER, elder_x, 628, 2.95, replace(walk(t * 1.27), lean=7.0), flip=True),
        actor(WARA, wx, 652, s * 0.97, wara, flip=wf),
        actor(NILO, nx, 664, s, nilo, flip=nf),
        Layer(fg_market()),
    ]


def forest(t: float, live: float) -> Scene:
    s = 3.05
    cam = 820 * ease(span(live, 0.2, 6.6))

    def way(u: float) -> float:
        return 200 + 205 * min(u, 4.7)

    nx, wx = way(live) + 100, way(live - 0.35) - 60
    light = Light((0.90, 0.97, 0.90))
    arrived = t > 4.7
    nilo = walk(t * 1.68) if not arrived else joy(t, 4.95, 30, joy(t, 5.9, 26, replace(BACK, hand0=(-16.0, -30.0))))
    wara = walk(t * 1.68 + 0.37)
    if t > 5.05:
        wara = replace(STAND, turn=0.6, look=(0.8, -1.0), brow=0.9, mouth="open", hand1=(23.0, -74.0 + math.sin(t * 8)), blink=blinks(t, 1.1, 0.3))
    under, over = overlay(), overlay()
    shadow(under, nx - cam, 668, s, rgb("587e50"), nilo.lift)
    shadow(under, wx - cam, 656, s, rgb("587e50"))
    kx = 1330 - cam
    kite(over, kx, 216 + 4 * math.sin(t * 3), 1.0, 28 + 4 * math.sin(t * 3), t, 0.94)
    c = round(cam)
    back = bg_forest().crop((c, 0, c + W, H))
    f = round(cam * 1.3)
    front = fg_forest().crop((f, 0, f + W, H))
    return [
        Layer(back),
        Layer(over.done()),
        Layer(under.done()),
        actor(WARA, wx - cam, 656, s * 0.97, wara, light=light),
        actor(NILO, nx - cam, 668, s, nilo, light=light),
        Layer(front),
    ]


MOON = Light((0.52, 0.60, 0.92), rgb("c3d6ff"), (3, 3), 0.75)


def night(t: float, _: float) -> Scene:
    s = 3.25
    under, over = overlay(), overlay()
    nx, ny = 574.0, 645.0
    sit = replace(SIT_SIDE, look=(0.2, -0.4), blink=blinks(t, 1.9, 0.8), tilt=-3 + 2 * math.sin(t * 1.5), hand1=(10.0, -36.0), mouth="smile")
    up = replace(sit, tilt=-14.0, look=(0.4, -0.8), mouth="o", hand1=(20.0, -72.0))
    nilo = keys(t, (1.9, sit), (2.2, up), (3.1, up), (3.4, sit), (3.8, sit), (4.2, SIDE))
    if t > 4.2:
        nx += 130 * (t - 4.2)
        nilo = walk((t - 4.2) * 1.0)
    w_sit = replace(SIT_FRONT, turn=-0.2, look=(-0.4, -0.5), blink=blinks(t, 2.1, 1.2), wind=0.2, hand0=(-10.0, -34.0), hand1=(10.0, -34.0), over=(True, True), tilt=2 * math.sin(t * 1.7))
    w_up = replace(w_sit, turn=0.5, look=(0.8, -1.0), mouth="open", brow=0.8, hand1=(22.0, -78.0), over=(True, False))
    wara = keys(t, (1.7, w_sit), (2.0, w_up), (3.2, w_up), (3.5, w_sit))
    if t > 4.0:
        wara = replace(w_sit, turn=-0.6, look=(-0.9, -0.2), mouth="open", hand0=(-20.0, -62.0), over=(False, True))
    shadow(under, nx + 10, ny + 2, s, rgb("182844"))
    shadow(under, 720, 650, s, rgb("182844"))
    if 1.5 < t < 2.2:
        u = (t - 1.5) / 0.7
        x, y = 560 + 470 * u, 70 + 120 * u
        for i in range(10):
            k = i / 10
            over.fill(oval(x - 130 * k, y - 33 * k, 3.6 * (1 - k), 3.6 * (1 - k), steps=12), blend(WHITE, rgb("5d6fae"), k))
    return [
        Layer(bg_night()),
        Layer(over.done()),
        Layer(under.done()),
        actor(WARA, 722, 650, s, wara, light=MOON),
        actor(NILO, nx, ny, s, nilo, light=MOON),
    ]


LAMP = Light((1.0, 0.93, 0.84), rgb("ffe0a6"), (-3, 3), 0.7)


def room(t: float, _: float) -> Scene:
    s = 3.5
    calm = replace(STAND, turn=0.55, look=(0.8, 0.0), blink=blinks(t, 1.5, 0.5), tilt=1.5 * math.sin(t * 3), hand1=(13.0, -46.0), over=(False, True), mouth="open" if t < 1.6 and math.sin(t * 13) > 0 else "smile")
    hide = replace(calm, hip=(0.0, 27.0), fore=0.45, turn=0.0, look=(0.0, -0.6), mouth="o", brow=1.0, hand0=(-14.0, -70.0), hand1=(14.0, -70.0), over=(True, True), blink=False)
    peep = replace(hide, hip=(0.0, 15.0), mouth="flat", look=(0.9, 0.0), turn=0.4)
    nilo = keys(t, (1.75, calm), (2.0, hide), (2.7, hide), (3.0, peep), (3.4, replace(peep, mouth="smile")))
    sip = replace(STAND, turn=-0.5, look=(-0.8, 0.2), blink=blinks(t, 1.7, 0.9), hand1=(8.0, -47.0), over=(False, True), mug=True, wind=0.0)
    drink = replace(sip, hand1=(2.0, -58.0), tilt=-3.0, blink=True)
    shock = replace(sip, lift=9.0, hand1=(17.0, -52.0), hand0=(-22.0, -62.0), mouth="o", brow=1.0, swing=1.3, sway=2.0, look=(0.0, 0.0), turn=-0.1, foot0=(-9.0, -2.0), foot1=(9.0, -2.0))
    laugh = replace(sip, mouth="open", tilt=4 * math.sin(t * 14), hand0=(-10.0, -40.0), over=(True, True), blink=True)
    wara = keys(t, (0.4, sip), (0.7, drink), (1.2, drink), (1.45, sip), (1.75, sip), (1.9, shock), (2.0, shock), (2.2, replace(shock, lift=0.0)), (2.6, replace(shock, lift=0.0, swing=0.0)), (2.9, laugh))
    under = overlay()
    shadow(under, 918, 676, s, rgb("4d5462"), wara.lift)
    return [
        Layer(bg_room()),
        actor(NILO, 560, 650, s, nilo, light=LAMP),
        Layer(table()),
        Layer(under.done()),
        actor(WARA, 918, 676, s, wara, light=LAMP),
    ]


def window(t: float, _: float) -> Scene:
    o = overlay()
    kx, ky = 690 + 310 * t, 250 - 60 * t + 12 * math.sin(t * 4)
    tied = kite(o, kx, ky, 0.8, 40 + 8 * math.sin(t * 4), t)
    string(o, tied, (kx - 120, ky + 70), 20)
    frame = Pen(W, H, 2)
    for a, b in ((700, 744), (1000, 1024)):
        frame.fill([(a, -10), (b, -10), (b, 640), (a, 640)], rgb("6d4d40"))
    frame.fill([(-10, 66), (700, 66), (700, 700), (-10, 700)], rgb("b0948b"))
    dull = replace(STAND, turn=-0.15, look=(-0.2, 0.5), mouth="flat", blink=blinks(t, 0.7, 0.25))
    aha = replace(dull, turn=0.75, look=(1.0, -0.4), mouth="o", brow=1.0, tilt=3.0, swing=0.3, blink=False)
    wara = keys(t, (0.3, dull), (0.65, aha))
    if t > 0.85:
        bob = math.sin(t * 9)
        wara = replace(SIDE, mouth="open", brow=0.8, look=(0.5, -0.3), tilt=-4 + bob, hand1=(24.5, -57.0 + 1.5 * bob), swing=-0.2 + 0.2 * bob)
    dawnlight = Light((1.0, 0.98, 0.97))
    out: Scene = [Layer(bg_window()), Layer(o.done()), Layer(frame.done())]
    if t > 0.9:
        u = ease(span(t, 0.9, 1.25))
        nilo = replace(STAND, turn=0.7, look=(0.9, -0.4), mouth="open", brow=0.9, tilt=8.0, swing=0.3, blink=blinks(t, 0.8, 0.6))
        out.append(actor(NILO, -150 + 260 * u, 1160, 11.0, nilo, light=dawnlight))
    out.append(actor(WARA, 440, 1225, 12.0, wara, light=dawnlight))
    return out


def flakes(t: float, n: int, seed: int, size: tuple[float, float], speed: float) -> Image.Image:
    r = random.Random(seed)
    p = Pen(W, H, 2)
    for _ in range(n):
        x, y, k, f = r.uniform(0, W + 200), r.uniform(0, H), r.uniform(*size), r.uniform(0.7, 1.3)
        px = (x - 60 * speed * f * t + 14 * math.sin(t * 2 + x)) % (W + 60) - 30
        py = (y + 110 * speed * f * t) % (H + 40) - 20
        p.fill(oval(px, py, k, k, steps=12), WHITE)
    return p.done()


COLD = Light((0.93, 0.96, 1.0))


def snow(t: float, _: float) -> Scene:
    s = 1.3
    under = overlay()
    nx, wx = 300 + 78 * t, 214 + 78 * t
    for start, y, until in ((120, 612, wx), (120, 604, nx)):
        x = float(start)
        while x < until - 4:
            under.fill(oval(x, y + (2 if int(x / 21) % 2 else -1), 5, 2), rgb("c9d8e6"))
            x += 21
    shadow(under, nx, 612, s, rgb("cbd9e7"))
    shadow(under, wx, 604, s, rgb("cbd9e7"))
    kx, ky = 760 + 60 * t, 150 + 16 * math.sin(t * 2)
    tied = kite(under, kx, ky, 0.5, 44 + 8 * math.sin(t * 3), t)
    string(under, tied, (kx - 70, ky + 46), 12)
    return [
        Layer(bg_snow()),
        Layer(under.done()),
        actor(WARA, wx, 604, s * 0.97, replace(walk(t * 1.5 + 0.4), lean=7.0, wind=-1.2), light=COLD),
        actor(NILO, nx, 612, s, replace(walk(t * 1.5), lean=7.0), light=COLD),
        Layer(flakes(t, 70, 171, (1.6, 3.4), 1.0)),
    ]


@lru_cache(maxsize=2)
def bg_snow_near() -> Image.Image:
    return bg_snow().crop((500, 190, 1140, 550)).resize((W, H), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(3))


def pass_by(t: float, _: float) -> Scene:
    """Nilo close, and Wara going by behind him."""
    s = 9.6
    shiver = 0.35 * math.sin(t * 40)
    cold = replace(STAND, turn=0.25, look=(0.4, -0.3), mouth="flat", brow=0.7, hand0=(-6.0, -44.0), hand1=(6.0, -42.0), over=(True, True), blink=blinks(t, 1.1, 0.3), swing=-0.5 + 0.1 * math.sin(t * 6))
    glad = replace(cold, turn=0.75, look=(1.0, -0.5), mouth="open", tilt=4.0, brow=1.0, hand1=(24.0, -74.0), over=(True, False), blink=False)
    nilo = keys(t, (1.2, cold), (1.5, glad))
    wx = -160 + 520 * t
    return [
        Layer(bg_snow_near()),
        actor(WARA, wx, 860, 6.6, replace(walk(t * 1.9), lean=6.0, wind=-1.2, mouth="smile"), light=COLD),
        actor(NILO, 560 + shiver * (t < 1.3) * 4, 1100, s, nilo, light=COLD),
        Layer(flakes(t, 34, 172, (4.0, 8.0), 1.6)),
    ]


def lake(t: float, _: float) -> Scene:
    o = overlay()
    u = ease(span(t, 0.0, 1.3))
    x, y = 780 + 190 * u, 150 + 290 * u
    tied = kite(o, x, y, 1.1, 30 + 40 * u + 8 * (1 - u) * math.sin(t * 8), t)
    string(o, tied, (x - 120, y + 100), 24)
    front = Pen(W, H, 2)
    reeds(front, 985, 700, 34, 250, rgb("84a45a"), 159)
    return [Layer(bg_lake()), Layer(o.done()), Layer(front.done())]


DUSK = Light((0.90, 0.72, 0.78), rgb("ffd9a0"), (0, 4), 0.8)


def sunset(t: float, _: float) -> Scene:
    s = 3.0
    under, over = overlay(), overlay()
    earth = rgb("353f4a")
    if t < 1.3:
        nx, wx = -60 + 470 * t, -190 + 500 * t
        nilo, wara = run(t * 2.05), run(t * 2.1 + 0.4)
        nilo = replace(nilo, hand1=(15.0, -70.0))
    else:
        u = ease(span(t, 2.9, 3.2))
        nx, wx = 551 + 14 * u, 460 + 232 * ease(span(t, 1.3, 1.75)) + 8 * u
        base = replace(STAND, turn=0.45, look=(0.8, 0.0), hand1=(17.0, -70.0), blink=blinks(t, 1.4, 0.2))
        nilo = replace(joy(t, 1.75, 22, base), hand1=(19.0, -76.0))
        w_base = replace(STAND, turn=-0.45, look=(-0.8, 0.0), wind=0.3, mouth="open")
        wara = run(t * 2.1 + 0.4) if t < 1.75 else joy(t, 1.8, 26, w_base)
        if t > 2.75:  # turned away, they sit down and watch the sun go
            d = ease(span(t, 3.0, 3.4))
            stand = replace(BACK, hand1=(18.0, -70.0))
            nilo = mix(stand, replace(SIT_BACK, hand1=(18.0, -68.0), legs=True), d)
            wara = mix(BACK, replace(SIT_BACK, legs=True, wind=0.25), d)
            if d > 0.6:
                nilo, wara = replace(nilo, legs=False), replace(wara, legs=False)
            if 2.75 < t < 2.92:
                nilo, wara = replace(SIDE, hand1=(12.0, -68.0)), SIDE
            if t > 3.8:
                lean = ease(span(t, 3.8, 4.3))
                nilo = replace(nilo, tilt=5 * lean, lean=1.5 * lean)
                wara = replace(wara, tilt=-9 * lean, lean=-4 * lean, swing=0.2)
                wx -= 26 * lean
    turned = 2.75 < t < 2.92
    a = actor(NILO, nx, 672, s, nilo, light=DUSK)
    b = actor(WARA, wx, 664, s * 0.97, wara, light=DUSK, flip=turned)
    shadow(under, nx, 672, s, earth, nilo.lift)
    shadow(under, wx, 664, s, earth, wara.lift)
    kx, ky = nx + 200 + 22 * math.sin(t * 1.6), 170 + 20 * math.sin(t * 2.1)
    tied = kite(over, kx, ky, 0.95, 16 + 7 * math.sin(t * 2.2), t, 0.86)
    string(over, a.grip[1], tied, 18, rgb("4a3f5f"))
    return [Layer(bg_sunset()), Layer(under.done()), Layer(over.done()), b, a]


def end(t: float, _: float) -> Scene:
    o = overlay()
    tied = kite(o, 1010 + 20 * math.sin(t * 1.5), 300 - 26 * t, 0.9, 22 + 6 * math.sin(t * 2), t, 0.9)
    string(o, tied, (780, 740), 50, rgb("3d2a5a"))
    return [Layer(bg_end()), Layer(o.done())]


@dataclass(frozen=True)
class Shot:
    name: str
    start: float
    scene: Callable[[float, float], Scene]
    ones: bool = False  # positions move on every frame (a pan); else all is held for two


SHOTS = (
    Shot("title card", 0.0, title),
    Shot("mountains at dawn", 3.5, dawn),
    Shot("meadow", 6.5, meadow),
    Shot("gust of wind", 12.5, gust),
    Shot("village street", 16.5, village),
    Shot("market", 21.5, market),
    Shot("forest", 27.5, forest, ones=True),
    Shot("moonlit night", 34.0 + 1 / FPS, night),
    Shot("room in a storm", 39.5, room),
    Shot("window in the morning", 43.5, window),
    Shot("snowy pass", 45.5, snow),
    Shot("snow, close", 48.0 + 1 / 3, pass_by),
    Shot("lake", 50.5, lake),
    Shot("sunset", 52.5, sunset),
    Shot("end card", 57.5, end),
)
LENGTH = 59.5
DISSOLVE = (6.5 - 8 / FPS, 6.5 + 8 / FPS)  # into the meadow
FADE_OUT, FADE_IN = (33.25, 33.875), (34.125, 34.75)
FLASH = (41.25, 41.25 + 4 / FPS)
FLASH_LEVELS = (1.0, 1.0, 0.62, 0.28)


# ----------------------------------------------------------------- composition


def scene_at(index: int, frame: int) -> Scene:
    shot = SHOTS[index]
    first = round(shot.start * FPS)
    live = (frame - first) / FPS
    held = ((frame - first) // 2 * 2) / FPS
    return shot.scene(held, live if shot.ones else held)


def flatten(scene: Scene) -> Image.Image:
    out = scene[0].image.convert("RGB")
    for layer in scene[1:]:
        out.paste(layer.image, layer.at, layer.image)
    return out


def shots_of(frame: int) -> list[tuple[int, float]]:
    """The shots seen in a frame with their weights: two during the dissolve."""
    t = frame / FPS
    index = max(i for i, s in enumerate(SHOTS) if round(s.start * FPS) <= frame)
    if DISSOLVE[0] <= t < DISSOLVE[1]:
        into = next(i for i, s in enumerate(SHOTS) if s.name == "meadow")
        u = (t - DISSOLVE[0] + 0.5 / FPS) / (DISSOLVE[1] - DISSOLVE[0])
        return [(into - 1, 1 - u), (into, u)]
    return [(index, 1.0)]


def brightness(frame: int) -> float:
    t = frame / FPS
    if FADE_OUT[0] <= t < FADE_IN[1]:
        return max(1 - span(t, *FADE_OUT), span(t, *FADE_IN))
    return 1.0


def picture(frame: int) -> Image.Image:
    parts = shots_of(frame)
    out = flatten(scene_at(parts[0][0], frame))
    if len(parts) == 2:
        out = Image.blend(out, flatten(scene_at(parts[1][0], frame)), parts[1][1])
    light = brightness(frame)
    if light < 1:
        out = out.point([round(v * light) for v in range(256)] * 3)
    k = frame - round(FLASH[0] * FPS)
    if 0 <= k < len(FLASH_LEVELS):
        out = Image.blend(out, Image.new("RGB", (W, H), WHITE), FLASH_LEVELS[k])
    return out


def key(frame: int) -> tuple[Any, ...]:
    """Frames with equal keys show the same picture."""
    parts = shots_of(frame)
    if len(parts) == 2 or brightness(frame) < 1 or 0 <= frame - round(FLASH[0] * FPS) < len(FLASH_LEVELS):
        return (frame,)
    index = parts[0][0]
    first = round(SHOTS[index].start * FPS)
    return (index, frame if SHOTS[index].ones else (frame - first) // 2)


def run_of_frames(frames: range) -> list[bytes]:
    out: list[bytes] = []
    last: tuple[Any, ...] = ()
    for f in frames:
        if key(f) != last:
            data, last = picture(f).tobytes(), key(f)
        out.append(data)
    return out


# ---------------------------------------------------------------------- labels


def figures_in(frame: int) -> list[dict[str, Any]]:
    """The figures of a frame: name, box of what can be seen, and how much that is."""
    out = []
    for index, weight in shots_of(frame):
        scene = scene_at(index, frame)
        for i, layer in enumerate(scene):
            if not layer.name:
                continue
            alpha = np.asarray(layer.image.getchannel("A")).astype(np.float32) / 255
            total = float(alpha.sum())
            seen = Image.new("L", (W, H), 0)
            seen.paste(layer.image.getchannel("A"), layer.at)
            mask = np.asarray(seen).astype(np.float32) / 255
            inside = float(mask.sum())
            for above in scene[i + 1 :]:
                cover = Image.new("L", (W, H), 0)
                cover.paste(above.image.getchannel("A"), above.at)
                mask = mask * (1 - np.asarray(cover).astype(np.float32) / 255)
            solid = mask >= 0.5
            light = weight * brightness(frame)
            if solid.sum() < 120 or light < 0.25:
                continue
            ys, xs = np.where(solid.any(axis=1))[0], np.where(solid.any(axis=0))[0]
            box = [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)]
            out.append(
                {
                    "name": layer.name,
                    "bbox": box,
                    "area": int(solid.sum()),
                    "visible": round(float(mask.sum()) / total, 3),
                    "in_frame": round(inside / total, 3),
                }
            )
    return out


CATEGORIES = ("Nilo", "Wara", "extra")


def label_file() -> dict[str, Any]:
    images, notes = [], []
    for second in range(math.ceil(LENGTH)):
        images.append({"id": second + 1, "file_name": f"t{second:09.3f}", "width": W, "height": H, "time": float(second)})
        for f in figures_in(second * FPS):
            notes.append(
                {
                    "id": len(notes) + 1,
                    "image_id": second + 1,
                    "category_id": CATEGORIES.index(f["name"]) + 1,
                    "bbox": f["bbox"],
                    "area": f["area"],
                    "iscrowd": 0,
                    "visible": f["visible"],
                    "in_frame": f["in_frame"],
                }
            )
    info = {
        "description": "Two Friends and a Kite: one picture per second",
        "notes": "bbox: around the visible part. area: its pixels. in_frame: share of the whole figure "
        "inside the picture. visible: share both inside the picture and not covered.",
    }
    cats = [{"id": i + 1, "name": n} for i, n in enumerate(CATEGORIES)]
    return {"info": info, "images": images, "annotations": notes, "categories": cats}


def shot_file() -> dict[str, Any]:
    def r(x: float) -> float:
        return round(x, 6)

    soft = {"meadow": "dissolve", "moonlit night": "fade"}
    shots = []
    for i, s in enumerate(SHOTS):
        stop = SHOTS[i + 1].start if i + 1 < len(SHOTS) else LENGTH
        people = sorted({layer.name for f in range(round(s.start * FPS), round(stop * FPS), 6) for layer in scene_at(i, f) if layer.name})
        shots.append({"name": s.name, "start": r(s.start), "end": r(stop), "entered_by": soft.get(s.name, "cut") if i else "start", "figures": people})
    return {
        "fps": FPS,
        "frames": round(LENGTH * FPS),
        "duration": LENGTH,
        "width": W,
        "height": H,
        "cuts": [r(s.start) for s in SHOTS[1:] if s.name not in soft],
        "dissolves": [{"start": r(DISSOLVE[0]), "end": r(DISSOLVE[1])}],
        "fades": [{"out_start": FADE_OUT[0], "out_end": FADE_OUT[1], "in_start": FADE_IN[0], "in_end": FADE_IN[1]}],
        "flashes": [{"start": r(FLASH[0]), "end": r(FLASH[1])}],
        "shots": shots,
    }


# the moments the reference pictures are cropped from
REFERENCES = {
    "Nilo": (5.0 + 6.5, 16.5 + 1.25, 34.0 + 3.0),
    "Wara": (12.0, 16.5 + 3.0, 34.0 + 2.0),
}


def crop_references(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, times in REFERENCES.items():
        for i, t in enumerate(times, 1):
            frame = round(t * FPS)
            box = next(f["bbox"] for f in figures_in(frame) if f["name"] == name)
            x, y, w, h = box
            m = 4
            area = (max(0, x - m), max(0, y - m), min(W, x + w + m), min(H, y + h + m))
            picture(frame).crop(area).save(folder / f"{name.lower()}-{i}.png", optimize=True)


# ---------------------------------------------------------------------- output


def ffmpeg() -> str:
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg  # noqa: PLC0415

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def encode(path: Path, jobs: int) -> None:
    total = round(LENGTH * FPS)
    command = [ffmpeg(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{W}x{H}", "-r", str(FPS), "-i", "-"]
    command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int", "-pix_fmt", "yuv420p"]
    command += ["-c:v", "libx264", "-profile:v", "high", "-preset", "slow", "-tune", "animation", "-crf", "28.5", "-g", "48", "-bf", "3"]
    command += ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]
    command += ["-threads", "2", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", str(path)]
    chunks = [range(i, min(i + 48, total)) for i in range(0, total, 48)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as p:
        assert p.stdin is not None
        with multiprocessing.Pool(jobs) as pool:
            for part in pool.imap(run_of_frames, chunks):
                for data in part:
                    p.stdin.write(data)
        p.stdin.close()
        if p.wait():
            raise SystemExit("ffmpeg failed")


def dump(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1)
    path.write_text(text + "\n", encoding="ascii")


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    ap.add_argument("--stills", nargs=2, metavar=("FOLDER", "SECONDS"), help="only write PNG stills, one every SECONDS")
    ap.add_argument("--truth", action="store_true", help="only write labels.json, shots.json and the references")
    ap.add_argument("--jobs", type=int, default=2, help="processes that draw")
    args = ap.parse_args()
    if args.stills:
        folder, step = Path(args.stills[0]), float(args.stills[1])
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(math.ceil(LENGTH / step)):
            picture(round(i * step * FPS)).save(folder / f"t{i * step:09.3f}.png")
        return
    dump(HERE / "labels.json", label_file())
    dump(HERE / "shots.json", shot_file())
    crop_references(HERE / "cast")
    if not args.truth:
        encode(HERE / "two_friends.mp4", args.jobs)


if __name__ == "__main__":
    main()
