"""Text that only shows: on terminals, in one line, in encodings without the field's symbols."""

from __future__ import annotations

import io

import pytest

from sharpose.runtime import plain_text
from sharpose.runtime.plain_text import one_line, prepare_streams, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("α = 0.3 × 2 – é\n\tNew", "α = 0.3 × 2 – é\n\tNew"),
        ("a\x1b]0;pwn\x07", "a\\x1b]0;pwn\\x07"),
        ("\x00\x7f\x9b31m", "\\x00\\x7f\\x9b31m"),
        ("abc\u202edcba\u200b", "abc\\u202edcba\\u200b"),
        ("half \ud83d", "half \\ud83d"),
        ("back\\slash", "back\\slash"),
        ("a\rb", "a\\rb"),
    ],
)
def test_what_cannot_be_seen_is_spelt(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_one_line() -> None:
    assert one_line(" a\n b|c\x1b\r\nd\u2028e\t\tf  g ") == "a b|c\\x1b d e f  g"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"alpha 0.3 +/- 1.5 - M^2 - e o [\\u2603] ---"),
        ("latin-1", b"alpha 0.3 \xb1 1.5 - M\xb2 - \xe9 \xf6 [\\u2603] ---"),
        ("utf-8", "α 0.3 ± 1.5 – M² — é ö [☃] ───".encode()),
    ],
)
def test_streams_spell_what_their_encoding_lacks(
    monkeypatch: pytest.MonkeyPatch, encoding: str, written: bytes
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(plain_text.sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(plain_text.sys, "stderr", None)
    prepare_streams()
    print("α 0.3 ± 1.5 – M² — é ö [☃] ───", end="", file=plain_text.sys.stdout, flush=True)
    assert raw.getvalue() == written
