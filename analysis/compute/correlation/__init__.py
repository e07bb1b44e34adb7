"""How units go together, pair by pair: heat maps and lists."""
