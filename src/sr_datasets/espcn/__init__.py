"""The reference model: ESPCN, its training, its checkpoints, its scores. Proof that the shards are right."""
