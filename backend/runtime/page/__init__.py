"""Reports as HTML pages that need nothing else: sections, plots, pictures that zoom."""
