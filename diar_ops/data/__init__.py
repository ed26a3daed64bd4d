"""Image files and sequences: all file access of the library lives here."""
