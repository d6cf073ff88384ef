"""Using trained models: from a run folder, a checkpoint file, an exported model or published weights to a picture."""
