"""Texts made here whose tokens planted features stand for, for the checks of names."""

from __future__ import annotations

import numpy as np

from analysis.activations import ArrayActivations, Layout

WORDS = ("self", "value", "other", "name", "count")


class TextActivations(ArrayActivations):
    """Activations in memory whose samples have tokens, one letter each."""

    def tokens(self, sample: int) -> list[str]:
        return list(self.samples["text"][sample])


def planted_texts(
    rng: np.random.Generator, samples: int = 80, length: int = 40
) -> tuple[TextActivations, dict]:
    """Features: 0 on opening brackets, 1 inside the word "self", 2 on random rows, 3 on half of the digits, 4 never;
    and `half`, the AUROC that "digit" has for feature 3: ½ (1 + 1 - d / 2 / (1 - d / 2)) for a share d of digits."""
    texts = []
    for _ in range(samples):
        parts = ""
        while len(parts) < length:
            parts += str(rng.choice(["({})", "{} = 7\n", "    {}.", "{}[3] "])).format(rng.choice(WORDS))
        texts.append(parts[:length].ljust(length))
    letters = np.array([list(t) for t in texts]).ravel()
    inside = np.zeros((samples, length), bool)
    for i, text in enumerate(texts):
        at = text.find("self")
        while at >= 0:
            inside[i, at : at + 4] = True
            at = text.find("self", at + 1)
    digit, size = np.isin(letters, list("0123456789")), 1 + rng.random(samples * length)
    some = digit & (rng.random(len(digit)) < 0.5)
    x = np.stack(
        [np.isin(letters, list("([")), inside.ravel(), rng.random(len(size)) < 0.05, some, 0 * size], axis=1
    )
    layout = Layout(np.arange(samples + 1) * length)
    tap = TextActivations(x * size[:, None], "planted", {"text": np.array(texts)}, layout)
    share = digit.mean() / 2
    return tap, {"half": 0.5 * (2 - share / (1 - share))}
