"""The command `loupe`: start the dashboard, or do from a shell what its pages do.

Exit codes: 0 fine, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from analysis.errors import LoupeError, ParameterError
from analysis.jobs.unforeseen import in_words

TOKENS = ("mean", "all", "cls", "last", "spatial-mean")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    from dashboard import commands

    try:
        return commands.run(given)
    except LoupeError as refusal:
        return _refused(refusal)
    except KeyboardInterrupt:
        print("\nloupe: stopped; what was finished is kept", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _refused(in_words(error, Path(tempfile.gettempdir())))


def _refused(refusal: LoupeError) -> int:
    from dashboard.commands.output import one_line

    print(f"loupe: {one_line(str(refusal))}", file=sys.stderr)
    return 2 if isinstance(refusal, ParameterError) else 1


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="loupe", description="See what a neural network has learned.")
    _workspace(parser, "the workspace to open (default: the sample workspace)")
    parser.add_argument(
        "--port", type=_port, default=None, help="port of the dashboard (default: the first free from 8501)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.set_defaults(command="start")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_record(commands)
    _add_import(commands)
    _add_erase(commands)
    _add_features(commands)
    _add_reading(commands)
    _add_methods(commands)
    return parser


def _add_record(commands) -> None:
    p = _command(commands, "record", "record what a checkpoint computes on data")
    p.add_argument(
        "checkpoint", help="a Hugging Face directory, or a .safetensors/.pt/.pth state dict with --model"
    )
    p.add_argument(
        "data", help="a folder of images or texts, a csv/parquet table, npy/npz/safetensors arrays, wav files"
    )
    _workspace(p, "where the store goes (made if missing)", required=True)
    p.add_argument("--name", required=True, help="name of the new store")
    p.add_argument(
        "--model", metavar="MODULE:FACTORY", help="your own code that builds the module for a state dict"
    )
    p.add_argument("--state-key", metavar="KEY", help="where a checkpoint file keeps its state dict")
    p.add_argument("--strip", metavar="PREFIX", help="prefix of the state dict's keys to leave out")
    p.add_argument(
        "--input-size", nargs=2, type=int, metavar=("H", "W"), help="size that images are brought to"
    )
    p.add_argument("--taps", nargs="+", metavar="GLOB", help="taps to record (default: the blocks)")
    p.add_argument(
        "--tokens", choices=TOKENS, default="mean", help="what to keep of a sample's tokens (default: mean)"
    )
    p.add_argument("--batch", type=_positive, default=32)
    p.add_argument("--limit", type=_positive, help="record only the first samples")
    p.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    p.add_argument("--seed", type=_seed, default=0)
    p.add_argument("--resume", action="store_true", help="go on with an interrupted recording")
    p.add_argument(
        "--dry-run", action="store_true", help="list the taps and the estimated cost, record nothing"
    )
    _data_options(p)


def _add_import(commands) -> None:
    p = _command(commands, "import", "import activations that were recorded elsewhere")
    p.add_argument("dump", help="npy, npz, safetensors, parquet or a projector's tensors.tsv")
    _workspace(p, "where the store goes (made if missing)", required=True)
    p.add_argument("--name", required=True)
    p.add_argument("--labels", help="a file with one label per row")
    p.add_argument("--resume", action="store_true", help="go on with an interrupted import")


def _add_erase(commands) -> None:
    p = _command(commands, "erase", "write a store again with a concept erased from one tap")
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("column", help="sample column that holds the concept: classes, or a number")
    p.add_argument("--first", default="", help="one value of it, for a concept of two groups")
    p.add_argument("--second", default="", help="the value it is set against (default: all others)")
    p.add_argument("--method", default="LEACE", help="LEACE, R-LACE, INLP, 'mean projection', …")
    p.add_argument(
        "--dimensions", type=int, default=None, help="how many (default: what a linear probe reads)"
    )
    p.add_argument("--name", default="", help="of the new store (default: STORE without COLUMN)")
    p.add_argument("--seed", type=_seed, default=0)
    _workspace(p, "the workspace (default: the sample workspace)")


def _add_features(commands) -> None:
    from dashboard.commands import training_options

    about = "dictionaries (feature sets): train, make, import, list, encode taps with them, remove"
    group = commands.add_parser("features", help=about, description=about[0].upper() + about[1:] + ".")
    actions = group.add_subparsers(
        title="actions", metavar="ACTION", required=True, parser_class=training_options.LateParser
    )
    training_options.add(actions, _workspace, _seed)
    p = _command(actions, "import", "keep a dictionary that was trained elsewhere", "features import")
    p.add_argument(
        "path", help="a folder (cfg.json and weights) or one safetensors, npz or pt file of weights"
    )
    p.add_argument("--name", default="", help="of the feature set (default: that of the folder or file)")
    p.add_argument("--architecture", default="", help="where the file does not say: TopK, JumpReLU, …")
    p.add_argument("--k", type=_positive, help="active features of a TopK, where the file does not say")
    p.add_argument("--scale", type=float, help="what activations were multiplied with, where it is not kept")
    _workspace(p, "the workspace (default: the sample workspace)")
    p = _command(actions, "make", "fit a classical dictionary (pca, ica, nmf, …) to a tap", "features make")
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("kind", metavar="KIND", help="pca, ica, nmf, kmeans, …; an unknown one lists them all")
    p.add_argument("--name", default="", help="of the feature set (default: KIND TAP)")
    p.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters of the kind")
    p.add_argument("--seed", type=_seed, default=0)
    _workspace(p, "the workspace (default: the sample workspace)")
    p = _command(
        actions, "list", "the feature sets of a workspace and the taps encoded with them", "features list"
    )
    _workspace(p, "the workspace (default: the sample workspace)")
    p = _command(
        actions, "encode", "write what a feature set does on a tap as a tap of its own", "features encode"
    )
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("set", metavar="SET")
    p.add_argument("--name", default="", help="of the new tap (default: TAP@SET)")
    _workspace(p, "the workspace (default: the sample workspace)")
    about = "say of every feature of an encoded tap how reproducible it is, and keep that beside the tap"
    p = _command(actions, "certify", about, "features certify")
    p.add_argument("input", metavar="STORE:TAP")
    many = {"nargs": "*", "default": None, "metavar": "STORE:TAP"}
    p.add_argument("--seeds", help="encoded taps of the same activations by other dictionaries", **many)
    p.add_argument("--networks", help="taps of other networks on the same samples", **many)
    p.add_argument("--seed", type=_seed, default=0)
    _workspace(p, "the workspace (default: the sample workspace)")
    p = _command(actions, "remove", "delete a feature set, or an encoded tap", "features remove")
    p.add_argument("what", metavar="SET|STORE:TAP")
    _workspace(p, "the workspace (default: the sample workspace)")


def _add_reading(commands) -> None:
    p = _command(commands, "info", "what a workspace, store, checkpoint or data set holds")
    p.add_argument("path", type=Path)
    p.add_argument(
        "--verify", action="store_true", help="read every byte of a store and compare it with its checksums"
    )
    p.add_argument(
        "--rebuild-index", action="store_true", help="make a store's feature index again from its activations"
    )
    _data_options(p)
    p = _command(commands, "render", "make the figure of a recipe again")
    p.add_argument("recipe", type=Path)
    p.add_argument("--out", type=Path, required=True, help="file to write: .pdf .svg .png .csv .tex .json")
    p.add_argument("--width", choices=("single", "double", "slide"), default=None)
    _workspace(p, "the workspace that the recipe's taps are in (default: the sample workspace)")


def _add_methods(commands) -> None:
    _command(commands, "methods", "list the analyses")
    p = _command(commands, "run", "run an analysis on recorded taps")
    p.add_argument("method")
    p.add_argument("inputs", nargs="+", metavar="STORE:TAP")
    _workspace(p, "the workspace (default: the sample workspace)")
    p.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters; see `loupe methods --json`"
    )
    p.add_argument("--seed", type=_seed, default=0)
    p.add_argument("--out", type=Path, help="also write the figure to this file")
    p = _command(commands, "check", "run the known-answer checks on this machine")
    p.add_argument("methods", nargs="*", metavar="METHOD")


def _command(commands, name: str, help: str, command: str = "") -> argparse.ArgumentParser:
    p = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    p.set_defaults(command=command or name)
    p.add_argument("--json", action="store_true", help="print JSON")
    return p


def _workspace(p: argparse.ArgumentParser, help: str, *, required: bool = False) -> None:
    # SUPPRESS: a sub-command's default must not overwrite what was given before the sub-command
    default = None if p.prog == "loupe" else argparse.SUPPRESS
    p.add_argument("--workspace", type=Path, default=default, help=help, required=required)


def _data_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("data, where it cannot be guessed")
    group.add_argument("--kind", choices=("image", "text", "table", "array", "audio"))
    group.add_argument("--label", metavar="COLUMN", help="the label column of a table")
    group.add_argument("--text", metavar="COLUMN", help="the text column of a table")
    group.add_argument("--array", metavar="NAME", help="the array of an npz or safetensors file to feed")
    group.add_argument("--missing", choices=("keep", "drop"), help="rows of a table with missing values")
    group.add_argument("--delimiter", help="field delimiter of a table")
    group.add_argument("--encoding", help="encoding of a table or of texts that are not UTF-8")
    group.add_argument(
        "--labels", metavar="FILE_OR_NAME", help="a labels file, or the name of the labels in an npz"
    )


def _positive(text: str) -> int:
    return _whole(text, 1, None)


def _port(text: str) -> int:
    return _whole(text, 1, 65535)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1)


def _whole(text: str, low: int, high: int | None) -> int:
    limits = f"at least {low}" if high is None else f"between {low} and {high}"
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, {limits}") from None
    if value < low or (high is not None and value > high):
        raise argparse.ArgumentTypeError(f"{text} must be {limits}")
    return value


if __name__ == "__main__":
    sys.exit(main())
