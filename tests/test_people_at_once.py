"""Several workspaces whose tables are made by several threads of one process at once, as a host's first visitors do."""

from __future__ import annotations

import threading

from analysis.workspace import Workspace


def test_the_first_notes_of_eight_workspaces_at_once(tmp_path):
    opened = [Workspace.create(tmp_path / str(k)) for k in range(8)]
    gate, failed = threading.Barrier(8), []

    def write(number: int) -> None:
        gate.wait()
        try:
            opened[number].people.note("store", "tap", number, "a note")
            assert opened[number].people.notes("store", "tap") == {number: "a note"}
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
