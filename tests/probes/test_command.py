"""The command line and environment of aiperf, and the tokenizer made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from probes.command import SegmentPaths, arguments, environment
from probes.plugin.config import VARIABLE, PluginConfig, load
from probes.segment import last_words
from probes.spec import EndpointSpec, ProbeSpec
from probes.tokenizer import byte_symbols, write_tokenizer

PATHS = SegmentPaths(Path("/data/probe/segment-000001"))
ENDPOINT = EndpointSpec(url="http://127.0.0.1:1", model="m", api_key_env="MY_KEY")


def flags(spec: ProbeSpec) -> dict[str, str]:
    words = arguments(spec, ENDPOINT, PATHS, "/tok")[4:]
    return {w: n for w, n in zip(words, [*words[1:], ""], strict=True) if w.startswith("--")}


def test_the_load_is_an_open_loop_that_outlasts_its_timeouts() -> None:
    given = flags(ProbeSpec(name="p", request_rate=7.5, request_timeout_seconds=12))
    assert given["--request-rate"] == "7.5"
    assert given["--arrival-pattern"] == "constant"
    assert "--concurrency" not in given
    assert float(given["--benchmark-grace-period"]) > float(given["--request-timeout-seconds"]) == 12
    assert given["--connection-reuse-strategy"] == "never"
    assert given["--endpoint-type"] == "aftershock_chat"
    assert "--streaming" in given


def test_the_spec_reaches_the_command_line() -> None:
    spec = ProbeSpec(
        name="p", endpoint="completions", streaming=False, reuse_connections=True, extra_inputs={"top_k": 3}
    )
    given = flags(spec)
    assert given["--endpoint-type"] == "aftershock_completions"
    assert given["--connection-reuse-strategy"] == "pooled"
    assert given["--extra-inputs"] == '{"top_k": 3, "ignore_eos": true}'
    assert "--streaming" not in given
    assert "--extra-inputs" not in flags(ProbeSpec(name="p", ignore_eos=False))


def test_no_secret_is_on_the_command_line_and_no_stray_variable_in_the_environment() -> None:
    spec = ProbeSpec(name="p", headers={"X-Token": "s3cret"})
    inherited = {"PATH": "/bin", "HF_HUB_OFFLINE": "1", "MY_KEY": "k3y", "OTHER": "x", "AIPERF_HTTP_TRUST_ENV": "1"}
    env = environment(spec, ENDPOINT, PATHS, inherited)
    assert not any("s3cret" in word or "k3y" in word for word in arguments(spec, ENDPOINT, PATHS, "/tok"))
    assert env["PATH"] == "/bin"
    assert env["MY_KEY"] == "k3y"
    assert env["TMPDIR"] == str(PATHS.temporary)
    assert not {"HF_HUB_OFFLINE", "OTHER", "AIPERF_HTTP_TRUST_ENV"} & env.keys()
    config = load(env)
    assert (config.journal, config.hold) == (str(PATHS.journal), str(PATHS.hold))
    assert (config.headers, config.api_key_env) == ({"X-Token": "s3cret"}, "MY_KEY")


def test_a_broken_plugin_variable_says_so() -> None:
    assert load({}) == PluginConfig()
    for text in ("{", '{"unknown": 1}', "[1]"):
        with pytest.raises(ValueError, match=VARIABLE):
            load({VARIABLE: text})


def test_the_tokenizer_reads_back_what_it_wrote(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "tok")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "To be, or not to be: that is the question.\n\tÄ 雪 \x00"
    encoded = tokenizer.encode(text)
    assert tokenizer.decode(encoded.ids) == text
    assert len(encoded.ids) < 0.8 * len(text.encode())  # the merges merge
    assert len(set(byte_symbols())) == 256


def test_an_existing_tokenizer_is_kept(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path)
    (folder / "tokenizer.json").write_text("kept")
    assert (write_tokenizer(tmp_path) / "tokenizer.json").read_text() == "kept"


def test_the_last_words_of_a_log_are_plain_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == ""
    log.write_text("first\n\x1b[31m╭──────╮\x1b[0m\n\x1b[1mno such option\x1b[0m\n\n")
    assert last_words(log) == "first / no such option"


def test_the_monitors_side_never_imports_aiperf() -> None:
    code = "import sys, probes.probe, probes.plugin.strict; sys.exit('aiperf' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
