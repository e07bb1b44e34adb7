"""Who acts, and what is refused to whom."""

from __future__ import annotations

import pytest

from analysis import access
from analysis.access import Person
from analysis.errors import Forbidden


def test_on_ones_own_machine_everybody_is_the_owner():
    assert access.acting().role == "owner"
    assert access.require("owner", "do anything").role == "owner"


@pytest.mark.parametrize("has", access.ROLES)
@pytest.mark.parametrize("asked", access.ROLES[1:])
def test_a_role_may_what_the_ones_below_it_may(has, asked):
    allowed = access.ROLES.index(has) >= access.ROLES.index(asked)
    with access.acting_as(Person("Ada", has)):
        assert access.may(asked) is allowed
        if allowed:
            assert access.require(asked, "write a note").name == "Ada"
        else:
            with pytest.raises(Forbidden, match=f"Ada may not write a note here .role: {has}.*{asked}"):
                access.require(asked, "write a note")


def test_who_acts_is_forgotten_after_the_block_also_when_it_fails():
    before = access.acting()
    with pytest.raises(ZeroDivisionError), access.acting_as(Person("Ada", "viewer")):
        raise ZeroDivisionError
    assert access.acting() == before


def test_a_host_says_who_acts_and_a_block_outranks_it(monkeypatch):
    monkeypatch.setattr(access, "_provider", access._provider)
    access.told_by(lambda: Person("Visitor", "viewer", "sub-1"))
    assert access.acting() == Person("Visitor", "viewer", "sub-1")
    with access.acting_as(Person("Worker", "editor")):
        assert access.acting().name == "Worker"
