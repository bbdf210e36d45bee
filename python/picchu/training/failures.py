"""What ended the program, told apart so that people know what to do."""

from __future__ import annotations


class BadInputError(Exception):
    """Settings, a dataset or weights that cannot be trained with; says what, where and what to do."""


MEMORY_ADVICE = (
    "take a smaller resolution or batch_size, set gradient_checkpointing to true, "
    "or use a machine with more memory"
)


def describe(error: BaseException) -> dict[str, str]:
    """The kind, the message and the advice that ``status.json`` carries."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, BadInputError):
        return {"kind": "bad_input", "message": str(error), "advice": "mend it, and start again"}
    if _out_of_memory(error):
        return {"kind": "out_of_memory", "message": text[:500], "advice": MEMORY_ADVICE}
    if isinstance(error, ImportError):
        advice = 'install what training needs: pip install "picchu[train]"'
        return {"kind": "bad_input", "message": text[:500], "advice": advice}
    if isinstance(error, OSError) and error.errno == 28:
        return {"kind": "disk_full", "message": text[:500], "advice": "make room, and start again"}
    advice = "the log tells where; started again, it goes on from the last checkpoint"
    return {"kind": "other", "message": text[:2000], "advice": advice}


def _out_of_memory(error: BaseException) -> bool:
    # Of the class, by name: torch may not have been imported when this is asked.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
