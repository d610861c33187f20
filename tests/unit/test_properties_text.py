"""How many segments a text takes, against an oracle that counts them one sign at a time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smsbridge.core import text

# GSM 03.38's basic table in its own order, and its extension table; written down apart from the code.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ"
    "ÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"

gsm = st.text(alphabet=BASIC + EXTENSION, max_size=1000)
cyrillic = st.text(alphabet=st.sampled_from("абвгдежзийклмнопрстуфхцчшщъыьэюяё АБВ0123 !"), max_size=1000)
anything = st.text(max_size=400)  # also signs outside the basic plane: two units each
edges = st.builds(
    lambda sign, count: sign * count,
    st.sampled_from("aя€😀Ω"),
    st.integers(0, 4).flatmap(
        lambda parts: st.sampled_from([67, 70, 153, 160]).map(lambda size: max(0, parts * size))
    ),
).flatmap(lambda found: st.sampled_from([found[:-1], found, found + "a"]))


def oracle(sent: str) -> int:
    """Fills one part after the other; where everything fits into one whole message, there is one."""
    units = []
    plain = True
    for sign in sent:
        if sign in BASIC:
            units.append(1)
        elif sign in EXTENSION:
            units.append(2)
        else:
            plain = False
    if not plain:
        units = [2 if ord(sign) > 0xFFFF else 1 for sign in sent]
    whole, part = (160, 153) if plain else (70, 67)
    left = sum(units)
    if left <= whole:
        return 1 if left else 0
    count = 0
    while left > 0:
        left -= part
        count += 1
    return count


@given(st.one_of(gsm, cyrillic, anything, edges))
@settings(max_examples=400)
def test_segments_are_counted_as_one_by_one(sent: str) -> None:
    assert text.segments(sent) == oracle(sent)


@given(st.one_of(gsm, cyrillic, anything), st.sampled_from("aя€"))
@settings(max_examples=200)
def test_a_longer_text_never_takes_fewer(sent: str, more: str) -> None:
    assert text.segments(sent) <= text.segments(sent + more) <= text.segments(sent) + len(sent) + 1


@given(anything, anything)
def test_equal_texts_and_only_those_have_equal_digests(one: str, two: str) -> None:
    assert (text.digest(one) == text.digest(two)) == (one == two)


def test_the_basic_table_is_whole() -> None:
    assert len(set(BASIC)) == 127  # and the escape
