"""The options of `loupe features train` and `sweep`. Those that depend on what can be trained are added when one of the
two is asked for: starting the dashboard must not wait for them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from dashboard.commands.options import add_command, add_workspace, seed


class LateParser(argparse.ArgumentParser):
    """A parser whose last options are added when it is used."""

    late: Callable[[argparse.ArgumentParser], None] | None = None

    def complete(self) -> None:
        add, self.late = self.late, None
        if add is not None:
            add(self)

    def parse_known_args(self, args=None, namespace=None, **more):
        self.complete()
        return super().parse_known_args(args, namespace, **more)


def add(actions) -> None:
    """Both actions."""
    for name, about in (
        ("train", "learn a dictionary from a tap"),
        ("sweep", "learn one dictionary for each of several sparsities, and say which none beats"),
    ):
        p = add_command(actions, name, about, f"features {name}")
        p.late = _late if name == "train" else _late_of_sweeps
        p.add_argument("input", metavar="STORE:TAP")
        p.add_argument("--architecture", default="topk", metavar="NAME", help="default: topk; listed below")
        p.add_argument("--name", default="", help="of the feature set (default: architecture and tap)")
        p.add_argument("--seed", type=seed, default=0)
        p.add_argument("--resume", action="store_true", help="go on with one that stopped, by its name")
        add_workspace(p, "the workspace (default: the sample workspace)")
        if name == "train":
            p.add_argument("--estimate", action="store_true", help="only say what it would take")
        else:
            p.add_argument(
                "--values", nargs="+", type=float, required=True, metavar="VALUE",
                help="of the parameter that says how sparse: k, penalty, …",
            )  # fmt: skip


def _late(parser: argparse.ArgumentParser) -> None:
    from dashboard.commands.training import add_parameters

    add_parameters(parser)


def _late_of_sweeps(parser: argparse.ArgumentParser) -> None:
    from analysis.jobs.training import KEEPS

    parser.add_argument("--keep", choices=KEEPS, default="all", help="which sets to keep (default: all)")
    _late(parser)
