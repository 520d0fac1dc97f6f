"""The model screen alone: what it lists, how it is filtered, what it ends with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot

from core.errors import BadCheckpoint
from tests.tui.support.panels import rows
from tui.downloads.fetch import Fetching
from tui.screens.fetch import FetchScreen
from tui.screens.models import ModelsScreen
from tui.widgets.models.model_list import ModelList
from weights.fit.available import AvailableMemory
from weights.library.entry import ModelEntry


def entry(name: str, **known: object) -> ModelEntry:
    return ModelEntry(name=name, path=Path("/models") / name, **known)  # type: ignore[arg-type]


SHELF = [
    entry("bundled", family="llama", parameters=3_400_000, bytes=6_900_000, context=512),
    entry("Qwen/Qwen3-0.6B", family="qwen3", parameters=596_049_920, bytes=1_192_099_840, context=40_960),
    entry("someone/[red]odd\x1b[2J", family="gpt2", parameters=999_950, bytes=999, context=1024),
    entry("broken", family="mamba", problem="config.json has 'mamba' as model_type, which is not known here."),
    *(entry(f"many/model-{n}", family="llama", parameters=n * 1_000_000, context=2048) for n in range(1, 40)),
]


async def opened(
    pilot: Pilot[None], listing: Callable[[], Sequence[ModelEntry]] = lambda: SHELF
) -> tuple[ModelsScreen, list[ModelEntry | None]]:
    ended: list[ModelEntry | None] = []
    fetch = partial(FetchScreen, Fetching(), lambda: AvailableMemory(device="cpu", dtype="float32", free=None))
    screen = ModelsScreen(listing, current="bundled", fetch=fetch)
    await pilot.app.push_screen(screen, ended.append)
    return screen, ended


def behind(gate: threading.Event) -> Callable[[], Sequence[ModelEntry]]:
    """A listing that takes until somebody opens the gate."""

    def slow() -> Sequence[ModelEntry]:
        gate.wait(20)
        return SHELF

    return slow


async def filled(pilot: Pilot[None], screen: ModelsScreen) -> ModelList:
    models = screen.query_one(ModelList)
    for _ in range(200):
        if models.chosen is not None:
            return models
        await pilot.pause(0.02)
    raise AssertionError("nothing was ever listed")


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (40, 12), (20, 8)])
async def test_every_size_shows_names_and_fits(size: tuple[int, int]) -> None:
    app: App[None] = App()
    async with app.run_test(size=size) as pilot:
        screen, _ = await opened(pilot)
        models = await filled(pilot, screen)
        await pilot.pause()
        shown = rows(models)
        assert any("bundled" in row for row in shown)
        assert models.region.right <= size[0]
        assert models.region.bottom <= size[1]
        assert models.region.height >= 2
        text = "\n".join(shown)
        assert "\x1b" not in text
        if size == (80, 24):
            for said in ("family", "qwen3", "596 M", "1.19 GB", "40,960", "[red]odd", "1.00 M", "999 B"):
                assert said in text, said


async def test_typing_filters_and_enter_ends_with_the_chosen_one() -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, ended = await opened(pilot)
        models = await filled(pilot, screen)
        await pilot.press(*"model-3")
        assert [e.name for e in models.shown] == ["many/model-3", *(f"many/model-{n}" for n in range(30, 40))]
        await pilot.press("down", "down", "up", "enter")
        await pilot.pause()
        assert [e.name for e in ended if e] == ["many/model-30"]


async def test_the_filter_looks_for_every_word_in_name_and_family() -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, _ = await opened(pilot)
        models = await filled(pilot, screen)
        await pilot.press(*"qwen3 0.6")
        assert [e.name for e in models.shown] == ["Qwen/Qwen3-0.6B"]
        await pilot.press(*"zzz")
        assert models.chosen is None
        assert any("No model here matches" in row for row in rows(models))
        await pilot.press("enter")
        assert app.screen is screen, "there is nothing to open"


async def test_what_cannot_be_opened_says_why_and_stays() -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, ended = await opened(pilot)
        models = await filled(pilot, screen)
        await pilot.press(*"broken")
        await pilot.press("enter")
        await pilot.pause()
        assert not ended
        assert "'mamba' as model_type" in "\n".join(rows(models))


async def test_where_a_model_comes_from_and_what_it_is_good_for_is_said() -> None:
    known = {"origin": "package llm-x\x1b 0.1", "licence": "Apache-2.0", "page": "https://example.org/x"}
    app: App[None] = App()
    async with app.run_test(size=(100, 24)) as pilot:
        shelf = [*SHELF, entry("x", family="llama", good_for="longer [red]English", **known)]
        screen, ended = await opened(pilot, lambda: shelf)
        models = await filled(pilot, screen)
        await pilot.press(*"llm-x")
        text = "\n".join(rows(models))
        for said in (
            "Good for longer [red]English.",
            "package llm-x␛ 0.1, Apache-2.0, https://example.org/x",
            "licence",
        ):
            assert said in text, said
        assert "/models/x" in text
        await pilot.press("enter")
        await pilot.pause()
        assert [e.name for e in ended if e] == ["x"]


async def test_far_down_stays_in_sight_and_escape_ends_with_nothing() -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, ended = await opened(pilot)
        models = await filled(pilot, screen)
        await pilot.press("pagedown", "pagedown", "down")
        assert models.chosen is not None
        assert any(models.chosen.name in row for row in rows(models)[1:-3])
        await pilot.press("ctrl+end")
        assert models.chosen.name == SHELF[-1].name
        await pilot.press("escape")
        await pilot.pause()
        assert ended == [None]


async def test_a_click_chooses_and_a_double_click_opens() -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, ended = await opened(pilot)
        models = await filled(pilot, screen)
        await pilot.click(ModelList, offset=(5, 2))
        assert models.chosen == SHELF[1]
        await pilot.click(ModelList, offset=(5, 2), times=2)
        await pilot.pause()
        assert ended == [SHELF[1]]


async def test_a_slow_listing_freezes_nothing() -> None:
    gate = threading.Event()
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, _ = await opened(pilot, behind(gate))
        await pilot.press(*"qwen")
        models = screen.query_one(ModelList)
        assert "Looking for models" in "\n".join(rows(models))
        gate.set()
        models = await filled(pilot, screen)
        assert [e.name for e in models.shown] == ["Qwen/Qwen3-0.6B"], "what was typed meanwhile counts"


async def test_a_listing_that_comes_after_the_screen_is_gone_hurts_nobody() -> None:
    gate = threading.Event()
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        _, ended = await opened(pilot, behind(gate))
        await pilot.press("escape")
        gate.set()
        time.sleep(0.05)
        await pilot.pause(0.1)
        assert ended == [None]
    assert app.return_code == 0 or app.return_code is None


@pytest.mark.parametrize("error", [BadCheckpoint("The cache is damaged.", "Copy it again."), PermissionError(13, "No")])
async def test_a_listing_that_fails_is_told(error: Exception) -> None:
    def failing() -> Sequence[ModelEntry]:
        raise error

    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        screen, _ = await opened(pilot, failing)
        for _ in range(100):
            text = "\n".join(rows(screen.query_one(ModelList)))
            if "damaged. Copy it again." in text or "cannot be listed: No" in text:
                return
            await pilot.pause(0.02)
        raise AssertionError(text)
