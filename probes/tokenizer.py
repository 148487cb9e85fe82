"""A small tokenizer made on the spot, so that synthetic prompts need no model hub.

Byte-level BPE: the 256 byte symbols, an end-of-text token, and merges of letters into two- and three-letter pieces.
Prompt lengths are counted with it; the server counts with its own, so lengths are nominal.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

END = "<|endoftext|>"
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes in byte-level BPE (the GPT-2 alphabet), in order of the byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    symbols: list[str] = []
    spare = 256
    for byte in range(256):
        symbols.append(chr(byte if byte in printable else spare))
        spare += byte not in printable
    return symbols


def write_tokenizer(folder: Path) -> Path:
    """Write a Hugging Face tokenizer folder and return it. An existing one is kept."""
    if (folder / "tokenizer_config.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    symbols = byte_symbols()
    space = symbols[ord(" ")]
    merges = [(a, b) for a, b in product(LETTERS, LETTERS)]
    merges += [(space, letter) for letter in LETTERS]
    merges += [(a + b, c) for a, b, c in product(LETTERS[:12], repeat=3)]
    pieces = list(dict.fromkeys([*symbols, *("".join(m) for m in merges), END]))
    vocabulary = {piece: position for position, piece in enumerate(pieces)}
    _write(folder / "tokenizer.json", _tokenizer(vocabulary, merges))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "model_max_length": 1_000_000,
        "chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    }
    _write(folder / "tokenizer_config.json", config)
    return folder


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, object]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {
        "id": vocabulary[END],
        "content": END,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": [list(m) for m in merges],
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [end],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": model,
    }


def _write(path: Path, value: object) -> None:
    # Complete or not at all: a folder with the second file present is taken as whole.
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
