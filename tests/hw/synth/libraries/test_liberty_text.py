"""The Liberty syntax: what is read, what is refused and in which words, and text that is random or damaged."""

import random
import time

import minilib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asq_sw.errors import InputError
from hw.synth.libraries import liberty
from hw.synth.libraries.liberty_text import Group, parse


def body(text: str) -> Group:
    return parse(f"library (l) {{\n{text}\n}}\n", "a.lib")


# -- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("a : 1.5;", [("a", "1.5")]),
        ("a:b;c:d;", [("a", "b"), ("c", "d")]),
        ("a : 1.5\nb : x", [("a", "1.5"), ("b", "x")]),  # no semicolons
        ("a : 1.5 b (x) c : y", [("a", "1.5"), ("b", ["x"]), ("c", "y")]),
        ("a : 1.5;;  ; b : 2;", [("a", "1.5"), ("b", "2")]),
        ("a :\n  1.5\n;", [("a", "1.5")]),
        ("a : -1.2e-3; b : 1ns; c : 10kohm;", [("a", "-1.2e-3"), ("b", "1ns"), ("c", "10kohm")]),
        ("a : VDD + 0.5; b : 1;", [("a", "VDD + 0.5"), ("b", "1")]),
        ("a : VDD + 0.5\nb : 1;", [("a", "VDD + 0.5"), ("b", "1")]),
        ("a : 0.5*VDD\nb : 1;", [("a", "0.5*VDD"), ("b", "1")]),
        ("a : VDD -0.5; b : VDD+ 1", [("a", "VDD -0.5"), ("b", "VDD+ 1")]),
        ("a : (VDD + 0.5) * -1.2; b : -VDD", [("a", "( VDD + 0.5 ) * -1.2"), ("b", "-VDD")]),
        ('a : "x y; } // z /* w";', [("a", "x y; } // z /* w")]),
        ('a : "1, 2, \\\n   3";', [("a", "1, 2,    3")]),
        ('a : "1, 2, \\  \r\n 3";', [("a", "1, 2,  3")]),
        ('a : "1,\n2";', [("a", "1,\n2")]),
        (r'a : "say \"so\" \\ \d";', [("a", r'say "so" \ \d')]),
        ('a : "" ; b ("")', [("a", ""), ("b", [""])]),
        ("a ();", [("a", [])]),
        ("a (1, pf);", [("a", ["1", "pf"])]),
        ("a (1,pf) b(2);", [("a", ["1", "pf"]), ("b", ["2"])]),
        ('values ( \\\n "1, 2", \\\n "3, 4" \\\n );', [("values", ["1, 2", "3, 4"])]),
        ('values ("1, 2" "3, 4",)', [("values", ["1, 2", "3, 4"])]),  # a comma short, and one too many
        ("a (x y)", [("a", ["x", "y"])]),
        ("a (VDD * 0.5, -1, (1 + 2) * 3)", [("a", ["VDD * 0.5", "-1", "( 1 + 2 ) * 3"])]),
        ("a (x:y, 1:2:3)", [("a", ["x:y", "1:2:3"])]),
        ("a : A[3:0]; b (A[3:0], B[1], C [2:1])", [("a", "A[3:0]"), ("b", ["A[3:0]", "B[1]", "C[2:1]"])]),
        ("a : b/c; d : e\\f;", [("a", "b/c"), ("d", "e\\f")]),
        ("a /* x : 1; */ : /**/ 1 /***/; // b : 2;\n c : 3; //", [("a", "1"), ("c", "3")]),
        ('/* /* ** " // */ a : 1; // /*\n b : 2;', [("a", "1"), ("b", "2")]),
        ("a : 1; \\\n b : 2;", [("a", "1"), ("b", "2")]),
        ("a : 1;\r\nb : 2;\r\n", [("a", "1"), ("b", "2")]),
        ("define (x, cell, float); define (y, pin, string)", None),
    ],
)
def test_attributes(text, attributes):
    expected = attributes or [("define", ["x", "cell", "float"]), ("define", ["y", "pin", "string"])]
    assert body(text).attributes == expected


def test_groups():
    found = body('cell ("A") { pin (Y, Z) { timing () { a : 1 } } ; area : 2 } cell (B[1:0]) {}\ncell () {};')
    assert found == Group(
        "library",
        ["l"],
        groups=[
            Group(
                "cell",
                ["A"],
                [("area", "2")],
                [Group("pin", ["Y", "Z"], groups=[Group("timing", attributes=[("a", "1")])])],
            ),
            Group("cell", ["B[1:0]"]),
            Group("cell"),
        ],
    )
    assert [g.args for g in found.get_groups("cell")] == [["A"], ["B[1:0]"], []]
    assert found.get_groups("pin") == []


