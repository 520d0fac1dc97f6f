"""Fetching and removing models from the command line: progress, questions, what to do next. Must not know the hub."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from core.errors import BadSetting
from tui.sanitize import visible

if TYPE_CHECKING:
    from weights.hub import pull


def pull_model(arguments: argparse.Namespace) -> None:
    """Fetch a model, with a bar on standard error; the name to open it by goes to standard output."""
    from weights.hub import pull  # loads the client, which nothing else needs

    columns = (
        TextColumn("{task.description}", markup=False),
        *(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(progress: pull.Progress) -> None:
            bar.update(task, description=visible(progress.name), completed=progress.done, total=max(1, progress.total))

        name = pull.pull(arguments.model, show)
    print(visible(name))
    console.print(Text(f"Open it with: logitscope --model {visible(name)}"))


def remove_model(arguments: argparse.Namespace) -> None:
    """Remove a model, after asking."""
    from weights.fit.requirement import gigabytes
    from weights.hub.remove import remove, to_remove

    name, size = to_remove(arguments.model)
    what = f"{visible(name)} ({gigabytes(size)})"
    if not arguments.yes and not _agreed(f"Remove {what}?"):
        print("Nothing was removed.")
        return
    remove(arguments.model)
    print(f"Removed {what}.")


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise BadSetting("Nobody is there to be asked.", "Add --yes to remove it without a question.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {"pull": pull_model, "remove": remove_model}
