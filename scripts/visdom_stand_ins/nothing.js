// Nothing is needed in place of this file.
