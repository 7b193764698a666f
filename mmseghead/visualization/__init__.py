"""Drawing of images, predictions and plots."""
