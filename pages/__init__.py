"""HTML pages in one look: style, text from anywhere, charts, a gallery of pictures."""
