"""The words that the page uses: each explained where it first stands in running text, and all of them at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

TERMS: Mapping[str, str] = {
    "POST": "weights that are powers of two and of the square root of two",
    "POT": "weights that are powers of two",
    "int": "weights that are whole numbers, evenly spaced",
    "post-gap": "POST with other exponents, chosen for the least error",
    "apot": "weights that are sums of two powers of two",
    "fp4": "4-bit floating point, E2M1",
    "nf4": "4-bit levels at equal shares of a Gaussian",
    "tile": "16 x 16 multiply-accumulates that share what is common to a row or column",
    "element": "one multiply-accumulate with a multiplier and registers of its own",
    "MAC": "multiply-accumulate",
    "F": "fractional bits of the table that holds the products with the square root of two",
    "held": "weights stay in place for many cycles and only activations change",
    "streaming": "weights and activations both change in every cycle",
    "ASQ": "adaptive step size: a layer's quantization step follows the average of its input",
    "DAQ": "distance-aware quantization, here of one bit",
    "LSQ": "learned step size quantization",
    "QIL": "quantization by learned intervals",
    "fitted": "the scale of a layer's weights begins at its least squared error",
    "teacher": "a full-precision network whose outputs are learned too",
    "SQNR": "signal to quantization noise ratio",
    "correction": "a constant of each column that the requantizer adds once a sum",
    "front": "those that no other beats in both",
    "weight registers": "each column of a tile holds weights of its own",
    "carry-save": "sums that stay two words until the end",
    "roofline": "the most that array and memory allow at a ratio of operations to bytes",
    "closed form": "cycles from formulas, layer by layer",
}
"""Term, as it stands in text -> what it means, in a few words."""


def anchor(term: str) -> str:
    """Its identifier on the page."""
    return "term-" + re.sub(r"\W+", "-", term.lower())


class Explainer:
    """Marks the first of each term in running text: a link to the glossary, and the explanation behind it."""

    def __init__(self, terms: Mapping[str, str] = TERMS):
        self.terms = terms
        self.seen: set[str] = set()
        longest = sorted(terms, key=len, reverse=True)
        # A term may begin a sentence, and may be one of several.
        words = (
            f"[{t[0]}{t[0].upper()}]{re.escape(t[1:])}s?" if len(t) > 1 else re.escape(t) for t in longest
        )
        self._any = re.compile(r"(?<![\w-])(?:" + "|".join(words) + r")(?![\w-])")
        self._known = {t.lower(): t for t in terms} | {f"{t.lower()}s": t for t in terms}

    def __call__(self, text: str) -> Markup:
        """HTML of a text, each term's first occurrence on the page followed by what it means."""

        def mark(found: re.Match[str]) -> Markup:
            term = self._known[found[0].lower()]
            if term in self.seen:
                return escape(found[0])
            self.seen.add(term)
            return Markup('<dfn><a href="#{}">{}</a></dfn> <span class="means">({})</span>').format(
                anchor(term), found[0], self.terms[term]
            )

        parts: list[Markup] = []
        end = 0
        for found in self._any.finditer(text):
            parts += [escape(text[end : found.start()]), mark(found)]
            end = found.end()
        return Markup("").join([*parts, escape(text[end:])])
