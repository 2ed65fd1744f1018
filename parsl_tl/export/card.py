"""A model's card: Markdown for people, with a head that the Hugging Face hub reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

_TAGS: Final = ("keras", "neural-architecture-search", "transfer-learning", "parsl-tl")
_MOST_LAYERS: Final = 6


def card_text(facts: Mapping[str, Any], formats: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """Returns the card of a model.

    Args:
        facts: of ``model_facts``.
        formats: of each format that the model was written in: name, files, and the Python that
            loads them.
    """
    parts = [_head(facts), _title(facts), _use(facts, formats), _metrics(facts), _data(facts)]
    parts += [_architecture(facts), _lineage(facts), _training(facts), _versions(facts)]
    return "\n".join(parts)


def _head(facts: Mapping[str, Any]) -> str:
    """Returns YAML; JSON is YAML, so that each value is written as such."""
    task = _task(facts)
    data = facts["data"]["problem"]
    results = [
        {"type": name, "name": f"{name} ({part})", "value": value}
        for part, metrics in facts["metrics"].items()
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    ]
    lines = ["---", "library_name: keras", f"tags: {json.dumps(_TAGS)}"]
    if task is not None:
        lines.append(f"pipeline_tag: {task}")
    lines += [
        "# Who gives the model away says under what conditions: take the mark off the next line,",
        "# and name a license.",
        "# license: apache-2.0",
    ]
    if results:
        lines += [
            "model-index:",
            f"- name: {_name(facts)}",
            "  results:",
            f"  - task: {json.dumps({'type': task or 'other'})}",
            f"    dataset: {json.dumps({'name': data, 'type': data})}",
            "    metrics:",
            *(f"    - {_flow(one)}" for one in results),
        ]
    return "\n".join([*lines, "---", ""])


def _flow(entry: Mapping[str, Any]) -> str:
    """Returns a mapping in one line; YAML 1.1 wants a point in numbers with an exponent."""
    parts = []
    for name, value in entry.items():
        text = json.dumps(value)
        if isinstance(value, float) and "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        parts.append(f"{json.dumps(name)}: {text}")
    return f"{{{', '.join(parts)}}}"


def _task(facts: Mapping[str, Any]) -> str | None:
    """Returns the task as the hub calls it; None where it has no name for it, or nobody knows."""
    activation = facts["outputs"][0].get("activation")
    if len(facts["outputs"]) != 1 or len(facts["outputs"][0]["shape"]) != 2:
        return None
    is_image = any(len(one["shape"]) == 4 for one in facts["inputs"])
    if activation in ("softmax", "sigmoid"):
        return "image-classification" if is_image else "tabular-classification"
    if activation == "linear" and not is_image:
        return "tabular-regression"
    return None


def _name(facts: Mapping[str, Any]) -> str:
    problem = "".join(one if one.isalnum() else "-" for one in facts["data"]["problem"])
    return f"{problem.strip('-')}-{facts['model_id']}"


def _title(facts: Mapping[str, Any]) -> str:
    data, space = facts["data"]["problem"], facts["architecture"]["space"]
    objective = facts["objective"]
    return (
        f"# {_name(facts)}\n\n"
        f"A network for `{data}`, found in the search space `{space}` by a neural architecture "
        "search with transfer learning: its first layers may have been trained as parts of earlier "
        f"networks of the search. It is evaluation #{facts['evaluation']}, with "
        f"{objective['name'] or 'an objective'} {objective['value']:.6g} and "
        f"{facts['parameters']:,} parameters.\n"
    )


def _use(facts: Mapping[str, Any], formats: Sequence[tuple[str, Sequence[str], str]]) -> str:
    parts = ["## Use\n"]
    for name, files, loading in formats:
        listed = ", ".join(f"`{file}`" for file in files)
        parts.append(f"As `{name}` ({listed}):\n\n```python\n{loading}```\n")
    parts.append("| | name | shape | dtype |\n|---|---|---|---|")
    for what in ("inputs", "outputs"):
        for one in facts[what]:
            shape = ", ".join("any" if size is None else str(size) for size in one["shape"])
            parts.append(f"| {what[:-1]} | `{one['name']}` | ({shape}) | {one['dtype']} |")
    if facts.get("preprocessing"):
        parts.append(
            f"\nWhat its inputs went through before is in `{facts['preprocessing']}`: "
            "`parsl_tl.problems.table_preprocessing.TablePreprocessing.load` reads it."
        )
    return "\n".join([*parts, ""])


def _metrics(facts: Mapping[str, Any]) -> str:
    rows = [
        f"| {name} | {'' if value is None else format(value, '.6g')} | {part} |"
        for part, metrics in facts["metrics"].items()
        for name, value in metrics.items()
        if part == "test" or name.startswith("val_")
    ]
    told = (
        ""
        if facts["metrics"]["test"]
        else "\nNobody has tested it: `parsl-tl evaluate` does, on "
        "samples that the search has not seen. Values of validation chose the model, and flatter "
        "it.\n"
    )
    if not rows:
        return f"## Metrics\n\nThe search noted none but the objective.\n{told}"
    return "\n".join(
        ["## Metrics\n", "| metric | value | part of the data |", "|---|---|---|", *rows, told]
    )


def _data(facts: Mapping[str, Any]) -> str:
    data = facts["data"]
    given = ", ".join(f"{name}={value!r}" for name, value in data["arguments"].items())
    fingerprint = data["fingerprint"]
    told = (
        f"The fingerprint of its training and validation rows is `{fingerprint}`."
        if fingerprint
        else "The store holds no fingerprint of its rows."
    )
    return f"## Data\n\nProblem `{data['problem']}`{f' ({given})' if given else ''}. {told}\n"


def _architecture(facts: Mapping[str, Any]) -> str:
    found = facts["architecture"]
    lines = ["## Architecture\n"]
    if found["summary"]:
        lines.append(f"{found['summary']}\n")
    if found["choices"]:
        lines += ["| choice | value |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in found["choices"].items()]
    else:
        lines.append(f"Indices of its choices: `{found['arch_seq']}`.")
    return "\n".join([*lines, ""])


def _lineage(facts: Mapping[str, Any]) -> str:
    found = facts["lineage"]
    lines = [
        "## Lineage\n",
        "| layers from | evaluation | objective | layers |",
        "|---|---|---|---|",
    ]
    for one in found["layers_from"]:
        names = one["layers"]
        listed = ", ".join(f"`{name}`" for name in names[:_MOST_LAYERS])
        if len(names) > _MOST_LAYERS:
            listed += f" and {len(names) - _MOST_LAYERS} more"
        who = "itself" if one["is_itself"] else f"`{one['model_id']}`"
        number = "" if one["evaluation"] is None else f"#{one['evaluation']}"
        value = "" if one["objective"] is None else format(one["objective"], ".6g")
        lines.append(f"| {who} | {number} | {value} | {len(names)}: {listed} |")
    line = " ← ".join(f"`{one}`" for one in found["ancestors"])
    told = f"It is a mutation of {line}." if line else "It has no parent: it was drawn at random."
    return "\n".join([*lines, "", told, ""])


def _training(facts: Mapping[str, Any]) -> str:
    figures = facts["training"]
    lines = ["## Training\n", "| | |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in figures.items()]
    options = facts["settings"]["training"]
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in options.items()]
    return "\n".join(
        [*lines, "", "The search is repeated by:\n", "```bash", facts["command"], "```", ""]
    )


def _versions(facts: Mapping[str, Any]) -> str:
    search, export = facts["versions"]["search"], facts["versions"]["export"]
    lines = ["## Versions\n", "| package | search | export |", "|---|---|---|"]
    for name in {**search, **export}:
        lines.append(f"| {name} | {search.get(name, '')} | {export.get(name, '')} |")
    return "\n".join([*lines, "", f"Exported {facts['exported']} by parsl_tl.", ""])
