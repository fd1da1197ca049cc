"""Makes the weights of the package again: shards, training, scores, files and their card, in one command.

Needs a store that holds T91 (91 pictures) and the folder of Set5's ground truth; takes some minutes a scale on two
cores. Shards are those of the recipe espcn-t91 at each scale; nothing is chosen on Set5.

    PYTHONPATH=src python scripts/train_weights.py STORE set5/GT --work weights-work

Seeds: weights, order and augmentation 0. The same torch on the same machine writes the same bytes.
"""

import argparse
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

from sr_datasets.build import build_pairs
from sr_datasets.catalog import find_recipe
from sr_datasets.cli.console import progress_on_stderr
from sr_datasets.espcn.checkpoint import MODEL_NAME, STATE_NAME, load_model
from sr_datasets.espcn.config import preset
from sr_datasets.espcn.evaluate import evaluate
from sr_datasets.espcn.train import train
from sr_datasets.files import sha256_of, write_atomic
from sr_datasets.metrics import PROTOCOLS
from sr_datasets.progress import Progress
from sr_datasets.recipe import Recipe
from sr_datasets.store import Store

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
FOLDER = Path(__file__).parents[1] / "src" / "sr_datasets" / "weights"
SEED = 0
FAMILIES = {"deep": "deep", "espcn": "espcn-t91"}
"""Names of weights, without their scale, and the preset that trains them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path, help="data folder that holds t91")
    parser.add_argument("set5", type=Path, help="folder of Set5's ground truth")
    parser.add_argument("--work", type=Path, required=True, help="folder for shards and runs")
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--steps", type=int, help="the preset's own when left out")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the weights go")
    options = parser.parse_args()

    cards_path = options.out / "weights.json"
    cards = {}
    if cards_path.is_file():
        cards = {card["name"]: card for card in json.loads(cards_path.read_bytes())["weights"]}
    options.out.mkdir(parents=True, exist_ok=True)
    with progress_on_stderr() as progress:
        for family, scale in itertools.product(FAMILIES, options.scales):
            card = _make(family, scale, options, progress)
            cards[card["name"]] = card
            text = json.dumps({"format": 1, "weights": [cards[each] for each in sorted(cards)]}, indent=1)
            write_atomic(cards_path, (text + "\n").encode())
    if options.out == FOLDER:
        write_page([cards[each] for each in sorted(cards)])


def write_page(cards: list[dict[str, Any]]) -> None:
    """Put the tables of the weights' page between their marks."""
    networks = [
        "| name | scale | weights and biases | training | Set5, `y-double` | Set5, `y-8bit` |",
        "|---|---|---|---|---|---|",
    ]
    for card in cards:
        training = f"`{card['preset']}`, {card['steps']} steps, seed {card['seed']}"
        scores = " | ".join(f"{row['psnr']:.2f} / {row['ssim']:.4f}" for row in card["scores"])
        networks.append(
            f"| `{card['name']}` | x{card['scale']} | {card['parameters']} | {training} | {scores} |"
        )
    data = ["| recipe | content digest |", "|---|---|"]
    data += dict.fromkeys(f"| `{card['recipe']}` | `{card['content_digest']}` |" for card in cards)
    files = [
        "| name | SHA-256 |",
        "|---|---|",
        *(f"| `{card['name']}` | `{card['sha256']}` |" for card in cards),
    ]
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("networks", networks), ("data", data), ("files", files)):
        table = "\n".join(["", *lines, ""])
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\1{table}\n\2", text, flags=re.DOTALL)
    write_atomic(PAGE, text.encode())


def _make(family: str, scale: int, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    recipe = find_recipe("espcn-t91")
    if scale != recipe.scale:
        said = recipe.model_dump(mode="json")
        title = said["title"].replace("x3", f"x{scale}")
        recipe = Recipe.model_validate({**said, "id": f"espcn-t91-x{scale}", "scale": scale, "title": title})
    name = f"{family}-x{scale}"
    shards, run = options.work / f"shards-x{scale}", options.work / name
    build_pairs(recipe, out_dir=shards, store=Store(options.store), progress=progress)
    changed = {"steps": options.steps} if options.steps else {}
    config = preset(FAMILIES[family], scale=scale, seed=SEED, **changed)
    train(config, shards, out_dir=run, resume=(run / STATE_NAME).is_file(), progress=progress)
    path = options.out / f"{name}.safetensors"
    shutil.copyfile(run / MODEL_NAME, path)
    model, header = load_model(path)
    assert header.data is not None
    scores = []
    for protocol in ("y-double", "y-8bit"):
        mean = evaluate(path, [options.set5], protocol=PROTOCOLS[protocol]).mean
        row = {"set": "set5", "protocol": protocol, "psnr": round(mean.psnr, 3), "ssim": round(mean.ssim, 4)}
        progress.log(f"{name}: {row}")
        scores.append(row)
    return {
        "name": name,
        "scale": scale,
        "sha256": sha256_of(path),
        "recipe": recipe.id,
        "content_digest": header.data.content_digest,
        "preset": FAMILIES[family],
        "steps": header.step,
        "seed": SEED,
        "parameters": model.num_parameters,
        "scores": scores,
    }


if __name__ == "__main__":
    main()
