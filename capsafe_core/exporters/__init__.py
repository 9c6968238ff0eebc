"""Other tools' forms: a study's outputs and numbers as they want them."""
