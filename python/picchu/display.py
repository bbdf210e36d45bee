"""How things show themselves in a notebook: self-contained HTML, without scripts, in light and dark.

Everything that comes from outside (names, captions, paths, messages) is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from picchu import dataset as _dataset
    from picchu import frames as _frames
    from picchu import pipeline as _pipeline
    from picchu import shots as _shots

__all__ = ["dataset", "explanation", "film", "record", "shots"]

MOST_SHOWN = 24
"""Images in a gallery; the contact sheet shows all."""

MOST_LISTED = 200
"""Lines of a table."""

# Colours are shades of the text's own colour, so that light and dark themes both work.
_GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem"
_CARD = "margin:0;border:1px solid #8886;border-radius:.4rem;overflow:hidden"
_IMAGE = "width:100%;height:10rem;object-fit:contain;background:#8882;display:block"
_CAPTION = "padding:.4rem .6rem;font-size:.85em;line-height:1.35;overflow-wrap:anywhere"
_FAINT = "opacity:.7"
_CELL = "text-align:left;padding:.15rem .8rem .15rem 0"


def dataset(shown: _dataset.Dataset) -> str:
    """The counts, and a gallery of the kept images."""
    counts = shown.counts
    characters = ", ".join(f"{escape(name)} {images}" for name, images in counts.characters.items())
    summary = (
        f"<p><strong>{escape(str(shown.header['film']['name']))}</strong>: {counts.frames} frames · "
        f"{counts.records} candidates · <strong>{counts.kept} kept</strong> · "
        f"{counts.duplicates} near-duplicates · "
        f"{counts.unsure} unsure · {counts.skipped} skipped · "
        f"{counts.uncaptioned} without a caption · {counts.failed} failed"
        f"{f'<br>{characters}' if characters else ''}</p>"
    )
    cards = "".join(_card(record) for record in _spread(shown.kept))
    hidden = len(shown.kept) - MOST_SHOWN
    more = (
        f'<p style="{_FAINT}">… and {hidden} more; all are in {escape(str(shown.contact_sheet))}</p>'
        if hidden > 0
        else ""
    )
    return f'<div>{summary}<div style="{_GRID}">{cards}</div>{more}</div>'


def record(shown: _dataset.Record) -> str:
    """One record with its image."""
    return f'<div style="max-width:20rem">{_card(shown, side=512)}</div>'


def film(shown: _frames.Film) -> str:
    """What a film says of itself."""
    info = shown.info
    length = "unknown" if info.duration is None else f"{info.duration:.1f} s"
    rate = "" if info.frame_rate is None else f", {info.frame_rate:.3g} pictures a second"
    rows = [
        ("size", f"{info.width}×{info.height}"),
        ("length", f"{length}{rate}"),
        ("format", f"{info.codec} in {info.container}"),
        *(("note", note) for note in info.notes),
    ]
    return f"<div><p><strong>{escape(info.name)}</strong></p>{_table(rows)}</div>"


def shots(shown: _shots.Shots) -> str:
    """The shots of a film, and what lies over it."""
    rows = [("shot", "start", "end", "entered by")]
    rows += [
        (str(shot.number), f"{shot.start:.3f} s", f"{shot.end:.3f} s", shot.entered_by or "")
        for shot in shown[:MOST_LISTED]
    ]
    notes = []
    if len(shown) > MOST_LISTED:
        notes.append(f"… and {len(shown) - MOST_LISTED} more shots")
    if shown.picture:
        notes.append(f"black bars around {shown.picture.width}×{shown.picture.height} px")
    notes += [f"the same lies over all shots at ({rect.x}, {rect.y})" for rect in shown.overlays]
    tail = f'<p style="{_FAINT}">{escape("; ".join(notes))}</p>' if notes else ""
    return f"<div><p>{escape(repr(shown))}</p>{_table(rows)}{tail}</div>"


def explanation(shown: _pipeline.Explanation) -> str:
    """The stages of a run to come."""
    rows = []
    for stage in shown.stages:
        state = (
            stage.state.replace("_", " ") if isinstance(stage.state, str) else f"{stage.state} frames done"
        )
        rows.append((stage.stage, state, stage.by))
    return f"<div><p>{escape(shown.text.splitlines()[0])}</p>{_table(rows)}</div>"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{body}</table>"


def _spread(records: tuple[_dataset.Record, ...]) -> list[_dataset.Record]:
    """As many as are shown, from the whole film."""
    if len(records) <= MOST_SHOWN:
        return list(records)
    return [records[i * len(records) // MOST_SHOWN] for i in range(MOST_SHOWN)]


def _card(shown: _dataset.Record, side: int = 240) -> str:
    name = escape(shown.character or "unsure")
    picture = ""
    if shown.crop is not None:
        data = base64.b64encode(shown._thumbnail(side)).decode()
        picture = f'<img style="{_IMAGE}" src="data:image/jpeg;base64,{data}" alt="{name}">'
    details = [f"{int(shown.time // 60)}:{shown.time % 60:06.3f}", f"confidence {shown.confidence:.2f}"]
    if shown.crop is not None:
        details += [f"{shown.crop.width}×{shown.crop.height}", f"quality {shown.crop.quality.score:.2f}"]
    if shown.outcome != "kept":
        details.append(shown.outcome)
    if shown.covered_by is not None:
        details.append(f"like {shown.covered_by} ({shown.similarity:.3f})")
    if shown.reason is not None:
        details.append(shown.reason)
    caption = f"<br>{escape(shown.caption)}" if shown.caption else ""
    return (
        f'<figure style="{_CARD}">{picture}<figcaption style="{_CAPTION}"><strong>{name}</strong>{caption}'
        f'<br><span style="{_FAINT}">{escape(" · ".join(details))}</span></figcaption></figure>'
    )
