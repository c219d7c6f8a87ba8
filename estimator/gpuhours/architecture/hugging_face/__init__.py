"""Convert a Hugging Face config.json to an architecture."""
