"""Words of others in Markdown, read by another program."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.records.make_log import make_log, make_spec
from tests.spec.make_spec import FIXED_FILE, spec_of
from tunebox.records.markdown import code, table, text
from tunebox.records.model_card import CardFacts, model_card
from tunebox.spec.space import Values
from tunebox.text import printable

HOSTILE = (
    "\x1b[31m\nx\u202e`` ` `|<script>alert(1)</script>[a](javascript:b)![i](j) **b** _c_ ~~d~~ "
    "&lt; $x$ # \\ \\| | https://h <!-- --> </td>"
)
PIECES = "`|<>[]()*_~&$#\\!-+. \t\nab1\x1b\u202e"
reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def inside(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from inside(token.children or [])


def shown(line: str) -> str:
    """The characters that a reader sees of a line, which must be nothing but text."""
    tokens = list(inside(reader.parse(f"Words: {line} end")))
    allowed = {"paragraph_open", "paragraph_close", "inline", "text", "text_special", "code_inline"}
    assert {token.type for token in tokens} <= allowed
    words = "".join(token.content for token in tokens if token.type != "inline")
    return words.removeprefix("Words: ").removesuffix(" end")


def words_of(seed: int) -> str:
    generator = random.Random(seed)
    return "".join(generator.choices(PIECES, k=generator.randint(1, 20)))


@pytest.mark.parametrize("words", [HOSTILE, *map(words_of, range(300))])
def test_words_are_shown_as_they_are(words: str) -> None:
    assert shown(text(words)) == printable(words)
    assert shown(code(words)).strip() == printable(words).strip()


def test_names_of_settings_stay_readable() -> None:
    assert text("losses/ours/clean_accuracy 0.5") == "losses/ours/clean_accuracy 0.5"


@pytest.mark.parametrize("words", [HOSTILE, *map(words_of, range(100))])
def test_a_cell_is_one_cell(words: str) -> None:
    lines = table(("setting", "value"), {words: words, "next": "last"})
    tokens = reader.parse("\n".join(lines))
    cells = [
        "".join(child.content for child in tokens[place + 1].children or [])
        for place, token in enumerate(tokens)
        if token.type in ("th_open", "td_open")
    ]
    assert cells == ["setting", "value", *[printable(words).strip()] * 2, "next", "last"]
    assert not {token.type for token in inside(tokens)} & {"html_block", "html_inline", "link_open"}


def test_a_card_of_hostile_words_has_the_sections_of_any_other() -> None:
    config = spec_of(FIXED_FILE).trial({})
    settings: Values = {HOSTILE: HOSTILE, "losses/x": "a"}

    def tokens(words: str, settings: Values) -> list[Token]:
        metrics = {words: 0.5}
        card = model_card(
            config,
            CardFacts(3, metrics, None),
            title=words,
            origin=f"Trained from {words}.",
            settings=settings,
        )
        assert printable(card.replace("\n", "")) == card.replace("\n", "")
        _, head, markdown = card.split("---\n", 2)
        [metric] = yaml.safe_load(head)["model-index"][0]["results"][0]["metrics"]
        assert metric["name"] == f"{printable(words)} on the validation set"
        return reader.parse(markdown)

    hostile, plain = tokens(HOSTILE, settings), tokens("words", {"a": "b", "losses/x": "a"})
    assert [token.type for token in hostile] == [token.type for token in plain]
    seen = {token.type for token in inside(hostile)} - {token.type for token in inside(plain)}
    assert seen <= {"text_special"}
    title = hostile[1].children or []
    assert "".join(token.content for token in title) == printable(HOSTILE)


def test_a_card_of_a_search_is_the_same_text_as_ever() -> None:
    spec, trial = make_spec(), make_log().trials["t001"]
    card = model_card(
        spec.trial(trial.settings),
        CardFacts(3, trial.last_metrics, None),
        title="Trial t001 of the search made-1",
        origin="It ended as finished.",
        settings=trial.settings,
    )
    assert "\\" not in card
