"""The pure middle: picture to tensor, tensors to detections. Knows no file, no GPU, no backend."""
