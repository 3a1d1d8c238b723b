"""VCF and BCF: records in and out as the bytes they are."""
