"""The reference model: ESPCN, its training, its checkpoints, its scores. Proof that the shards are right."""

from sr_datasets.errors import MissingExtraError

try:
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("safetensors", "torch"):
        raise
    raise MissingExtraError("training or scoring a network", extra="torch") from error
