"""Indexes of bgzip text (tabix, CSI), made while the text is written, and joined from parts."""
