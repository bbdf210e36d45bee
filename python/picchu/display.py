"""How things show themselves in a notebook: self-contained HTML, without scripts, in light and dark.

Everything that comes from outside (names, captions, paths, messages) is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from picchu import charts
from picchu.exceptions import PicchuError

if TYPE_CHECKING:
    from picchu import customize as _customize
    from picchu import dataset as _dataset
    from picchu import drawing as _drawing
    from picchu import evaluation as _evaluation
    from picchu import frames as _frames
    from picchu import pipeline as _pipeline
    from picchu import shots as _shots

__all__ = ["dataset", "evaluation", "explanation", "film", "record", "shots", "standing", "storyboard"]

MOST_SHOWN = 24
"""Images in a gallery; the contact sheet shows all."""

MOST_LISTED = 200
"""Lines of a table."""

STILLS = 6
"""Pictures of a film, spread over it."""

# Colours are shades of the text's own colour, so that light and dark themes both work.
_GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem"
_CARD = "margin:0;border:1px solid #8886;border-radius:.4rem;overflow:hidden"
_STAGE = "height:10rem;display:flex;align-items:center;justify-content:center;background:#8882"
_IMAGE = "width:100%;display:block"
_CAPTION = "padding:.4rem .6rem;font-size:.85em;line-height:1.35;overflow-wrap:anywhere"
_FAINT = "opacity:.7"
_CELL = "text-align:left;padding:.15rem .8rem .15rem 0"
_NUMBER = "text-align:right;padding:.15rem .8rem .15rem 0"
# Seen on bright and on dark pictures alike.
_BOX = "position:absolute;border:2px solid {colour};outline:1px solid #0008;border-radius:2px"
_COLOURS = ("#ff5a4d", "#3fa7ff", "#ffc53d", "#52d07a", "#c98bff", "#ff9f5a")


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
    stills = "".join(
        f'<figure style="{_CARD}"><img style="{_IMAGE}" src="{_jpeg(body)}" alt="at {_clock(time)}">'
        f'<figcaption style="{_CAPTION}">{_clock(time)}</figcaption></figure>'
        for time, body in _stills(shown, info.duration)
    )
    gallery = f'<div style="{_GRID}">{stills}</div>' if stills else ""
    return f"<div><p><strong>{escape(info.name)}</strong></p>{gallery}{_table(rows)}</div>"


def _stills(shown: _frames.Film, duration: float | None) -> list[tuple[float, bytes]]:
    """Some pictures, each near its time: exact ones would need more of the film to be read."""
    if duration is None:
        return []
    times = [duration * (n + 0.5) / STILLS for n in range(STILLS)]
    try:
        frames = shown.frames(at=times, max_side=240, approximate=True, on_gap="skip")
        return [(frame.time, frame._repr_jpeg_()) for frame in frames]
    except PicchuError:
        # The card says what the film says of itself; running it will say what is wrong with it.
        return []


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
    paid = any(stage.requests or stage.usd != 0 for stage in shown.stages)
    rows = []
    for stage in shown.stages:
        state = (
            stage.state.replace("_", " ") if isinstance(stage.state, str) else f"{stage.state} frames done"
        )
        costs = (f"{stage.requests:,}", f"{stage.tokens:,}", _usd(stage.usd)) if paid else ()
        rows.append((stage.stage, state, stage.by, *costs))
    if paid:
        rows.insert(0, ("stage", "state", "by", "requests", "tokens", "US dollars"))
        known = sum(stage.usd or 0.0 for stage in shown.stages)
        unknown = any(stage.usd is None for stage in shown.stages)
        rows.append(("in all", "", "", "", "", f"{_usd(known)}{' and more' if unknown else ''}"))
    return f"<div><p>{escape(shown.text.splitlines()[0])}</p>{_table(rows, numbers=3)}</div>"


def standing(shown: _customize.Standing) -> str:
    """Where a job or a deployment stands, with the curve of its loss."""
    state = shown.problem or (shown.job.status if shown.job else shown.status) or "see picchu.aws.resources"
    rows = [(shown.kind.replace("_", " "), shown.id), ("state", state.replace("_", " "))]
    if shown.job is not None:
        rows += [(phase.replace("_", " "), word) for phase, word in shown.job.phases.items()]
        rows += [("model", shown.job.model.id)] if shown.job.model else []
        rows += [("failure", shown.job.failure)] if shown.job.failure else []
    chart = charts.curve(shown.losses, label="the training loss, step by step", x="step")
    return f"<div>{_table(rows)}{chart}</div>"


def storyboard(shown: _drawing.Storyboard) -> str:
    """The panels with their images; those that could not be drawn say why."""
    cards = []
    for number, panel in enumerate(shown, 1):
        prompt = escape(panel.panel.prompt)
        images = "".join(
            f'<img style="{_IMAGE}" src="{_jpeg(image._thumbnail(320))}" alt="{prompt}" '
            f'title="seed {image.seed}">'
            for image in panel.images
        )
        failure = f'<br><span style="color:#d33">{escape(panel.failure)}</span>' if panel.failure else ""
        seeds = ", ".join(str(image.seed) for image in panel.images)
        cards.append(
            f'<figure style="{_CARD}">{images}<figcaption style="{_CAPTION}">'
            f"<strong>{number}</strong> {prompt}"
            f'<br><span style="{_FAINT}">{f"seed {seeds}" if seeds else "not drawn"}</span>{failure}'
            f"</figcaption></figure>"
        )
    unknown = f" and {shown.unpriced_requests} at a price not known" if shown.unpriced_requests else ""
    note = f"{_usd(shown.usd)} US dollars{unknown} for what was drawn now; all of it lies in {shown.folder}"
    return f'<div><div style="{_GRID}">{"".join(cards)}</div><p style="{_FAINT}">{escape(note)}</p></div>'


def evaluation(shown: _evaluation.Evaluation) -> str:
    """The contestants with their scores, and what a reader should know."""
    rows = [("", "score", "character", "appears in", "likeness")]
    for one in shown.contestants:
        head = [one.name, f"{one.score:.2f}"]
        for name, score in one.characters.items():
            likeness = "" if score.likeness is None else f"{score.likeness:.2f}"
            rows.append((head[0], head[1], name, f"{score.appeared} of {score.asked}", likeness))
            head = ["", ""]
        if one.copies:
            rows.append(("", "", f"{one.copies} images are nearly training images", "", ""))
    notes = "".join(f'<p style="{_FAINT}">{escape(note)}</p>' for note in shown.notes)
    page = escape(str(shown.folder / "evaluation.html"))
    return f"<div>{_table(rows)}{notes}<p>Every image: <code>{page}</code></p></div>"


def _usd(usd: float | None) -> str:
    return "not known" if usd is None else f"{usd:.4f}" if 0 < usd < 1 else f"{usd:.2f}"


def _table(rows: Sequence[tuple[str, ...]], numbers: int | None = None) -> str:
    """Rows of cells; from column ``numbers`` on to the right."""

    def cell(column: int, words: str) -> str:
        style = _NUMBER if numbers is not None and column >= numbers else _CELL
        return f'<td style="{style}">{escape(words)}</td>'

    body = "".join(
        "<tr>" + "".join(cell(column, words) for column, words in enumerate(row)) + "</tr>" for row in rows
    )
    return f"<table>{body}</table>"


def _jpeg(body: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(body).decode()}"


def _clock(time: float) -> str:
    return f"{int(time // 60)}:{time % 60:06.3f}"


def _spread(records: tuple[_dataset.Record, ...]) -> list[_dataset.Record]:
    """As many as are shown, from the whole film."""
    if len(records) <= MOST_SHOWN:
        return list(records)
    return [records[i * len(records) // MOST_SHOWN] for i in range(MOST_SHOWN)]


def _card(shown: _dataset.Record, side: int = 240) -> str:
    name = escape(shown.character or "unsure")
    picture = "" if shown.crop is None else _boxed(shown, shown.crop, side)
    details = [_clock(shown.time), f"confidence {shown.confidence:.2f}"]
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


def _boxed(shown: _dataset.Record, crop: _dataset.Crop, side: int) -> str:
    """The image of a record, whole, with the boxes of everybody in it."""
    boxes = ""
    for number, subject in enumerate(shown.subjects):
        box, colour = subject.bounding_box, _COLOURS[number % len(_COLOURS)]
        place = ";".join(
            f"{edge}:{100 * ratio:.2f}%"
            for edge, ratio in zip(
                ("left", "top", "width", "height"), (box.left, box.top, box.width, box.height), strict=True
            )
        )
        boxes += (
            f'<div style="{_BOX.format(colour=colour)};{place};box-sizing:border-box" '
            f'title="{escape(subject.character)}"></div>'
        )
    ratio = f"{crop.width}/{crop.height}"
    frame = f"position:relative;width:min(100%,calc(10rem*{ratio}));aspect-ratio:{ratio}"
    name = escape(shown.character or "unsure")
    image = f'<img style="{_IMAGE}" src="{_jpeg(shown._thumbnail(side))}" alt="{name}">'
    return f'<div style="{_STAGE}"><div style="{frame}">{image}{boxes}</div></div>'
