"""The written model folder, as the libraries that read it see it."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from monitor.demo.model import END_OF_TEXT, write_model

HIGHEST_DRAWN_ID = 4_300


def test_text_survives_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(write_model(tmp_path) / "tokenizer.json"))
    for text in ("hello there", "Grüße, 日本 \N{SNOWMAN}\n\ttab", "a" * 50, ""):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_ids_that_the_mocker_draws_are_letters(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(write_model(tmp_path) / "tokenizer.json"))
    ids = range(257, HIGHEST_DRAWN_ID)
    assert all(tokenizer.decode([one]).isalpha() for one in ids)


def test_letters_are_merged(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(write_model(tmp_path) / "tokenizer.json"))
    assert len(tokenizer.encode("abababab").ids) < 8


def test_the_files_agree(tmp_path: Path) -> None:
    write_model(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["vocab_size"] == tokenizer.get_vocab_size()
    assert config["eos_token_id"] == tokenizer.token_to_id(END_OF_TEXT)
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == config["eos_token_id"]
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["eos_token"] == END_OF_TEXT
