"""Consequences of variants: terms of the Sequence Ontology, their severity, and classes of them."""

from __future__ import annotations

#: What a variant has whose annotation says nothing.
NO_CONSEQUENCE = "."
#: Class of terms that are none of those below.
OTHER_CLASS = "other"
#: Each term and its class, most severe first: the order of Ensembl (calculated consequences of
#: release 110), with the terms that SnpEff has beyond those beside the ones they are closest to.
_RANKED = """
transcript_ablation structural
exon_loss_variant structural
gene_fusion structural
bidirectional_gene_fusion structural
chromosome_number_variation structural
splice_acceptor_variant splice_site
splice_donor_variant splice_site
stop_gained stop_gained
frameshift_variant frameshift
stop_lost stop_lost
start_lost start_lost
transcript_amplification structural
feature_elongation structural
feature_truncation structural
inframe_insertion inframe
disruptive_inframe_insertion inframe
conservative_inframe_insertion inframe
inframe_deletion inframe
disruptive_inframe_deletion inframe
conservative_inframe_deletion inframe
rare_amino_acid_variant missense
missense_variant missense
initiator_codon_variant start_retained
protein_altering_variant inframe
inframe_altering inframe
splice_donor_5th_base_variant splice_region
splice_region_variant splice_region
splice_donor_region_variant splice_region
splice_polypyrimidine_tract_variant splice_region
incomplete_terminal_codon_variant coding
start_retained_variant start_retained
stop_retained_variant synonymous
synonymous_variant synonymous
coding_sequence_variant coding
mature_miRNA_variant non_coding_exon
5_prime_UTR_premature_start_codon_gain_variant 5_prime_utr
5_prime_UTR_truncation 5_prime_utr
5_prime_UTR_variant 5_prime_utr
3_prime_UTR_truncation 3_prime_utr
3_prime_UTR_variant 3_prime_utr
non_coding_transcript_exon_variant non_coding_exon
non_coding_exon_variant non_coding_exon
intron_variant intron
conserved_intron_variant intron
NMD_transcript_variant non_coding_transcript
non_coding_transcript_variant non_coding_transcript
coding_transcript_variant coding
transcript_variant other
gene_variant other
intragenic_variant other
upstream_gene_variant upstream
downstream_gene_variant downstream
TFBS_ablation regulatory
TFBS_amplification regulatory
TF_binding_site_variant regulatory
regulatory_region_ablation regulatory
regulatory_region_amplification regulatory
regulatory_region_variant regulatory
conserved_intergenic_variant intergenic
intergenic_variant intergenic
intergenic_region intergenic
sequence_variant other
"""
#: Terms as `bcftools csq` and older programs write them, where no ``_variant`` behind them helps.
_SPELLINGS = {
    "5_prime_utr": "5_prime_UTR_variant",
    "3_prime_utr": "3_prime_UTR_variant",
    "non_coding": "non_coding_transcript_exon_variant",
    "coding_sequence": "coding_sequence_variant",
    "non_synonymous_codon": "missense_variant",
    "synonymous_codon": "synonymous_variant",
    "nonsense": "stop_gained",
    "splice_acceptor_site": "splice_acceptor_variant",
    "splice_donor_site": "splice_donor_variant",
    "complex_change_in_transcript": "protein_altering_variant",
    "nc_transcript_variant": "non_coding_transcript_variant",
}
_CLASS_OF = dict(line.split() for line in _RANKED.split("\n") if line)
_RANK = {term: rank for rank, term in enumerate(_CLASS_OF)}
#: Rank of what is no term, behind all terms.
UNRANKED = len(_RANK)
#: The classes, most severe first.
CLASSES = tuple(dict.fromkeys(_CLASS_OF.values()))


def severity(term: str) -> int:
    """Place of a term among all, 0 for the most severe, `UNRANKED` for what is no term."""
    return _RANK.get(_standard(term), UNRANKED)


def class_of(term: str) -> str:
    """The class of a term, as ``missense`` of ``missense_variant``; `OTHER_CLASS` of no term."""
    return _CLASS_OF.get(_standard(term), OTHER_CLASS)


def worst_term(terms: str) -> str:
    """The most severe of terms with ``&`` between them; the first of those that are no terms."""
    return min(terms.split("&"), key=severity) if "&" in terms else terms


def _standard(term: str) -> str:
    """A term as the Sequence Ontology spells it, where it is one."""
    if term in _CLASS_OF:
        return term
    return _SPELLINGS.get(term, term + "_variant")
