"""The commands by name. Each loads only what it needs: the dashboard must not wait for the others' libraries."""

from __future__ import annotations

import importlib

COMMANDS = {
    "start": "dashboard.commands.starting:start",
    "members list": "dashboard.commands.members:list_",
    "members add": "dashboard.commands.members:add",
    "members remove": "dashboard.commands.members:remove",
    "audit": "dashboard.commands.auditing:audit",
    "serve": "dashboard.commands.serving:serve",
    "record": "dashboard.commands.recording:record",
    "describe": "dashboard.commands.describing:describe",
    "adapt": "dashboard.commands.adapting:adapt",
    "import": "dashboard.commands.recording:import_",
    "erase": "dashboard.commands.deriving:erase",
    "features train": "dashboard.commands.training:train",
    "features sweep": "dashboard.commands.training:sweep",
    "features import": "dashboard.commands.dictionaries:import_",
    "features make": "dashboard.commands.dictionaries:make",
    "features list": "dashboard.commands.dictionaries:list_",
    "features encode": "dashboard.commands.dictionaries:encode",
    "features certify": "dashboard.commands.dictionaries:certify",
    "features name": "dashboard.commands.naming:name",
    "features remove": "dashboard.commands.dictionaries:remove",
    "info": "dashboard.commands.information:info",
    "render": "dashboard.commands.analyses:render",
    "methods": "dashboard.commands.analyses:methods",
    "run": "dashboard.commands.analyses:run",
    "pack": "dashboard.commands.packing:pack",
    "unpack": "dashboard.commands.packing:unpack",
    "publish": "dashboard.commands.publishing:publish",
    "check": "dashboard.commands.analyses:check",
}


def run(given) -> int:
    """Run the command that was given; returns its exit code."""
    module, _, name = COMMANDS[given.command].partition(":")
    return getattr(importlib.import_module(module), name)(given) or 0
