"""Boolean functions: against Python's own evaluation of the same expression."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asq_sw.errors import InputError
from hw.synth.libraries import boolean

NAMES = ["A", "B1", "C", "D_n"]


def expressions() -> st.SearchStrategy[tuple[str, str]]:
    """(Liberty text, Python text) of the same function, fully bracketed in Python."""
    leaf = st.one_of(st.sampled_from(NAMES), st.sampled_from(["0", "1"])).map(lambda n: (n, n))

    def grow(inner: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
        binary = st.tuples(
            inner, inner, st.sampled_from([("&", "&"), ("*", "&"), ("+", "|"), ("|", "|"), ("^", "^")])
        )
        return st.one_of(
            inner.map(lambda x: (f"!({x[0]})", f"(1 - ({x[1]}))")),
            inner.map(lambda x: (f"({x[0]})'", f"(1 - ({x[1]}))")),
            binary.map(
                lambda t: (f"({t[0][0]}) {t[2][0]} ({t[1][0]})", f"(({t[0][1]}) {t[2][1]} ({t[1][1]}))")
            ),
            st.tuples(inner, inner).map(
                lambda t: (f"({t[0][0]}) ({t[1][0]})", f"(({t[0][1]}) & ({t[1][1]}))")
            ),
        )

    return st.recursive(leaf, grow, max_leaves=12)


@given(expressions())
def test_truth_table_is_pythons(pair):
    liberty, python = pair
    table = boolean.truth_table(boolean.parse(liberty), NAMES)
    for s in range(1 << len(NAMES)):
        values = {name: s >> i & 1 for i, name in enumerate(NAMES)}
        assert table >> s & 1 == eval(python, {}, values)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("!A & B1", "(!A) & B1"),
        ("A + B1 & C", "A + (B1 & C)"),
        ("A ^ B1 & C", "(A ^ B1) & C"),
        ("A & B1 ^ C", "A & (B1 ^ C)"),
        ("A B1 + C", "(A & B1) | C"),
        ("A B1'", "A & (!B1)"),
        ("!A'", "A"),
        ("(D&DE) | (IQ&!DE)", "(D * DE) + (IQ * DE')"),
    ],
)
def test_precedence(text, same):
    names = sorted(set(boolean.variables(boolean.parse(same))))
    assert boolean.truth_table(boolean.parse(text), names) == boolean.truth_table(boolean.parse(same), names)


@pytest.mark.parametrize("text", ["", "A &", "(A", "A)", "A @ B", "& A", "!"])
def test_nonsense_is_refused(text):
    with pytest.raises(InputError, match="Boolean function"):
        boolean.parse(text)
