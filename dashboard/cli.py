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
from analysis.waiting import threads_that_sleep
from dashboard.commands import dictionary_options, figure_options, hosting_options, publishing_options
from dashboard.commands.options import add_command, add_workspace, port, positive, seed

TOKENS = ("mean", "all", "cls", "last", "spatial-mean")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    threads_that_sleep()
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
    add_workspace(parser, "the workspace to open (default: the sample workspace)")
    parser.add_argument(
        "--port", type=port, default=None, help="port of the dashboard (default: the first free from 8501)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.set_defaults(command="start")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    hosting_options.add(commands)
    _add_record(commands)
    _add_describe(commands)
    _add_adapt(commands)
    _add_import(commands)
    _add_erase(commands)
    dictionary_options.add(commands)
    _add_reading(commands)
    _add_methods(commands)
    _add_packing(commands)
    publishing_options.add(commands)
    return parser


def _add_record(commands) -> None:
    p = add_command(commands, "record", "record what a checkpoint computes on data")
    p.add_argument(
        "checkpoint",
        help="a Hugging Face directory, a network.json beside its weights, an adapter beside its adapter.json or "
        "adapter_config.json, or a .safetensors/.pt/.pth with --model",
    )
    p.add_argument(
        "data", help="a folder of images or texts, a csv/parquet table, npy/npz/safetensors arrays, wav files"
    )
    add_workspace(p, "where the store goes (made if missing)", required=True)
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
    p.add_argument("--batch", type=positive, default=32)
    p.add_argument("--limit", type=positive, help="record only the first samples")
    p.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    p.add_argument("--seed", type=seed, default=0)
    p.add_argument("--resume", action="store_true", help="go on with an interrupted recording")
    p.add_argument(
        "--dry-run", action="store_true", help="list the taps and the estimated cost, record nothing"
    )
    _data_options(p)


def _add_describe(commands) -> None:
    p = add_command(
        commands, "describe", "write what a network is made of, so that it runs without your code"
    )
    p.add_argument(
        "--model", metavar="MODULE:FACTORY", required=True, help="your own code that builds the module"
    )
    p.add_argument("--weights", type=Path, required=True, help="its state dict: .safetensors, .pt or .pth")
    p.add_argument("--out", type=Path, help="the description (default: network.json beside the weights)")
    p.add_argument("--replace", action="store_true", help="write over another description")
    p.add_argument("--data", type=Path, help="data to read sizes from, and to compare how items are prepared")
    p.add_argument("--kind", choices=("image", "table", "array", "audio"), help="of the data")
    p.add_argument("--modality", choices=("image", "table", "array", "audio"), help="what the network takes")
    p.add_argument("--state-key", metavar="KEY", help="where the file keeps its state dict")
    p.add_argument("--strip", metavar="PREFIX", help="prefix of the state dict's keys to leave out")
    group = p.add_argument_group("how items are prepared")
    group.add_argument("--input-size", nargs=2, type=int, metavar=("H", "W"), help="of images")
    group.add_argument("--channels", type=int, help="of images: 1, 3 or 4")
    group.add_argument("--resample", help="how images are brought to size: bilinear, bicubic, nearest, …")
    group.add_argument("--range", choices=("min-max",), help="bring each image to 0 … 1 by its own extremes")
    group.add_argument("--columns", nargs="+", metavar="COLUMN", help="of a table, in order; A/B is a ratio")
    group.add_argument("--shape", nargs="+", type=int, help="of one array")
    group.add_argument("--sampling-rate", type=int, help="of clips, in Hz")
    group.add_argument("--samples", type=int, help="to which clips are cut or padded")
    group.add_argument("--scale", type=float, help="what values are divided by (images: 255 unless said)")
    group.add_argument("--mean", nargs="+", type=float, help="taken off, for each channel or column")
    group.add_argument("--std", nargs="+", type=float, help="divided by, after the mean")
    group = p.add_argument_group("what it gives")
    group.add_argument(
        "--classes", nargs="+", metavar="NAME", help="names of the classes, in order, or their number"
    )
    group.add_argument("--output", metavar="NAME", help="name of the number it gives")
    group.add_argument("--unit", help="unit of that number")


def _add_adapt(commands) -> None:
    p = add_command(commands, "adapt", "say which network an adapter's weights belong on top of")
    p.add_argument("adapter", type=Path, help="a file that holds only an adapter's weights, or PEFT's folder")
    p.add_argument("--base", type=Path, required=True, help="the network it was trained on top of")
    p.add_argument("--alpha", type=float, help="of low-rank pairs (default: their rank, a scale of 1)")
    p.add_argument("--scale", type=float, help="of bottlenecks (default: 1)")
    p.add_argument(
        "--activation", choices=("relu", "gelu", "silu", "tanh", "identity"), help="of bottlenecks"
    )
    p.add_argument(
        "--at", nargs="+", metavar="MODULE", help="modules behind which a shared bottleneck stands"
    )


def _add_import(commands) -> None:
    p = add_command(commands, "import", "import activations that were recorded elsewhere")
    p.add_argument("dump", help="npy, npz, safetensors, parquet or a projector's tensors.tsv")
    add_workspace(p, "where the store goes (made if missing)", required=True)
    p.add_argument("--name", required=True)
    p.add_argument("--labels", help="a file with one label per row")
    p.add_argument("--types", default="", help="what the tokens are, such as class:1+patch:14x14+head:6")
    p.add_argument("--resume", action="store_true", help="go on with an interrupted import")


def _add_erase(commands) -> None:
    p = add_command(commands, "erase", "write a store again with a concept erased from one tap")
    p.add_argument("input", metavar="STORE:TAP")
    p.add_argument("column", help="sample column that holds the concept: classes, or a number")
    p.add_argument("--first", default="", help="one value of it, for a concept of two groups")
    p.add_argument("--second", default="", help="the value it is set against (default: all others)")
    p.add_argument("--method", default="LEACE", help="LEACE, R-LACE, INLP, 'mean projection', …")
    p.add_argument(
        "--dimensions", type=int, default=None, help="how many (default: what a linear probe reads)"
    )
    p.add_argument("--name", default="", help="of the new store (default: STORE without COLUMN)")
    p.add_argument("--seed", type=seed, default=0)
    add_workspace(p, "the workspace (default: the sample workspace)")


def _add_reading(commands) -> None:
    p = add_command(commands, "info", "what a workspace, store, checkpoint or data set holds")
    p.add_argument("path", type=Path)
    p.add_argument(
        "--verify", action="store_true", help="read every byte of a store and compare it with its checksums"
    )
    p.add_argument(
        "--rebuild-index", action="store_true", help="make a store's feature index again from its activations"
    )
    _data_options(p)
    p = add_command(commands, "render", "make the figure of a recipe again, or all files of a basket")
    p.add_argument("recipe", type=Path, help="a recipe, the folder of a basket, or a folder with recipes")
    p.add_argument(
        "--out", type=Path, required=True,
        help="file to write: .pdf .svg .png .csv .parquet .tex .json; of a basket: a new folder, .zip .pdf .svg .png",
    )  # fmt: skip
    figure_options.add(p)
    add_workspace(
        p,
        "the workspace that the taps are in (default: the one that holds the basket, else the sample workspace)",
    )


def _add_methods(commands) -> None:
    add_command(commands, "methods", "list the analyses")
    p = add_command(commands, "run", "run an analysis on recorded taps")
    p.add_argument("method")
    p.add_argument("inputs", nargs="+", metavar="STORE:TAP")
    add_workspace(p, "the workspace (default: the sample workspace)")
    p.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters; see `loupe methods --json`"
    )
    p.add_argument("--seed", type=seed, default=0)
    p.add_argument("--out", type=Path, help="also write the figure to this file")
    figure_options.add(p)
    p = add_command(commands, "check", "run the known-answer checks on this machine")
    p.add_argument("methods", nargs="*", metavar="METHOD")


def _add_packing(commands) -> None:
    p = add_command(commands, "pack", "write a workspace as one file, to be opened elsewhere")
    p.add_argument("packed", type=Path, metavar="WORKSPACE")
    p.add_argument("--out", type=Path, help="the file to write, a plain zip")
    p.add_argument(
        "--networks", action="store_true", help="also the networks that the stores were recorded from"
    )
    p.add_argument("--data", action="store_true", help="also the data that they were recorded on")
    p.add_argument(
        "--without", nargs="+", default=[], choices=("results", "training", "notes"), help="what stays here"
    )
    p.add_argument("--replace", action="store_true", help="write over a file that is there")
    p.add_argument(
        "--dry-run", action="store_true", help="list what would be packed and left out, with sizes"
    )
    p = add_command(
        commands, "unpack", "make a workspace of what `loupe pack` wrote, every checksum compared"
    )
    p.add_argument("pack", type=Path, metavar="FILE")
    p.add_argument("--out", type=Path, required=True, help="the new workspace")
    p.add_argument("--digest", default="", metavar="HEX", help="refuse another content than this")
    p.add_argument(
        "--replace", action="store_true", help="take the place of a workspace that is there, notes too"
    )


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


if __name__ == "__main__":
    sys.exit(main())
