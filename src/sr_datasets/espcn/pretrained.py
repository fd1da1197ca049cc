"""The weights that come with the package, by name: ``deep-x2`` to ``deep-x4``, ``espcn-x2`` to ``espcn-x4``.

``weights/weights.json`` says what each file is, how it was trained and how it scores; ``scripts/train_weights.py``
makes all of them again. A file is held against its SHA-256 before it is used.
"""

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

from sr_datasets.errors import ModelError, nearest_names
from sr_datasets.espcn.checkpoint import MODEL_NAME, Header, load_model
from sr_datasets.espcn.model import Espcn
from sr_datasets.files import sha256_of
from sr_datasets.models import Model

CARDS_NAME: Final = "weights.json"
"""The file beside the weights that describes them."""
DEFAULT_FAMILY: Final = "deep"
"""What the names of the weights that are used when none are named begin with: the best at no more cost."""


class PretrainedScore(Model):
    """One row of a weights file's card."""

    set: str
    """What was scored."""
    protocol: str
    """The convention's name."""
    psnr: float
    """Mean, dB."""
    ssim: float
    """Mean."""


class Pretrained(Model):
    """One file of weights: what it is, how it was trained, how it scores."""

    name: str
    """Its name on the command line."""
    scale: int
    """HR-to-LR ratio."""
    sha256: str
    """Of the file."""
    recipe: str
    """Recipe of the shards."""
    content_digest: str
    """Digest of the shards' pixels, rows and draws."""
    preset: str
    """Preset of the training."""
    steps: int
    """Training steps."""
    seed: int
    """Of weights, order and augmentation."""
    parameters: int
    """Weights and biases."""
    scores: tuple[PretrainedScore, ...]
    """On sets that were not trained on; none of them chose the weights."""

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return _folder() / f"{self.name}.safetensors"


def _folder() -> Path:
    return Path(str(resources.files("sr_datasets") / "weights"))


class _Cards(Model):
    format: int
    weights: tuple[Pretrained, ...]


@lru_cache
def pretrained() -> dict[str, Pretrained]:
    """Return every file of weights of the package by name, scales ascending."""
    cards = _Cards.model_validate_json((_folder() / CARDS_NAME).read_bytes())
    return {card.name: card for card in sorted(cards.weights, key=lambda card: card.scale)}


def pretrained_name(scale: int) -> str:
    """Return the name of the weights that are used when no model is named.

    Raises:
        ModelError: There are none for this scale.
    """
    name = f"{DEFAULT_FAMILY}-x{scale}"
    if name in pretrained():
        return name
    known = ", ".join(dict.fromkeys(f"x{card.scale}" for card in pretrained().values()))
    raise ModelError(
        f"no weights for x{scale} come with sr-datasets, only for {known}. Train a model (sr-data train) and name it."
    )


def is_model(text: str) -> bool:
    """Tell whether a word names a model: weights of the package, a file of weights, or the folder of a run."""
    path = Path(text)
    return text in pretrained() or path.suffix == ".safetensors" or (path / MODEL_NAME).is_file()


def open_model(model: str | Path) -> tuple[str, Espcn, Header]:
    """Return a network ready to use on the CPU, and the name to show for it.

    Args:
        model: A file or the folder of a run; or, where no such path exists, the name of weights of the package.

    Raises:
        ModelError: It is neither; it is damaged or foreign; or weights of the package are not what was released.
    """
    path = Path(model)
    if path.exists() or isinstance(model, Path):
        return path.name or str(path), *load_model(path)
    card = pretrained().get(model)
    if card is None:
        if path.suffix or len(path.parts) > 1:
            return path.name, *load_model(path)  # says that no such file is there
        raise ModelError(
            f"{model} is neither a file, nor the folder of a run, nor weights of the package "
            f"({', '.join(pretrained())}).{nearest_names(model, pretrained())}"
        )
    if sha256_of(card.path) != card.sha256:
        raise ModelError(
            f"{card.path} is not the file that was released (its SHA-256 is another). Install sr-datasets again."
        )
    return card.name, *load_model(card.path)
