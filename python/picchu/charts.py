"""Charts for a notebook: plain SVG in the colour of the text, so that light and dark themes both work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

__all__ = ["bars", "curve"]

WIDTH, HEIGHT = 640, 160
"""The drawing area in user units; a line of words lies below it."""

_TEXT = 'font-size="12" fill="currentColor"'
_CUT = "#d33"


def curve(points: Sequence[tuple[float, float]], *, label: str, x: str = "", cut: float | None = None) -> str:
    """A line through points, with its ends named.

    Args:
        points: Rising in their first number.
        label: What is shown, for those who do not see it.
        x: The name of the first number.
        cut: A vertical line here.
    """
    if len(points) < 2:
        return ""
    (left, _), (right, _) = points[0], points[-1]
    low, high = min(y for _, y in points), max(y for _, y in points)

    def across(value: float) -> float:
        return WIDTH * (value - left) / ((right - left) or 1)

    def up(value: float) -> float:
        return HEIGHT - HEIGHT * (value - low) / ((high - low) or 1)

    line = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in points)
    first, last = points[0][1], points[-1][1]
    marks = f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    marks += f'<text x="4" y="{_beside(up(first))}" {_TEXT}>{first:.4g}</text>'
    marks += f'<text x="{WIDTH - 4}" y="{_beside(up(last))}" text-anchor="end" {_TEXT}>{last:.4g}</text>'
    return _svg(marks + _cut(cut, across), f"{left:g}", f"{x} {right:g}".strip(), label)


def bars(
    bins: Sequence[tuple[float, float, int]], *, label: str, cut: float | None = None, x: str = ""
) -> str:
    """A histogram: from, until and count of each bar, side by side."""
    if not bins:
        return ""
    left, right = bins[0][0], bins[-1][1]
    most = max(count for _, _, count in bins) or 1

    def across(value: float) -> float:
        return WIDTH * (value - left) / ((right - left) or 1)

    marks = "".join(
        f'<rect x="{across(start):.1f}" y="{HEIGHT * (1 - count / most):.1f}" '
        f'width="{max(across(end) - across(start) - 1, 1):.1f}" height="{HEIGHT * count / most:.1f}" '
        f'fill="currentColor" opacity=".6"><title>{start:.3f} to {end:.3f}: {count}</title></rect>'
        for start, end, count in bins
        if count
    )
    return _svg(marks + _cut(cut, across), f"{left:.3g}", f"{x} {right:.3g}".strip(), label)


def _beside(y: float) -> float:
    return round(min(max(y - 6, 12), HEIGHT - 4), 1)


def _cut(cut: float | None, across: Callable[[float], float]) -> str:
    if cut is None:
        return ""
    x = min(max(across(cut), 0), WIDTH)
    side = "end" if x > WIDTH / 2 else "start"
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="{_CUT}" stroke-dasharray="4 3"/>'
        f'<text x="{x + (-6 if side == "end" else 6):.1f}" y="12" text-anchor="{side}" font-size="12" '
        f'fill="{_CUT}">{cut:.4f}</text>'
    )


def _svg(marks: str, left: str, right: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 20}" style="width:100%;max-width:{WIDTH}px;display:block" '
        f'role="img" aria-label="{escape(label)}"><line x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}" '
        f'stroke="currentColor" opacity=".4"/>{marks}'
        f'<text x="0" y="{HEIGHT + 15}" {_TEXT}>{escape(left)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 15}" text-anchor="end" {_TEXT}>{escape(right)}</text></svg>'
    )
