"""Each term is explained once, where it first stands."""

from __future__ import annotations

from reports.glossary import Explainer


def test_the_first_of_a_term_is_explained_and_no_other() -> None:
    explain = Explainer({"held": "stays", "F": "bits", "weight registers": "own", "weight": "w"})
    first = str(explain("F4 is not F, <held> is; Weight registers count."))
    assert first == (
        'F4 is not <dfn><a href="#term-f">F</a></dfn> <span class="means">(bits)</span>, &lt;<dfn><a href="#term-held">held'
        '</a></dfn> <span class="means">(stays)</span>&gt; is; <dfn><a href="#term-weight-registers">Weight registers</a></dfn> '
        '<span class="means">(own)</span> count.'
    )
    assert str(explain("held & F")) == "held &amp; F"
    assert "(w)" in explain("two weights")
