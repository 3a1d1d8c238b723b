from toy_scoring import fasta, genome, random_model, toy_model

__all__ = ["fasta", "genome", "random_model", "toy_model"]
