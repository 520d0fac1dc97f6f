"""What to do about files that are damaged or not to be trusted, in the same words everywhere. Knows no format."""

from __future__ import annotations

COPY_AGAIN = "Copy or download it again."
