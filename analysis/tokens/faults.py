"""What may have gone wrong where tokens were dropped or merged, looked for one by one.

Every line has what was found and what a rule without the fault gives, and says in words what that means. Some faults
are of the rule's own design (EViT adds up instead of taking a mean): they are told all the same. What cannot be seen
from what is given is said to be not seen, not to be right.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.attention_faults import first_token_score, first_token_sink, log_size, rows_of_attention
from analysis.tokens.dump import TokenDump
from analysis.tokens.fault import BIASED, NONE, Fault, judged, unseen
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import GONE, goes_to, grouped_sums, shares
from analysis.tokens.survival import Survival, survival
from analysis.tokens.view import CLASS

SAME, MASS = 1e-6, 1e-6  # relative distance of copies; sums of sizes
SEEN = (
    "hidden",
    "attention",
    "queries",
    "keys",
)  # what has to be recorded of a run for all faults to be seen


def faults(dump: TokenDump, rule: Rule, run, where: Survival | None = None) -> list[Fault]:
    """All of them, of a rule that ran as `run` (Simulated, or TokenRun with what it recorded) on what is in `dump`,
    the same samples without any removal. `where`: survival over more samples than these."""
    return [
        *position_bias(where or survival(dump.layout, run.states[-1])),
        first_token_sink(dump, run),
        first_token_score(dump, rule, run),
        class_token(dump, run),
        copies_apart(dump, rule, run),
        mass(dump, rule, run),
        merge_weights(run),
        log_size(rule, run),
        rows_of_attention(dump, run),
        still_computed(run),
    ]


def position_bias(where: Survival) -> list[Fault]:
    """The line that deviates most among rows, and among columns (of a text: among its tenths)."""
    if not where.has_choice:
        return [
            unseen("position bias", "All free tokens or none are left as they were: chance had no choice.")
        ]
    out, z, beyond = [], where.z, where.beyond()
    for kind in dict.fromkeys(name.split()[0] for name in where.names):
        of = np.array([name.startswith(kind) for name in where.names])
        at = int(np.where(of, np.abs(z) + 1e6 * beyond, -1).argmax())  # one beyond chance before others
        rate = where.kept[:, at].sum() / max(where.there[:, at].sum(), 1)
        usual = where.expected[:, at].sum() / max(where.there[:, at].sum(), 1)
        told = f"in {where.names[at]}, {rate:.0%} of tokens are left alone, at random {usual:.0%} (z = {z[at]:.1f})"
        biased = bool(beyond[at])
        said = (
            f"Survival depends on the place: {told}. Data that differ by place do that, too: compare rules."
            if biased else f"Survival is even: |z| = {abs(z[at]):.1f} in {where.names[at]}, no more than by chance."
        )  # fmt: skip
        out.append(Fault(f"position bias by {kind}", float(z[at]), 0.0, BIASED if biased else NONE, said))
    return out


def class_token(dump: TokenDump, run) -> Fault:
    """Class tokens that are gone, or have something in them."""
    is_class, state = dump.layout.kinds == CLASS, run.states[-1]
    if not is_class.any():
        return unseen("class token lost", "There is no class token.")
    own = state.owner == np.arange(is_class.shape[1])
    size = np.take_along_axis(state.size, np.maximum(state.place, 0), axis=1)
    lost = is_class & ~(own & (size == 1))
    return judged(
        "class token lost", lost.sum(), 0, bool(lost.any()),
        f"{int(lost.sum())} of {int(is_class.sum())} class tokens are gone or have others merged into them.",
        "Every class token is there, with nothing merged into it.",
    )  # fmt: skip


def copies_apart(dump: TokenDump, rule: Rule, run) -> Fault:
    """Equal tokens that were left apart while others were merged, at the first layer where the rule acts."""
    name = "duplicates not merged"
    first = next((i for i, step in enumerate(run.steps) if step is not None), None)
    if not rule.merges or first is None:
        return unseen(
            name, f"{rule.title} merges nothing." if first is not None else "Nothing was to be done."
        )
    x = dump.recorded["hidden"][first + 1] if rule.place == AFTER else dump.recorded["between"][first]
    step, wanted, merged = run.steps[first], 0, 0
    for b in range(dump.n):
        places = np.flatnonzero(dump.layout.free[b])
        gone = np.flatnonzero(~step.kept[b] & (step.into[b] != GONE))
        if not len(gone):
            continue
        copy = _copies(np.asarray(x[b, places], np.float64))
        label = np.full(x.shape[1], -1)
        label[places] = copy
        merged += int((label[gone] == label[step.into[b, gone]]).sum())
        wanted += min(len(places) - len(np.unique(copy)), len(gone))
    if not wanted:
        return unseen(name, "No two tokens are equal.")
    return judged(
        name, merged, wanted, merged < wanted,
        f"{wanted - merged} of {wanted} copies were left apart while tokens that differ were merged.",
        f"All {wanted} copies that could be merged were.",
    )  # fmt: skip


def _copies(x: np.ndarray) -> np.ndarray:
    """(n,) the first row that each row of x equals."""
    scale = SAME * max(float(np.linalg.norm(x, axis=1).max(initial=0)), 1e-30)
    squares = np.square(x).sum(axis=1)
    near = squares[:, None] + squares[None] - 2 * x @ x.T <= (scale * 10) ** 2 + 1e-12 * squares.max(
        initial=0
    )
    label = np.arange(len(x))
    for i in range(len(x)):
        for j in np.flatnonzero(near[i, :i]):
            if np.linalg.norm(x[i] - x[j]) <= scale:
                label[i] = label[j]
                break
    return label


def mass(dump: TokenDump, rule: Rule, run) -> Fault:
    """Sizes against the input tokens that are inside; all of them where the rule only merges."""
    state = run.states[-1]
    sizes = float(state.size.sum())
    inside = float((state.place != GONE).sum())
    expected = float(dump.layout.present.sum()) if rule.merges else inside
    wrong = abs(sizes - expected) > MASS * expected or abs(sizes - inside) > MASS * max(inside, 1)
    what = "input tokens" if rule.merges else "tokens that are left"
    return judged(
        "mass not conserved", sizes, expected, wrong,
        f"Sizes add up to {sizes:g}, {inside:g} input tokens are inside, and there are {expected:g} {what}.",
        f"Sizes add up to the {expected:g} {what}.",
    )  # fmt: skip


def merge_weights(run) -> Fault:
    """What merged tokens count in their group, together: 1 of a mean."""
    sums = []
    for step, state, behind in zip(run.steps, run.states, run.states[1:], strict=False):
        if step is None:
            continue
        goes = goes_to(step)
        total = grouped_sums(shares(state, step), goes, behind.at.shape[1])
        many = grouped_sums((goes != GONE) * 1.0, goes, behind.at.shape[1]) > 1
        sums += total[many].tolist()
    if not sums:
        return unseen("weights of a merge", "Nothing was merged.")
    mean, worst = float(np.mean(sums)), float(np.abs(np.array(sums) - 1).max())
    return judged(
        "weights of a merge", mean, 1.0, not worst <= MASS,
        f"A merged token is a sum and not a mean: weights add up to {mean:.2g}, so that it is shorter or longer than "
        "what it is made of.",
        "Merged tokens are means: weights add up to 1.",
    )  # fmt: skip


def still_computed(run) -> Fault:
    """Tokens that went through the blocks, against those that are left."""
    name, hidden = "pruned tokens still computed", getattr(run, "recorded", {}).get("hidden")
    if not hidden:
        return unseen(name, "No network was run with the rule, or what it computed was not recorded.")
    computed = sum(x.shape[0] * x.shape[1] for x in hidden[:-1])
    kept = sum(s.at.size for s in run.states[:-1])
    return judged(
        name, computed, kept, computed > kept,
        f"Blocks computed {computed:,} tokens, and {kept:,} were left: tokens were masked, not removed.",
        f"Blocks computed the {kept:,} tokens that were left and no others.",
    )  # fmt: skip
