"""Numbers in words a person reads: sizes, times, counts."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """ "under 1 s", "12 s", "3 min 20 s", "2 h 5 min", "5 days"; an unknown time is "an unknown time"."""
    if seconds is None or seconds != seconds:
        return "an unknown time"
    if seconds < 1:
        return "under 1 s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    if round(seconds) < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    days = seconds / 86_400
    if days >= 3:
        return f"{days:,.0f} days" if days < 1000 else f"{float(f'{days / 365.25:.2g}'):,.0f} years"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def about(seconds: float | None) -> str:
    """An estimate: "less than a second", "about 12 s", "an unknown time"."""
    if seconds is None or seconds != seconds:
        return duration(seconds)
    return "less than a second" if seconds < 1 else f"about {duration(seconds)}"


def size(n_bytes: float | None) -> str:
    """ "512 B", "3.4 MB", "1.2 GB" (decimal, as file managers show)."""
    if n_bytes is None or n_bytes != n_bytes:
        return "an unknown size"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n_bytes < 999.5 or unit == "TB":  # above, three digits would say 1e+03
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return ""


def count(n: int, one: str, many: str = "") -> str:
    """ "1 store", "1,797 samples"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
