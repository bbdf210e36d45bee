"""Who is in the film."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picchu import _picchu
from picchu.places import Place, place

__all__ = ["Cast", "Character"]


@dataclass(frozen=True, slots=True)
class Character:
    """One character.

    Attributes:
        name: The name that captions use. Unique in its cast.
        description: The fixed looks, in words. Captions name the character and leave these out.
        references: Pictures that show the character alone, tightly cut: one to five.
        negatives: Pictures of what was taken for the character and is not (``not`` in a cast file).
        labels: General labels that a label detector may give this character, for example ``"Person"``.
    """

    name: str
    description: str = ""
    references: tuple[Path, ...] = ()
    negatives: tuple[Path, ...] = ()
    labels: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        references: Iterable[str | os.PathLike[str]] = (),
        negatives: Iterable[str | os.PathLike[str]] = (),
        labels: Iterable[str] = (),
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "references", tuple(Path(path) for path in references))
        object.__setattr__(self, "negatives", tuple(Path(path) for path in negatives))
        object.__setattr__(self, "labels", tuple(labels))


@dataclass(frozen=True, slots=True)
class Cast:
    """The characters to look for.

    >>> picchu.Cast.load("cast.toml").names
    ('Nilo', 'Wara')
    >>> cast = picchu.Cast([picchu.Character("Nilo", references=["cast/nilo-1.png"])])
    """

    characters: tuple[Character, ...]

    def __init__(self, characters: Iterable[Character]) -> None:
        object.__setattr__(self, "characters", tuple(characters))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Cast:
        """Reads a cast file (``cast.toml``). Its paths are relative to the file.

        Raises:
            NotFound: If the file does not exist.
            InvalidInput: If it is not a cast, or names are empty, doubled or too long.
        """
        fields: dict[str, Any] = json.loads(_picchu.load_cast(Path(path)))
        return cls(
            Character(
                entry["name"],
                description=entry["description"],
                references=entry["references"],
                negatives=entry.get("not", ()),
                labels=entry["labels"],
            )
            for entry in fields["characters"]
        )

    @classmethod
    def add_reference(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str,
        film: Place,
        at: float,
        box: tuple[float, float, float, float],
        negative: bool = False,
    ) -> Cast:
        """Cuts a reference picture from a film, puts it beside the cast file and names it there.

        Args:
            path: The cast file; made if there is none.
            name: The character's name; a new one is added.
            film: A video file, or a folder of pictures.
            at: When, in seconds.
            box: Left, top, width and height, tightly around the character: ratios of the frame if all lie in
                0 to 1, else pixels.
            negative: Whether it shows what is taken for the character and is not.

        Returns:
            The cast as the file now says.

        Raises:
            NotFound: If there is no such film.
            InvalidInput: For a time outside the film, a box that leaves the frame, a wrong name.
        """
        _picchu.add_reference(Path(path), name, place(film), float(at), box, negative)
        return cls.load(path)

    @classmethod
    def learn(cls, path: str | os.PathLike[str], dataset: Place, *, per_character: int = 3) -> Cast:
        """Makes reference pictures of what people corrected in a dataset, and names them in a cast file.

        A box that was renamed shows its new character, and not the one that the detector saw; a box that was
        rejected as ``"not the character"`` does not show its character. The next plan with the cast looks for
        it by them. What was learned before is not learned twice.

        Args:
            path: The cast file; made if there is none.
            dataset: The place of a dataset that people reviewed.
            per_character: At most so many pictures for and as many against each character, the best first.

        Returns:
            The cast as the file now says.

        Raises:
            NotFound: If there is no such dataset.
            InvalidInput: If the file is no cast.

        >>> picchu.Cast.learn("cast.toml", "dataset")  # doctest: +SKIP
        Cast(Nilo, Wara)
        """
        _picchu.learn_cast(Path(path), place(dataset), per_character)
        return cls.load(path)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the user's order."""
        return tuple(character.name for character in self.characters)

    def __getitem__(self, name: str) -> Character:
        for character in self.characters:
            if character.name == name:
                return character
        raise KeyError(name)

    def __len__(self) -> int:
        return len(self.characters)

    def __iter__(self) -> Iterator[Character]:
        return iter(self.characters)

    def to_dict(self) -> dict[str, Any]:
        """As the native module reads it."""
        return {
            "characters": [
                {
                    "name": character.name,
                    "description": character.description,
                    "references": [str(path) for path in character.references],
                    "not": [str(path) for path in character.negatives],
                    "labels": list(character.labels),
                }
                for character in self.characters
            ]
        }
