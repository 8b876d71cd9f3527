"""The web server: sessions over HTTP, and the page in which an annotator works. Needs the extra `server`."""
