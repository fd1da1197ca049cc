"""What a model file, or the folder of a run, says of itself: ``sr-data inspect MODEL``."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_datasets.espcn.checkpoint import MODEL_NAME, Header, load_model, plain, read_header, read_tensors
from sr_datasets.espcn.config import EspcnConfig, TrainConfig

_WIDTH = 80
_INDENT = 16
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What there is to say of a model file."""

    path: Path
    """The file."""
    header: Header
    """What it says of itself. Nobody vouches for it: it is the word of whoever wrote the file."""
    num_parameters: int
    """Numbers of the network's weights and biases."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "path": str(self.path),
            "parameters": self.num_parameters,
            **self.header.model_dump(mode="json"),
        }

    def to_text(self) -> str:
        """Return the report as text of at most 80 columns where names allow it."""
        header = self.header
        network = header.model
        kind = {"model": "a model to use", "state": "a training state, to go on with (--resume)"}
        picture = {1: "luma", 3: "R'G'B'"}[network.colors]
        frames = f", {network.frames} frames" if network.frames > 1 else ""
        facts = {
            "file": f"{self.path}: {kind[header.kind]}",
            "network": f"ESPCN x{network.scale}, {picture}{frames}, {self.num_parameters} parameters",
            "": _unusual(network, EspcnConfig(scale=network.scale), "scale"),
        }
        lines = [_line(*fact) for fact in facts.items() if fact[1]]
        lines += self._of_training()
        lines += self._of_data()
        versions = ", ".join(f"{name} {version}" for name, version in sorted(header.versions.items()))
        lines += [
            "",
            _line("made by", versions),
            _line("git revision", header.revision or "not said"),
        ]
        return "\n".join(lines)

    def _of_training(self) -> list[str]:
        header = self.header
        if header.train is None:
            return ["", _line("trained", "not said")]
        train = header.train
        lines = [
            "",
            _line("trained", f"preset {train.preset}, {header.step} of {train.steps} steps"),
            _line("", _unusual(train, TrainConfig(model=train.model), "model", "preset", "steps")),
        ]
        if header.val_psnr is not None:
            best = header.best_val_psnr if header.best_val_psnr is not None else header.val_psnr
            lines.append(
                _line(
                    "validation",
                    f"{header.val_psnr:.2f} dB (best so far {best:.2f}), all pixels of split {train.val_split}",
                )
            )
        return lines

    def _of_data(self) -> list[str]:
        data = self.header.data
        if data is None:
            return ["", _line("trained on", "not said")]
        recipe = data.recipe
        degradation = recipe.get("degradation")
        clips = f" of {data.clips} clips" if data.clips else ""
        shards = data.num_shards or len(data.shards)
        facts = {
            "trained on": f"recipe {recipe.get('id', 'without a name')}: {recipe.get('title', '')}".rstrip(
                ": "
            ),
            "split": f"{data.split or 'not said'}, {data.rows} patch pairs{clips}",
            "sources": ", ".join(f"{name} ({count} clips)" for name, count in data.sources.items()),
            "LR by": json.dumps(degradation) if degradation is not None else "not said",
            "colour": f"{recipe.get('color', 'not said')}",
            "content digest": data.content_digest,
            "shards": f"{shards}, SHA-256 of their list {data.shards_sha256 or 'not said'}",
            "licences": "; ".join(f"{name} ({count})" for name, count in data.licenses.items()) or "not said",
        }
        lines = ["", *(_line(*fact) for fact in facts.items())]
        if data.obligations:
            lines += ["", "what the clips that it learnt from oblige to"]
            lines += [
                textwrap.fill(f"  {plain(each)}", _WIDTH, subsequent_indent="    ", break_long_words=False)
                for each in data.obligations
            ]
        return lines


def is_model(path: Path) -> bool:
    """Say whether a path is a model file or the folder of a run, and no shard set."""
    return (path.is_file() and path.suffix == ".safetensors") or (
        path.is_dir() and (path / MODEL_NAME).exists()
    )


def describe_model(path: Path) -> ModelReport:
    """Read what a model file, or the model of a run's folder, says of itself.

    Raises:
        ModelError: The file is missing, damaged or foreign.
    """
    if path.is_dir():
        path = path / MODEL_NAME
    header = read_header(path)
    if header.kind == "model":
        return ModelReport(path=path, header=header, num_parameters=load_model(path)[0].num_parameters)
    _, tensors = read_tensors(path, kind="state")
    weights = [tensor.numel() for name, tensor in tensors.items() if name.startswith("weights.")]
    return ModelReport(path=path, header=header, num_parameters=sum(weights))


def _unusual(given: EspcnConfig | TrainConfig, usual: EspcnConfig | TrainConfig, *left_out: str) -> str:
    """Return the options that are not as they are by default."""
    before, now = usual.model_dump(exclude=set(left_out)), given.model_dump(exclude=set(left_out))
    return ", ".join(f"{name} {now[name]}" for name in now if now[name] != before[name])


def _line(name: str, text: str) -> str:
    # The header is foreign text: it may hold anything, but not move the cursor.
    words = plain(text, longest=_LONGEST)
    return textwrap.fill(
        f"{name:{_INDENT}}{words}",
        _WIDTH,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
