"""The nouns: batches of pictures with their instances, boxes."""
