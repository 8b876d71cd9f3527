"""Archives of images (PACS): asked over DICOMweb, and listened to by DICOM's own protocol; nothing leaves unasked."""
