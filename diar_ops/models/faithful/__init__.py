"""FaithfulDIAR: pictures restored as weighted means of the photos' own pixels."""
