"""Letters and signs beyond ASCII as every LaTeX sets them: without packages, in the fonts that it begins with.

pdfLaTeX stops at a character that it does not know, and BibTeX cuts letters of several bytes in the middle when it
shortens names. So accents are written as commands, signs as mathematics, and what LaTeX has no letter for by its number
(U+6F22), which whoever sets the paper replaces.
"""

from __future__ import annotations

import unicodedata

_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u0307\u030c\u030b\u030a\u0327\u0323\u0331",
                    ["`", "'", "^", "~", '"', "=", "u", ".", "v", "H", "r", "c", "d", "b"], strict=True))  # fmt: skip
_LETTERS = {
    "ß": r"\ss", "æ": r"\ae", "Æ": r"\AE", "œ": r"\oe", "Œ": r"\OE", "ø": r"\o", "Ø": r"\O", "ł": r"\l", "Ł": r"\L",
    "ı": r"\i", "ȷ": r"\j", "£": r"\pounds", "§": r"\S", "¶": r"\P", "†": r"\dag", "‡": r"\ddag",
    "©": r"\copyright", "…": r"\ldots", "¡": "!`", "¿": "?`", "‘": "`", "’": "'", "‚": ",", "“": "``", "”": "''",
    "„": ",,", "–": "--", "—": "---", "―": "---", "‒": "--", "‐": "-", "‑": "-", "\u00a0": "~", "\u202f": r"\,",
    "\u2009": r"\,", "�": "?", "€": "EUR",
}  # fmt: skip
_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma tau upsilon"
_GREEK_NAMES = [*_GREEK.split(), "phi", "chi", "psi", "omega"]
_CAPITALS = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
             "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"}  # fmt: skip
_MATHEMATICS = {
    "−": "-", "×": r"\times", "÷": r"\div", "±": r"\pm", "∓": r"\mp", "·": r"\cdot", "∙": r"\cdot", "•": r"\bullet",
    "∘": r"\circ", "°": r"^\circ", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "≡": r"\equiv",
    "∼": r"\sim", "≪": r"\ll", "≫": r"\gg", "«": r"\ll", "»": r"\gg", "∝": r"\propto", "∞": r"\infty", "∂": r"\partial",
    "∇": r"\nabla", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "√": r"\surd", "∈": r"\in", "∉": r"\notin",
    "⊂": r"\subset", "⊆": r"\subseteq", "∩": r"\cap", "∪": r"\cup", "∧": r"\wedge", "∨": r"\vee", "¬": r"\neg",
    "∀": r"\forall", "∃": r"\exists", "∅": r"\emptyset", "⊥": r"\perp", "∥": r"\parallel", "‖": r"\|", "⟨": r"\langle",
    "⟩": r"\rangle", "⊙": r"\odot", "⊗": r"\otimes", "⊕": r"\oplus", "→": r"\rightarrow", "←": r"\leftarrow",
    "↑": r"\uparrow", "↓": r"\downarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow", "⇔": r"\Leftrightarrow",
    "↦": r"\mapsto", "′": r"'", "″": r"''", "★": r"\star", "☆": r"\star", "✓": r"\surd", "✔": r"\surd", "ℓ": r"\ell",
    "ϕ": r"\phi", "ε": r"\varepsilon", "µ": r"\mu", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "●": r"\bullet", "○": r"\circ",
    **{c: rf"\{name}" for c, name in zip("αβγδεζηθικλμνξοπρςστυφχψω", _GREEK_NAMES, strict=True)}, "ο": "o",
    **{c: rf"\{name}" for c, name in _CAPITALS.items()},
    **{c: rf"\mathrm{{{like}}}" for c, like in zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)},
    **{c: f"^{{{plain}}}" for c, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True)},
    **{c: f"_{{{plain}}}" for c, plain in zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢⱼₖ", "0123456789+-=()nijk", strict=True)},
}  # fmt: skip
_UNSEEN = {"\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f"}


def latex_letters(text: str) -> str:
    """ASCII that LaTeX sets as `text`; what is ASCII already is left as it is."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else letter(c) for c in unicodedata.normalize("NFC", text))


def letter(c: str) -> str:
    """One character beyond ASCII."""
    if c in _UNSEEN:
        return ""
    if c in _LETTERS:
        told = _LETTERS[c]
        return f"{{{told}}}" if told.startswith("\\") else told
    if c in _MATHEMATICS:
        return f"${_MATHEMATICS[c]}$"
    parts = unicodedata.normalize("NFD", c)
    if len(parts) > 1 and parts[0].isascii() and parts[0].isalpha() and set(parts[1:]) <= _ACCENTS.keys():
        return _accented(parts)
    like = unicodedata.normalize("NFKC", c)  # letters of ligatures, full width and mathematics
    if like != c and like.isascii() and like.replace(" ", "").isalnum():
        return like
    return "~" if c.isspace() else rf"\texttt{{U+{ord(c):04X}}}"


def _accented(parts: str) -> str:
    told = (
        {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0]) if parts[1] not in "\u0327\u0323\u0331" else parts[0]
    )
    for mark in parts[1:]:
        told = f"\\{_ACCENTS[mark]}{{{told}}}"
    return f"{{{told}}}"
