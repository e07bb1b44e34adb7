"""What players do together beyond what each does alone, from all coalitions.

With Δ_ij(S) = v(S + i + j) - v(S + i) - v(S + j) + v(S) over coalitions S of the others:

    Shapley interaction   I_ij = Σ_S |S|! (M - |S| - 2)! / (M - 1)!  Δ_ij(S)         (M. Grabisch & M. Roubens 1999)
    Shapley-Taylor        T_ij = (2 / M) Σ_S Δ_ij(S) / C(M - 1, |S|),  T_i = v(i) - v(∅)
                                                                      (M. Sundararajan, K. Dhamdhere & A. Agarwal 2020)
    Banzhaf               mean of the gains, and of Δ_ij, over all S                           (J. Banzhaf 1965)
    dividend              m(T) = Σ_{S ⊆ T} (-1)^{|T| - |S|} v(S)                                (J. Harsanyi 1963)

Shapley-Taylor values and pairs together sum to v(N) - v(∅); the others do not. An additive game has no interactions.
O(M² 2^M).
"""

from __future__ import annotations

from math import comb

import numpy as np

from analysis.compute.games.exact import coalition_sizes, gains, players_of


def dividends(v: np.ndarray) -> np.ndarray:
    """Harsanyi dividends (2^M, outputs) from all values: what each coalition adds to all smaller ones. O(M 2^M)."""
    m = np.array(v, dtype=np.float64)
    for player in range(players_of(v)):
        halves = m.reshape(-1, 2, 2**player, m.shape[1])
        halves[:, 1] -= halves[:, 0]
    return m


def shapley_interactions(v: np.ndarray) -> np.ndarray:
    """I_ij (M, M, outputs), symmetric; 0 on the diagonal."""
    players = players_of(v)
    law = [1.0 / ((players - 1) * comb(players - 2, s)) for s in range(players - 1)]
    return _pairs(v, np.array(law))


def shapley_taylor(v: np.ndarray) -> np.ndarray:
    """T (M, M, outputs) of order 2, the players' own on the diagonal; its upper triangle sums to v(N) - v(∅)."""
    players = players_of(v)
    law = [2.0 / (players * comb(players - 1, s)) for s in range(players - 1)]
    pairs = _pairs(v, np.array(law))
    alone = v[2 ** np.arange(players)] - v[0]
    pairs[np.arange(players), np.arange(players)] = alone
    return pairs


def banzhaf_values(v: np.ndarray) -> np.ndarray:
    """Mean gain (M, outputs) over all coalitions of the others. These do not sum to v(N) - v(∅)."""
    return np.stack([gains(v, i).mean(axis=0) for i in range(players_of(v))])


def banzhaf_interactions(v: np.ndarray) -> np.ndarray:
    """Mean of Δ_ij (M, M, outputs) over all coalitions of the others; 0 on the diagonal."""
    players = players_of(v)
    return _pairs(v, np.full(players - 1, 0.5 ** (players - 2)))


def _pairs(v: np.ndarray, law: np.ndarray) -> np.ndarray:
    """Σ_S law(|S|) Δ_ij(S) for all pairs, symmetric with a diagonal of 0."""
    players = players_of(v)
    found = np.zeros((players, players, v.shape[1]))
    if players < 2:
        return found
    weights = law[coalition_sizes(players - 2)]
    for i in range(players):
        gained = gains(v, i)
        for j in range(i):  # lower numbers keep their place when i is taken out
            found[i, j] = found[j, i] = weights @ gains(gained, j)
    return found
