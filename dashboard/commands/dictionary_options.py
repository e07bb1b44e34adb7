"""The options of `loupe features`: dictionaries are trained, made, imported, listed, applied, certified and removed."""

from __future__ import annotations

from dashboard.commands import training_options
from dashboard.commands.options import add_command, add_workspace, positive, seed

WORKSPACE = "the workspace (default: the sample workspace)"


def add(commands) -> None:
    """All actions under `features`."""
    about = "dictionaries (feature sets): train, make, import, list, encode taps with them, remove"
    group = commands.add_parser("features", help=about, description=about[0].upper() + about[1:] + ".")
    actions = group.add_subparsers(
        title="actions", metavar="ACTION", required=True, parser_class=training_options.LateParser
    )
    training_options.add(actions)
    _made(actions)
    _applied(actions)
    p = add_command(actions, "remove", "delete a feature set, or an encoded tap", "features remove")
    p.add_argument("what", metavar="SET|STORE:TAP")
    add_workspace(p, WORKSPACE)


def _made(actions) -> None:
    """Sets from files, and classical ones."""
    p = add_command(actions, "import", "keep a dictionary that was trained elsewhere", "features import")
    p.add_argument(
        "path", help="a folder (cfg.json and weights) or one safetensors, npz or pt file of weights"
    )
    p.add_argument("--name", default="", help="of the feature set (default: that of the folder or file)")
    p.add_argument("--architecture", default="", help="where the file does not say: TopK, JumpReLU, …")
    p.add_argument("--k", type=positive, help="active features of a TopK, where the file does not say")
    p.add_argument("--scale", type=float, help="what activations were multiplied with, where it is not kept")
    add_workspace(p, WORKSPACE)
    p = add_command(
        actions, "make", "fit a classical dictionary (pca, ica, nmf, …) to a tap", "features make"
    )
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("kind", metavar="KIND", help="pca, ica, nmf, kmeans, …; an unknown one lists them all")
    p.add_argument("--name", default="", help="of the feature set (default: KIND TAP)")
    p.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters of the kind")
    p.add_argument("--seed", type=seed, default=0)
    add_workspace(p, WORKSPACE)


def _applied(actions) -> None:
    """What sets there are, and what is made with one."""
    p = add_command(
        actions, "list", "the feature sets of a workspace and the taps encoded with them", "features list"
    )
    add_workspace(p, WORKSPACE)
    p = add_command(
        actions, "encode", "write what a feature set does on a tap as a tap of its own", "features encode"
    )
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("set", metavar="SET")
    p.add_argument("--name", default="", help="of the new tap (default: TAP@SET)")
    add_workspace(p, WORKSPACE)
    about = "say of every feature of an encoded tap how reproducible it is, and keep that beside the tap"
    p = add_command(actions, "certify", about, "features certify")
    p.add_argument("input", metavar="STORE:TAP")
    many = {"nargs": "*", "default": None, "metavar": "STORE:TAP"}
    p.add_argument(
        "--seeds",
        help="encoded taps of the same activations by other sets (default: those of this size)",
        **many,
    )
    p.add_argument(
        "--networks",
        help="taps of other networks on the same samples (default: all there are)",
        **many,
    )
    p.add_argument("--seed", type=seed, default=0)
    add_workspace(p, WORKSPACE)
    about = "ask the language model of LOUPE_NAMER_URL or LOUPE_NAMER_COMMAND for names of features, and judge them"
    p = add_command(actions, "name", about, "features name")
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("features", metavar="NUMBER", type=int, nargs="+")
    p.add_argument("--show", action="store_true", help="print what would be sent, and send nothing")
    add_workspace(p, WORKSPACE)