def test_getting_attributes():
    group = body("a : 1; b : 2; a : 1; b : 3; c (1, 2); c (3, 4);")
    assert group.get_attribute("a") == "1"
    assert group.get_attribute("d") is None
    assert group.get_attribute("d", "x") == "x"
    assert group.get_attributes("c") == [["1", "2"], ["3", "4"]]
    with pytest.raises(InputError, match=r"^b is '2' and '3' in one library group, expected one value$"):
        group.get_attribute("b")


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends at line 1 before its library does, is it truncated?"),
        ("library (l)", "ends at line 1 before its library does, is it truncated?"),
        ("library (l) {\n a : 1;\n", "ends at line 2 before its library does, is it truncated?"),
        ("library (l) {\n a : 1;\n cell (", "ends at line 3 before its library does, is it truncated?"),
        ("library (l) {\n a :", "ends at line 2 before its library does, is it truncated?"),
        ("library (l) {\n a", "ends at line 2 before its library does, is it truncated?"),
        (
            'library (l) {\n a : "b;\n }\n',
            "ends at line 3 before its library does (a string that opens at line 2 is not closed), is it truncated?",
        ),
        (
            "library (l) {\n /* b\n }\n",
            "ends at line 3 before its library does (a comment that opens at line 2 is not closed), is it truncated?",
        ),
        ("module (x);\n", "is not Liberty at line 1: 'module', expected a library group"),
        ("cell (x) {}\n", "is not Liberty at line 1: 'cell', expected a library group"),
        ("library : x;\n", "is not Liberty at line 1: 'library', expected a library group"),
        ("library (x);\n", "is not Liberty at line 1: ';', expected {"),
        (
            "library (l) {}\n\nlibrary (m) {}",
            "is not Liberty at line 3: 'library', expected the end of the file after its library",
        ),
        (
            "library (l) {}\n}",
            "is not Liberty at line 2: '}', expected the end of the file after its library",
        ),
        ("library (l) {\n a 1;\n}", "is not Liberty at line 2: '1', expected : or ( after 'a'"),
        ("library (l) {\n 1 : a;\n}", "is not Liberty at line 2: '1', expected an attribute, a group or }"),
        ("library (l) {\n { }\n}", "is not Liberty at line 2: '{', expected an attribute, a group or }"),
        ("library (l) {\n a : ;\n}", "is not Liberty at line 2: ';', expected a value"),
        (
            "library (l) {\n date : 10 Feb 2011;\n}",
            "is not Liberty at line 2: 'Feb', expected ; or the next attribute",
        ),
        ("library (l) {\n a : 1 +\n ;\n}", "is not Liberty at line 3: ';', expected an operand"),
        ("library (l) {\n a : (1 + ;\n}", "is not Liberty at line 2: ';', expected an operand"),
        ("library (l) {\n a : (1 ;\n}", "is not Liberty at line 2: ';', expected an operator or )"),
        ("library (l) {\n pin (A { }\n}", "is not Liberty at line 2: '{', expected a value or )"),
        ("library (l) {\n pin (A,,B) { }\n}", "is not Liberty at line 2: ',', expected a value or )"),
        (
            'library (l) {\n include_file ("b.lib");\n}',
            "is not Liberty at line 2: 'include_file', expected the included file's text in its place",
        ),
        (
            f'library (l) {{\n a : b;\n "{"x" * 99}" : 1;\n}}',
            f"is not Liberty at line 3: '\"{'x' * 36}...', expected an attribute, a group or }}",
        ),
    ],
)
def test_errors_name_the_line_and_what_was_expected(text, message):
    with pytest.raises(InputError) as caught:
        parse(text, "a.lib")
    assert str(caught.value) == f"a.lib: {message}"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(text, id=f"{text!r:.20}")
        for text in (
            "{",
            "}",
            "(",
            "a(",
            "a{",
            "a(){",
            "a : (",
            "a : ((-",
            '"',
            '\\"',
            '"\\',
            "/*",
            "*/",
            "/* *",
            "//",
            "/",
            "\\",
            "\\ ",
            " ",
            "\n",
            " \\\n",
            "[",
            "[1",
            "[1:",
            "x[1] ",
            "a:1 ",
            "a:-",
            "a : + ",
            "!",
            ",",
            "a,",
            "(a:",
            ":",
            ";",
            "\0",
            "é",
        )
    ],
)
@pytest.mark.parametrize(
    "start", ["", "library (l) {", "library (l) { a (", "library (l) { a : ", 'library (l) { a : "']
)
def test_hostile_text_is_refused_in_time_proportional_to_its_length(start, hostile):
    """Anything quadratic would take minutes here."""
    begin = time.process_time()
    with pytest.raises(InputError):
        parse(start + hostile * 100_000)
    assert time.process_time() - begin < 10


