"""What to do where a question needs what one part of a network of one's own gives: two lines that record it."""

from __future__ import annotations


def recorded_from(*taps: str, tokens: str = "all") -> str:
    """The remedy of a refusal: how modules of these names, or globs of names, become taps."""
    names = " ".join(f'"{name}"' for name in taps)
    return (
        "To record it from a network of your own, give the tensor a module (x = self.gates(x), with gates = "
        f"nn.Identity(), where none returns it), then: loupe record net.pth DATA --model my_nets:make --taps {names} "
        f"--tokens {tokens} --dtype float32 --workspace DIR --name NAME"
    )
