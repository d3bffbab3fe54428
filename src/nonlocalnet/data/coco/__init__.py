"""Images with annotations in COCO's format, as samples for detectors."""
