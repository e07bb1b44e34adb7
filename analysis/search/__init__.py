"""Finding rows: by what is written about them, by values, by what units do, and by likeness."""

from analysis.search.finding import Found, Match, search, search_store
from analysis.search.likeness import Alike, more_like
from analysis.search.query import EXAMPLES, parse

__all__ = ["EXAMPLES", "Alike", "Found", "Match", "more_like", "parse", "search", "search_store"]