def test_depth_has_no_limit():
    depth = 50_000
    group = parse("library (l) {" + "a () {" * depth + "}" * depth + "}")
    for _ in range(depth):
        (group,) = group.groups
    assert group.groups == []


# -- random text -------------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n != "include_file")
words = st.one_of(
    names,
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,3})?[a-zA-Z]{1,4}", fullmatch=True),
    st.from_regex(r"[A-Z][0-9]?\[[0-9]{1,2}(:[0-9])?\]", fullmatch=True),
)
expressions = st.lists(words, min_size=2, max_size=4).flatmap(
    lambda operands: st.lists(
        st.sampled_from(["+", "-", "*", "/"]), min_size=len(operands) - 1, max_size=len(operands) - 1
    ).map(lambda signs: " ".join(x for pair in zip(["", *signs], operands, strict=True) for x in pair if x))
)
# The kind says how it may be printed: as it is, or as a string alone.
values = st.one_of(
    words.map(lambda t: ("bare", t)),
    expressions.map(lambda t: ("bare", t)),
    st.text(max_size=20).map(lambda t: ("quoted", t)),
)
attributes = st.tuples(names, st.one_of(values, st.lists(values, max_size=3)))
groups = st.deferred(
    lambda: st.tuples(
        names, st.lists(values, max_size=2), st.lists(attributes, max_size=4), st.lists(groups, max_size=2)
    )
)


class Printer:
    """Prints trees in every layout that the syntax allows, by the choices of a random generator."""

    def __init__(self, chance: random.Random):
        self.chance = chance

    def gap(self, least: str = "") -> str:
        gaps = ["", " ", "\n", "\t\r\n", " \\\n ", "/* a : 1; { */", '/*" */', '// b } "\n', "/**/"]
        return self.chance.choice([least, self.chance.choice(gaps) + least, least + self.chance.choice(gaps)])

    def value(self, value: tuple[str, str]) -> str:
        kind, text = value
        if kind == "bare" and self.chance.random() < 0.7:
            return text
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        if quoted.isalnum() and self.chance.random() < 0.3:
            middle = len(quoted) // 2
            quoted = f"{quoted[:middle]}\\\n{quoted[middle:]}"
        return f'"{quoted}"'

    def brackets(self, values) -> str:
        text = f"{self.gap()},{self.gap()}".join(self.value(v) for v in values)
        return f"({self.gap()}{text}{self.gap()})"

    def group(self, tree) -> str:
        name, args, held, inner = tree
        parts = [f"{name}{self.gap()}{self.brackets(args)}{self.gap()}{{"]
        for key, value in held:
            end = self.chance.choice([";", " ;", ";;", self.gap("\n")])
            if isinstance(value, list):
                parts.append(f"{key}{self.gap()}{self.brackets(value)}{end}")
            else:
                parts.append(f"{key}{self.gap()}:{self.gap()}{self.value(value)}{end}")
        parts += [self.group(g) + self.chance.choice(["", ";"]) for g in inner]
        return self.gap().join(parts) + self.gap() + "}"


def tree_of(group) -> Group:
    name, args, held, inner = group
    plain = [(k, [t for _, t in v] if isinstance(v, list) else v[1]) for k, v in held]
    return Group(name, [t for _, t in args], plain, [tree_of(g) for g in inner])


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(
        st.just("library"),
        st.lists(values, max_size=2),
        st.lists(attributes, max_size=4),
        st.lists(groups, max_size=3),
    ),
    st.randoms(use_true_random=False),
)
def test_printed_trees_are_read_back(tree, chance):
    text = Printer(chance).group(tree)
    assert parse(text) == tree_of(tree)


pieces = st.sampled_from(
    [*"{}()[]:;,\"\\/*'+-! \n\0é0aA.", "/*", "*/", "//", "\\\n", '""', "nan", "1e999", "()", "a : b;"]
)
damages = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 40),
        st.one_of(st.just(""), pieces, st.integers(0, 9999)),
    ),
    min_size=1,
    max_size=4,
)


def damaged(text: str, damage) -> str:
    for place, gone, instead in damage:
        at = int(place * len(text))
        new = instead if isinstance(instead, str) else text[instead % len(text) :][:gone]
        text = text[:at] + new + text[at + gone :]
    return text


@settings(deadline=None, max_examples=300)
@given(damages)
def test_a_damaged_library_is_read_or_refused_in_one_line(tmp_path_factory, damage):
    path = tmp_path_factory.getbasetemp() / "damaged.lib"
    path.write_text(damaged(minilib.text(), damage), encoding="utf-8")
    said = ""
    try:
        liberty.read([path])
    except InputError as error:
        said = str(error)
    if said:
        assert said.startswith("damaged.lib: ")
        assert said.count("damaged.lib") == 1
        assert len(said.splitlines()) == 1
