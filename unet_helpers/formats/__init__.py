"""Image files of every depth, DICOM, NIfTI and drawn outlines: how they are read, and made into pairs."""
