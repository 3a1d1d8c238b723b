"""Why a base matters to a model: what its substitution changes, where, and in which patterns."""
