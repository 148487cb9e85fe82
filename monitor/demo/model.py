"""A model folder that a program can write: enough for Dynamo's mocker and for aiperf's tokenizer.

No weights and no model hub: the mocker draws random token ids, so all it needs is a vocabulary in
which those ids decode to letters. Written as plain JSON, so that no tokenizer library is needed.
"""

from __future__ import annotations

import json
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

END_OF_TEXT = "<|endoftext|>"
# The mocker draws token ids below about 4,300; an id outside the vocabulary decodes to nothing,
# and an answer of such ids is empty text, which clients count as no answer.
MERGES = 4_100


def write_model(folder: Path) -> Path:
    """Write the model files into `folder` (made if missing) and return it; existing files are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = _vocabulary()
    end = vocabulary[END_OF_TEXT]
    files = {
        "tokenizer.json": _tokenizer(vocabulary, merges),
        "tokenizer_config.json": _tokenizer_config(),
        "config.json": _model_config(len(vocabulary), end),
        "generation_config.json": {"eos_token_id": end, "bos_token_id": end},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def _byte_symbols() -> list[str]:
    """The 256 printable characters that byte-level BPE uses for bytes, in byte order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    substitutes = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(substitutes)) for byte in range(256)]


def _vocabulary() -> tuple[dict[str, int], list[str]]:
    """Token ids, and the merges that make every token of more than one letter."""
    pairs = list(product(ascii_lowercase, repeat=2))
    triples = (("".join(pair), last) for pair in pairs for last in ascii_lowercase)
    merges = [*pairs, *islice(triples, MERGES - len(pairs))]
    tokens = [*_byte_symbols(), END_OF_TEXT, *("".join(merge) for merge in merges)]
    return {token: number for number, token in enumerate(tokens)}, [" ".join(merge) for merge in merges]


def _tokenizer(vocabulary: dict[str, int], merges: list[str]) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {
        "id": vocabulary[END_OF_TEXT],
        "content": END_OF_TEXT,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
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
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "bos_token": END_OF_TEXT,
        "model_max_length": 32_768,
        "chat_template": "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: ",
    }


def _model_config(vocabulary_size: int, end: int) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": vocabulary_size,
        "eos_token_id": end,
        "bos_token_id": end,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 32_768,
    }
