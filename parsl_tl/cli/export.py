"""``parsl-tl export``: the best models of a search as files, each with its card."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from parsl_tl.arguments import positive_int

# Named here: to import the formats takes what they are made with.
_FORMATS = ("keras", "safetensors", "onnx")
_DESCRIPTION = """\
Write the best models of a search as files: a folder for each model, with a card (README.md, as the
Hugging Face hub reads it, and card.json) that tells who gave which layers, data, metrics, settings,
versions, and the command that repeats the search. Each file is loaded again, and must predict what
the stored model predicts, before its folder appears.
"""
_EPILOG = """\
formats:
  keras        one file that Keras loads
  safetensors  the weights, and the architecture as JSON (pip install 'parsl-tl[safetensors]')
  onnx         one file that ONNX Runtime loads, without Keras (pip install 'parsl-tl[onnx]')

examples:
  parsl-tl export runs/demo --out best
  parsl-tl export runs/demo --top 3 --format keras onnx --out best
  parsl-tl export runs/demo --model 0fe78e68441d9d9d --format safetensors --out one
"""


def add_export_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "export",
        help="write the best models of a search as Keras, safetensors or ONNX files, with a card",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="folder of a search")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--top", type=positive_int, default=1, help="how many of the best (1)")
    which.add_argument("--model", metavar="ID", help="one model: its id, or the start of it")
    parser.add_argument(
        "--format", nargs="+", choices=_FORMATS, default=["keras"], help="of the files (keras)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="of the exports; made if missing"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace exports that exist")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at length
    from parsl_tl.export import export_models
    from parsl_tl.reporting.console import make_console, print_files

    exported = export_models(
        args.folder,
        args.out,
        top=args.top,
        model=args.model,
        formats=args.format,
        overwrite=args.overwrite,
    )
    console = make_console()
    for one in exported:
        if one.folder is None:
            console.print(f"Not written: {one.problem}", markup=False, soft_wrap=True)
        else:
            print_files(console, [one.folder / file for file in one.files])
    return 1 if any(one.folder is None for one in exported) else 0
