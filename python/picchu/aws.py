"""Amazon's services; they cost money.

These classes only hold options; the work is done in `Plan.run`. Region and credentials come from the
environment and the AWS files; no option holds a secret.
"""

from __future__ import annotations

from picchu.rekognition import Rekognition

__all__ = ["Rekognition"]
