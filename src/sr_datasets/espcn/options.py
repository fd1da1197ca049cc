"""Options as text: ``name=value`` of a command line and files of them, over a preset, over the shards' own facts."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sr_datasets.errors import ModelError, nearest_names
from sr_datasets.espcn.config import (
    PRESETS,
    EspcnConfig,
    TrainConfig,
    checked_config,
    option_names,
    preset,
)
from sr_datasets.yamlfile import YamlFile, read_yaml_text

_NOTHING = ("none", "null", "")


def parsed_option(text: str) -> tuple[str, Any]:
    """Return name and value of ``name=value``; ``model.name=value`` is the network's option of that name.

    Raises:
        ValueError: There is no such option, or no ``=``.

    Example:
        >>> parsed_option("learning_rate=1e-3"), parsed_option("clip_norm=none"), parsed_option("residual=none")
        (('learning_rate', 0.001), ('clip_norm', None), ('residual', 'none'))
    """
    written, equals, value = text.partition("=")
    name = written.strip().removeprefix("model.").replace("-", "_")
    if not equals:
        raise ValueError(f"{text!r} is no option: write name=value, such as learning_rate=0.001")
    if name not in option_names():
        raise ValueError(f"there is no option {name}.{nearest_names(name, option_names())}".removesuffix("."))
    default = _field(name).default
    if default is None and value.strip().lower() in _NOTHING:
        return name, None
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value.strip()


def as_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as fields of ``TrainConfig``: those of the network below ``model``."""
    fields: dict[str, Any] = {
        name: value for name, value in options.items() if name in TrainConfig.model_fields
    }
    model = {name: value for name, value in options.items() if name in EspcnConfig.model_fields}
    return {**fields, "model": {**fields.get("model", {}), **model}} if model else fields


def read_config(path: Path) -> dict[str, Any]:
    """Return the options of a file: JSON, such as a run's ``config.json``, or YAML; some of them, or all.

    Raises:
        ModelError: The file is missing, no JSON or YAML, or no mapping.
    """
    try:
        text = read_yaml_text(path)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{path}: {what}. Name a file of options, such as a run's config.json.") from error
    found: object
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ModelError(f"{path}: nested too deep. Name a file of options.") from error
    except ValueError:
        file = YamlFile(path, text)
        if file.problems:
            line, where = file.locate(file.problems[0].loc)
            problem = file.problems[0]
            raise ModelError(f"{path}:{problem.line or line}: {where}: {problem.text}") from None
        found = file.data
    if not isinstance(found, dict) or not isinstance(found.get("model", {}), dict):
        raise ModelError(f"{path}: holds no options. Write lines such as `learning_rate: 0.001`.")
    return found


def config_of(
    network: Mapping[str, Any],
    *,
    preset_name: str | None = None,
    file: Mapping[str, Any] | None = None,
    options: Iterable[str] = (),
    **named: Any,
) -> TrainConfig:
    """Return a configuration: what the shards say of the network, then a preset, a file, and options, the last ones win.

    Args:
        network: What the shards decide (``network_of``).
        preset_name: The preset; else the file's, else ``residual``.
        file: Options of a file (``read_config``).
        options: ``name=value``.
        **named: Fields of ``TrainConfig``.

    Raises:
        ValueError: There is no such preset or option, or a value is out of range: one sentence.
    """
    file = dict(file or {})
    name = file.pop("preset", None)
    given = (file, overrides_of(options), named)
    if preset_name is not None or name is None or name in PRESETS:
        # A preset's rise of the learning rate depends on how long the run is.
        steps = [some["steps"] for some in given if isinstance(some.get("steps"), int)][-1:]
        begin = preset(
            preset_name or name or "residual",
            scale=network["scale"],
            model=dict(network),
            **({"steps": steps[0]} if steps and steps[0] > 0 else {}),
        )
    else:
        begin = TrainConfig(model=EspcnConfig(**network))
    fields = begin.model_dump()
    for some in given:
        fields = {**fields, **some, "model": {**fields["model"], **some.get("model", {})}}
    return checked_config(fields)


def overrides_of(options: Iterable[str]) -> dict[str, Any]:
    """Return ``name=value`` texts as fields of ``TrainConfig``.

    Raises:
        ValueError: There is no such option.
    """
    return as_fields(dict(parsed_option(text) for text in options))


def options_table() -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every option, for people."""
    rows = []
    for name in option_names():
        field = _field(name)
        default = (
            "of the shards" if name in ("scale", "colors", "frames") else json.dumps(field.default).strip('"')
        )
        rows.append((name, default, " ".join((field.description or "").split()).replace("``", "`")))
    return rows


def _field(name: str) -> Any:
    return TrainConfig.model_fields.get(name) or EspcnConfig.model_fields[name]
