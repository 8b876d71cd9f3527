"""DICOM images: the files of a series, what their headers say, and the pixels of their frames."""
