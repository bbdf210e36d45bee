"""Who is in the film."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picchu import _picchu

__all__ = ["Cast", "Character"]


@dataclass(frozen=True, slots=True)
class Character:
    """One character.

    Attributes:
        name: The name that captions use. Unique in its cast.
        description: The fixed looks, in words. Captions name the character and leave these out.
        references: Pictures that show the character alone, tightly cut: one to five.
        labels: General labels that a label detector may give this character, for example ``"Person"``.
    """

    name: str
    description: str = ""
    references: tuple[Path, ...] = ()
    labels: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        references: Iterable[str | os.PathLike[str]] = (),
        labels: Iterable[str] = (),
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "references", tuple(Path(path) for path in references))
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
                labels=entry["labels"],
            )
            for entry in fields["characters"]
        )

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
                    "labels": list(character.labels),
                }
                for character in self.characters
            ]
        }
