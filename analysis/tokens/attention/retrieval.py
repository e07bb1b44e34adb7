"""Where a question's tokens look in what stands before them, sentence by sentence, beside what places alone would give.

    mass_j   = mean over heads and over the question's tokens i of A_ij
    null_j   = the same of the other samples' heads at the same places (all read alike where there are none)
    a sentence s scores  Σ_(j in s) mass_j / Σ_(j in s) null_j,  both smoothed over a short window first

A text is asked about itself: each word (three letters or more) that an earlier sentence has as a whole word is a
question, up to its last token, and the sentences that have it are known; or both are given pieces of text. Sentences
end at line ends and after . ! or ? before a space. The sentence of the question is no candidate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.attention.position_null import others_rows

WORD = re.compile(r"[^\W\d]\w{2,}")
END = re.compile(r"\n+|[.!?]+(?=\s)")
RUN, ASKING, MOST = (
    4,
    8,
    16,
)  # rows in a sentence of what is no text; tokens of a question that is not named; words


@dataclass(frozen=True)
class Trial:
    """Of one sample: `asks` token numbers of the question, `sentences` (s, 2) first token and end, all before it,
    `known` numbers among these, `word` what was looked for."""

    asks: np.ndarray
    sentences: np.ndarray
    known: np.ndarray
    word: str

    @property
    def chance(self) -> float:
        """That one of the known comes first by chance."""
        return len(self.known) / len(self.sentences)


def trials_of_text(words: tuple[str, ...], question: str = "", answer: str = "") -> list[Trial]:
    """Questions with two sentences before them at least, one of them known; of named ones the last place where the
    question stands, else the last words that an earlier sentence has."""
    text, start = "".join(words), np.concatenate([[0], np.cumsum([len(w) for w in words])])
    if not question and not answer:
        found = []
        for word in list(WORD.finditer(text))[::-1]:
            trial = _trial(text, start, word.span(), word.group(), by_name=True)
            if trial is not None and len(found) < MOST:
                found.append(trial)
        return found
    begin = text.rfind(question) if question else int(start[max(len(words) - ASKING, 0)])
    if begin < 0:
        return []
    span = (begin, begin + len(question) if question else len(text))
    trial = _trial(text, start, span, answer or question)
    return [] if trial is None else [trial]


def _trial(
    text: str, start: np.ndarray, span: tuple[int, int], word: str, by_name: bool = False
) -> Trial | None:
    first, last = (int(np.searchsorted(start, at, side="right")) - 1 for at in (span[0], span[1] - 1))
    sentences = sentences_of(text, start, first)
    whole = re.compile(rf"\b{re.escape(word)}\b" if by_name else re.escape(word))
    known = [i for i, (a, b) in enumerate(sentences) if whole.search(text[start[a] : start[b]])]
    if len(sentences) < 2 or not known:
        return None
    stop = max(last, first + 1) if by_name else last + 1
    return Trial(np.arange(first, stop), sentences, np.array(known, int), word)


def open_question(words: tuple[str, ...]) -> Trial | None:
    """The last tokens of a text ask, and nothing is known; None without two sentences before them."""
    start = np.concatenate([[0], np.cumsum([len(w) for w in words])])
    first = max(len(words) - ASKING, 0)
    sentences = sentences_of("".join(words), start, first)
    asked = "".join(words[first:])
    return (
        Trial(np.arange(first, len(words)), sentences, np.zeros(0, int), asked)
        if len(sentences) > 1
        else None
    )


def sentences_of(text: str, start: np.ndarray, before: int) -> np.ndarray:
    """(s, 2) first token and end of the sentences that end before the token `before`; what has no letter belongs to
    the sentence before it."""
    found, begin = [], 0
    for end in END.finditer(text):
        stop = int(np.searchsorted(start, end.end(), side="left"))
        if stop > before:
            break
        if found and not re.search(r"\w", text[start[begin] : start[stop]]):
            found[-1][1] = stop
        elif stop > begin:
            found.append([begin, stop])
        begin = stop
    return np.array(found, int).reshape(-1, 2)


def trial_of_rows(x: np.ndarray, there: np.ndarray) -> Trial | None:
    """Of rows x (T, d) that are no text: the last one asks, runs of up to four are sentences, and that with the row
    most like it by cosine is known. The first row, the mean of all, is left out."""
    at = np.flatnonzero(there)[1:]
    if len(at) < 3:
        return None
    stops = np.arange(0, len(at) - 1, min(RUN, (len(at) - 1) // 2))
    sentences = np.array([[at[s], at[e]] for s, e in zip(stops, [*stops[1:], len(at) - 1], strict=True)])
    unit = x[at] / np.maximum(np.linalg.norm(x[at], axis=1, keepdims=True), 1e-300)
    nearest = at[int((unit[:-1] @ unit[-1]).argmax())]
    known = np.flatnonzero((sentences[:, 0] <= nearest) & (nearest < sentences[:, 1]))
    return Trial(at[-1:], sentences, known, "the last row")


def trials_of(reader: HeadReader, question: str, answer: str) -> list[list[Trial]]:
    """Of each sample its questions."""
    if not getattr(reader.who, "is_network", False):
        x, there = reader.queries[0][:, 0], reader.layout.present
        found = [trial_of_rows(x[b], there[b]) for b in range(reader.n)]
        return [[] if t is None else [t] for t in found]
    return [trials_of_text(words_of(reader, b), question, answer) for b in range(reader.n)]


def words_of(reader: HeadReader, b: int) -> tuple[str, ...]:
    """The tokens of a sample as text; nothing where there is none, or not one for each."""
    there = reader.layout.present[b]
    words = reader.who.opened.words(int(reader.places[b]))
    return words if len(words) == there.sum() and there[: len(words)].all() else ()


def asked_mass(reader: HeadReader, layer: int, heads, trials) -> tuple[np.ndarray, np.ndarray]:
    """((n, r, T) mass from the question's tokens, (n, r, T) what places alone give) of up to r questions of each
    sample, means over heads."""
    asks = np.zeros((reader.n, max(map(len, trials)), reader.tokens))
    for b, several in enumerate(trials):
        for r, trial in enumerate(several):
            asks[b, r, trial.asks] = 1 / len(trial.asks)
    mass, null = np.zeros(asks.shape), np.zeros(asks.shape)
    for start, stop in reader.parts():
        weight = asks[:, :, start:stop] / len(heads)
        if weight.any():
            may = reader.allowed(start, stop)
            for head in heads:
                rows = reader.rows(layer, head, start, stop)
                mass += weight @ rows
                null += weight @ others_rows(rows, may)
    return mass, null


def smoothed(x: np.ndarray, window: int) -> np.ndarray:
    """Means of x (T,) over `window` neighbours, fewer at the ends."""
    ones = np.ones(window)
    return np.convolve(x, ones, "same")[: len(x)] / np.convolve(np.ones(len(x)), ones, "same")[: len(x)]


def sentence_scores(
    trial: Trial, mass: np.ndarray, null: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """((s,) mass over what places give, (s,) mass as it is) of sentences; the window does not reach the question."""
    end = int(trial.sentences[-1, 1])
    got, usual = (smoothed(x[:end], min(window, end)) for x in (mass, null))
    sums = np.array([[x[a:b].sum() for a, b in trial.sentences] for x in (got, usual)])
    return sums[0] / np.maximum(sums[1], 1e-12), sums[0]


def highest_elsewhere(
    reader: HeadReader, layer: int, heads, trial: Trial, at: int, window: int
) -> np.ndarray:
    """What the highest of the sentences of sample `at` gets where other samples, a number each, are read at the same
    places: without regard to what these sentences say."""
    there = reader.layout.present
    fits = [b for b in range(reader.n) if b != at and there[b, : trial.asks.max() + 1].all()]
    if not fits:
        return np.zeros(0)
    mass, null = asked_mass(reader, layer, heads, [[trial] * (b in fits) for b in range(reader.n)])
    return np.array([sentence_scores(trial, mass[b, 0], null[b, 0], window)[0].max() for b in fits])


def best_by_chance(firsts: list, rng: np.random.Generator, draws: int = 400) -> np.ndarray:
    """(draws,) the most that any layer gets where the order of sentences says nothing: in each sample all known
    sentences are moved on by the same share of those there are, at random, the scores staying as they are.

    firsts : of each sample of each of its questions (trial, scores (L, s)).
    """
    layers = len(firsts[0][0][1])
    got = np.zeros((draws, layers))
    for several in firsts:
        moved = rng.random(draws)
        for trial, scores in several:
            s = len(trial.sentences)
            unknown = np.ones((s, s))  # by how far they are moved, sentences
            unknown[np.arange(s)[:, None], (trial.known + np.arange(s)[:, None]) % s] = 0
            top = scores == scores.max(axis=1, keepdims=True)
            got += (unknown[(moved * s).astype(int)] @ top.T == 0) / len(several)
    return (got / len(firsts)).max(axis=1)


def rank_of_known(scores: np.ndarray, known: np.ndarray) -> float:
    """Place of the best known sentence, 1 the first; among equals the middle of them."""
    best = scores[known].max()
    return float((scores > best).sum() + 1 + ((scores == best).sum() - (scores[known] == best).sum()) / 2)


def strip(trial: Trial, mass: np.ndarray, null: np.ndarray, window: int, top: int) -> np.ndarray:
    """(4, T) what is drawn of one sample."""
    end, values = int(trial.sentences[-1, 1]), np.zeros((4, len(mass)))
    got, usual = (smoothed(x[:end], min(window, end)) for x in (mass, null))
    values[0, :end] = got / np.maximum(usual, 1e-12)
    scores, _ = sentence_scores(trial, mass, null, window)
    order = np.argsort(np.argsort(-scores, kind="stable"), kind="stable")
    for s, (first, stop) in enumerate(trial.sentences):
        values[1, first:stop] = scores[s]
        values[2, first:stop] = max(top - order[s], 0) / top
        values[3, first:stop] = 0.5 * (s in trial.known)
    values[3, trial.asks] = 1
    return values
