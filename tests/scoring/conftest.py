from toy_scoring import dense_model, fasta, genome, random_model, toy_model

__all__ = ["dense_model", "fasta", "genome", "random_model", "toy_model"]
