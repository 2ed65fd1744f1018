import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parsl_tl.errors import GraphMetaError
from parsl_tl.graph_meta.messages import (
    _LAYOUTS,
    Kind,
    decode,
    encode,
    text_of,
    text_section,
)


@st.composite
def messages(draw):
    kind = draw(st.sampled_from(Kind))
    sections = []
    for dtype in _LAYOUTS[kind]:
        size = draw(st.integers(0, 6))
        shape = {"uint32": (size, 2), "uint8": (8 * size,)}.get(dtype.name, (size,))
        sections.append(draw(hnp.arrays(dtype, shape)))
    return kind, draw(st.integers(0, 2**63)), sections


@given(messages())
def test_what_is_sent_is_what_arrives(message):
    kind, number, sections = message
    received = decode(encode(kind, number, sections))
    assert (received.kind, received.number) == (kind, number)
    for sent, arrived in zip(sections, received.sections, strict=True):
        assert arrived.dtype == sent.dtype
        np.testing.assert_array_equal(arrived, sent)


@given(messages(), st.data())
def test_damaged_messages_are_refused_or_read(message, data):
    words = encode(*message)
    if data.draw(st.booleans()):
        words = words[: data.draw(st.integers(0, len(words) - 1))]
        with pytest.raises(GraphMetaError, match="same program"):
            decode(words)
        return
    words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.integers(0, 2**64 - 1))
    try:
        received = decode(words)
    except GraphMetaError:
        return
    assert len(received.sections) == len(_LAYOUTS[received.kind])


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_arbitrary_words_are_no_message(words):
    with pytest.raises(GraphMetaError):
        decode(np.array(words, np.uint64))


@given(st.text())
def test_texts_travel(text):
    expected = text.encode("utf-8", "replace").decode().replace("\0", " ")
    assert text_of(text_section(text)) == expected
