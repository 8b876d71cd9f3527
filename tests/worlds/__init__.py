"""Small worlds for the tests: scans, models, files and refusals that several folders share."""
