"""Everything that people write, with its history; what older people.db held becomes its first changes."""

import hashlib
import json
import zlib

import numpy as np
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def _texts(*names: str, **more) -> list[sa.Column]:
    return [sa.Column(name, sa.Text, nullable=False, **more) for name in names]


def _number(name: str, **more) -> sa.Column:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, **more)


def upgrade() -> None:
    key, thing, who = {"primary_key": True}, ("kind", "store", "tap", "item"), ("author", "made")
    op.create_table("loupe_workspaces", *_texts("id", **key), _number("last"), *_texts("made"))
    op.create_table("loupe_entries", *_texts("workspace", "thing", "field", "part", **key), *_texts(*thing),
                    *_texts("spot", "text", *who), _number("version"))  # fmt: skip
    op.create_index("loupe_entries_by_spot", "loupe_entries", ["workspace", "field", "spot"])
    op.create_table(
        "loupe_changes", *_texts("workspace", **key), _number("seq", autoincrement=False, **key),
        *_texts("thing", "field", "part", *thing), sa.Column("before", sa.Text), sa.Column("after", sa.Text),
        sa.Column("packed", sa.LargeBinary), *_texts("place", *who))  # fmt: skip
    for by in ("thing", "author", "kind"):
        op.create_index(f"loupe_changes_by_{by}", "loupe_changes", ["workspace", by, "seq"])
    op.create_table("loupe_selections", *_texts("workspace", "thing", **key), *_texts("name", "of", "store", "tap"),
                    sa.Column("ids", sa.LargeBinary, nullable=False), *_texts("note", *who),
                    _number("version"))  # fmt: skip
    op.create_table("loupe_links", *_texts("workspace", "id", **key), *_texts("page", "query", "seen", *who))
    op.create_table("loupe_tours", *_texts("workspace", "id", **key), *_texts("title", "text", *who),
                    _number("version"))  # fmt: skip
    op.create_table("loupe_tour_steps", *_texts("workspace", "tour", **key),
                    _number("place", autoincrement=False, **key), *_texts("link", "text"))  # fmt: skip
    if op.get_bind().dialect.name == "sqlite":
        _move(op.get_bind())
        for old in ("selections", "stars", "notes"):
            op.drop_table(old)


def _move(bind) -> None:
    """Older rows in the order of their times, as if they had been written one after the other."""
    found = []
    for name, of, store, tap, ids, note, author, made in bind.exec_driver_sql("SELECT * FROM selections"):
        found.append((made, author, "selection", "", "", name, (of, store, tap, _packed(of, ids), note)))
    for store, tap, unit, author, made in bind.exec_driver_sql("SELECT * FROM stars"):
        found.append((made, author, "star", store, tap, str(unit), "yes"))
    for store, tap, unit, text, author, made in bind.exec_driver_sql("SELECT * FROM notes"):
        found.append((made, author, "note", store, tap, str(unit), text))
    found.sort(key=lambda row: (row[0], row[2:6]))
    bind.execute(sa.text("INSERT INTO loupe_workspaces VALUES ('', :last, '')"), {"last": len(found)})
    for seq, (made, author, field, store, tap, item, held) in enumerate(found, 1):
        row = {
            "made": made,
            "author": author,
            "seq": seq,
            "field": field,
            "store": store,
            "tap": tap,
            "item": item,
        }
        _move_selection(bind, row, *held) if field == "selection" else _move_entry(bind, row, held)


def _move_entry(bind, row: dict, text: str) -> None:
    row |= {"spot": _id("feature", row["store"], row["tap"]), "text": text}
    row |= {"thing": _id("feature", row["store"], row["tap"], row["item"])}
    bind.execute(sa.text("INSERT INTO loupe_entries VALUES ('', :thing, :field, '', 'feature', :store, :tap, :item, "
                         ":spot, :text, :author, :made, :seq)"), row)  # fmt: skip
    bind.execute(sa.text("INSERT INTO loupe_changes VALUES ('', :seq, :thing, :field, '', 'feature', :store, :tap, "
                         ":item, NULL, :text, NULL, '', :author, :made)"), row)  # fmt: skip


def _move_selection(bind, row: dict, of: str, store: str, tap: str, packed: bytes, note: str) -> None:
    about = json.dumps({"of": of, "store": store, "tap": tap, "note": note})
    row |= {"thing": _id("selection", "", "", row["item"]), "of": of, "store": store, "tap": tap, "packed": packed,
            "note": note, "about": about}  # fmt: skip
    bind.execute(sa.text("INSERT INTO loupe_selections VALUES ('', :thing, :item, :of, :store, :tap, :packed, :note, "
                         ":author, :made, :seq)"), row)  # fmt: skip
    bind.execute(sa.text("INSERT INTO loupe_changes VALUES ('', :seq, :thing, 'selection', '', 'selection', '', '', "
                         ":item, NULL, :about, :packed, '', :author, :made)"), row)  # fmt: skip


def _id(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _packed(of: str, ids: str | bytes) -> bytes:
    if isinstance(ids, bytes):
        return ids
    known = json.loads(ids)
    if of == "samples":
        return zlib.compress(json.dumps(sorted(set(map(str, known)))).encode(), 1)
    whole = np.unique(np.asarray(known, dtype=np.int64))
    return zlib.compress(np.diff(whole, prepend=np.int64(0)).astype("<i8").tobytes(), 1)
