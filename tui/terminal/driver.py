"""Textual's driver for terminals, where every way out gives the terminal back. Must not know the screen."""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.parser import TerminalParser
from tui.terminal.restore import SavedTerminal

_ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_PATIENCE = 2.0  # seconds that the screen has for leaving in good order
_CHUNK = 4096


def terminal_driver(at_last: Callable[[], None]) -> type[Driver]:
    """The driver for an application.

    Args:
        at_last: called where the program has to end without the screen's help.
    """

    class OwnDriver(TerminalDriver):
        def end_children(self) -> None:
            at_last()

    return OwnDriver


class TerminalDriver(LinuxDriver):
    """Reads with our own parser, and leaves when it is told to or when the terminal is gone."""

    def __init__(self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: Any = None) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file: Any = _LastingFile(self._file)
        self._saved = SavedTerminal.of(sys.__stdin__) if sys.__stdin__ else None
        self._handlers: dict[int, Any] = {}
        self._leaving = False

    # --- ways out -----------------------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        for number in _ENDS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background
                self._handlers[number] = signal.signal(number, self._on_signal)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        if self._mouse_pixels:
            self.write("\x1b[?1016l")
        super().stop_application_mode()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def end_children(self) -> None:
        """Processes of ours that would take their end for that of a killed screen."""

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._leaving:  # it was told twice
            self._leave_at_once(number)
        self._leave(number)

    def _leave(self, number: int) -> None:
        """Have the screen end, with the exit code that a shell gives for this signal; from any thread."""
        self._leaving = True
        self._loop.call_soon_threadsafe(lambda: self._app.exit(return_code=128 + number))
        reaper = threading.Timer(_PATIENCE, self._leave_at_once, (number,))
        reaper.daemon = True
        reaper.start()

    def _leave_at_once(self, number: int) -> None:
        self.end_children()
        if self._saved is not None:
            self._saved.restore()
        os._exit(128 + number)

    # --- what is typed ------------------------------------------------------------------------------------------------

    def run_input_thread(self) -> None:
        """Until the screen wants no more: Textual's loop, for bytes that may be no UTF-8 and a terminal that may go."""
        parser = TerminalParser(self._debug)
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(0.1):
                    data = self._read()
                    if not data:
                        self._leave(signal.SIGHUP)
                        return
                    if text := decode(data):
                        for message in parser.feed(text):
                            self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
            if selector.select(0.1):  # a last report of the mouse is not for the shell
                self._read()

    def _read(self) -> bytes:
        """What has been typed; nothing where the terminal is gone."""
        try:
            return os.read(self.fileno, _CHUNK)
        except OSError:
            return b""


class _LastingFile:
    """A terminal that may go while it is written to: what is drawn is lost then, and nobody waits for ever."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        self._try(lambda: self._file.write(text))

    def flush(self) -> None:
        self._try(self._file.flush)

    def fileno(self) -> int:
        return self._file.fileno()

    def _try(self, act: Any) -> None:
        try:
            act()
        except (OSError, ValueError):  # ValueError: closed
            return
