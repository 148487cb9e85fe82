"""Reports as one HTML file that needs nothing else: figures are inline SVG, there is no script."""
